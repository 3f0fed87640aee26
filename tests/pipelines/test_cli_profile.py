"""`sensorimotor profile`, as a person types it."""

import json
import subprocess
import sys

import pytest

from sensorimotor.models.bundle import GOLDEN, seal


def refused(done, status):
    """What a command that failed told a person: one sentence, nothing on standard output."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_it_prints_one_json_object_and_draws_a_page(profiled):
    assert profiled.done.stdout.count("\n") == 1
    assert profiled.report["policy"]["name"] == "tiny"
    assert profiled.report["budget"]["rate_hz"] == 30.0
    assert [one["rows"] for one in profiled.report["throughput"]["batches"]] == [1, 2, 4]
    assert profiled.page.read_text().startswith("<!doctype html>")


def test_a_person_is_told_yes_or_no_and_where_the_time_goes(profiled, capsys, monkeypatch):
    from sensorimotor.pipelines.profile_console import profile_tables

    monkeypatch.setenv("COLUMNS", "80")
    profile_tables(profiled.report, "tiny.html")
    told = capsys.readouterr().out
    assert "Yes: tiny holds 30 decisions a second here." in told
    for part in ("encode camera", "a typical decision", "◀ knee", "the limit of this machine", "Conv", "cold start"):
        assert part in told
    assert "CPUExecutionProvider" in told
    assert max(map(len, told.splitlines()[2:])) <= 80


def test_figures_have_their_names_however_long_those_of_inputs_are(profiled, capsys, monkeypatch):
    from sensorimotor.pipelines.profile_console import profile_tables

    monkeypatch.setenv("COLUMNS", "80")
    long = [one | {"stage": "encode.left_wrist_camera_of_the_robot"} for one in profiled.report["graphs"]]
    why_not = {"why_not": "there is no C++ compiler: install g++", "ms": None, "times_ours": None, "max_error": None}
    profile_tables(profiled.report | {"graphs": long, "compare": [{"name": "torch.compile", **why_not}]})
    told = capsys.readouterr().out
    assert "attained" in told
    assert "…" not in told
    assert "torch.compile was not compared: there is no C++ compiler: install g++." in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--batch", "1,x"), "--batch '1,x': expected whole numbers with commas between them"),
        (("--batch", "0"), "--batch: 0 rows are no batch"),
        (("--batch", "-4"), "--batch: -4 rows are no batch"),
        (("--batch", "1000000"), "--batch: 1000000 rows are no batch that is tried here: expected 1 to 4096"),
        (("--rate", "0"), "--rate 0: expected decisions a second"),
        (("--rate", "nan"), "--rate nan: expected decisions a second"),
        (("--threads", "many"), "--threads 'many': expected a number"),
        (("--providers", ","), "--providers ',': expected names"),
        (("--providers", "NpuExecutionProvider"), "NpuExecutionProvider is not available here; there are"),
        (("--providers", "cuda"), "CUDAExecutionProvider is not available here"),
        (("--decisions", "0"), "--decisions"),
        (("--set", "words=go"), "--bind and --set say how a recording feeds the policy: add --recording"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(sensorimotor, tiny_bundle, words, said):
    if "cuda" in words:
        from sensorimotor.models.onnx_backend import runtime

        if "CUDAExecutionProvider" in runtime().get_available_providers():
            pytest.skip("there is a GPU here")
    assert said in refused(sensorimotor("profile", tiny_bundle, *words), 2)


def test_a_policy_that_is_not_there_is_refused(sensorimotor):
    assert "there is no directory and no bundled policy 'nothing'" in refused(sensorimotor("profile", "nothing"), 1)


def test_a_bundle_without_a_golden_set_is_refused(sensorimotor, bundle_copy):
    (bundle_copy / GOLDEN).unlink()
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    told = refused(sensorimotor("profile", bundle_copy), 1)
    assert "has no golden set to be timed on: name a recording, or export it again" in told


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_measured(sensorimotor, tiny_bundle, tmp_path):
    (tmp_path / "file").touch()
    assert "cannot write" in refused(sensorimotor("profile", tiny_bundle, "--html", tmp_path / "file" / "x.html"), 1)
    assert "it is a directory" in refused(sensorimotor("profile", tiny_bundle, "--html", tmp_path), 1)


def test_a_recording_that_does_not_fit_is_refused(sensorimotor, tiny_bundle, tmp_path):
    table = tmp_path / "joints.csv"
    table.write_text("joints,cameras\n1.0,2.0\n")
    told = refused(sensorimotor("profile", tiny_bundle, "--recording", table), 1)
    assert f"{table} has no column 'camera'; did you mean 'cameras'" in told
    missing = refused(sensorimotor("profile", tiny_bundle, "--recording", tmp_path / "nothing"), 1)
    assert "nothing" in missing
    (tmp_path / "text.csv").write_text("camera\nnot a picture\n")
    told = refused(sensorimotor("profile", tiny_bundle, "--recording", tmp_path / "text.csv"), 1)
    assert "camera" in told


def test_a_table_of_pictures_is_what_it_is_timed_on(sensorimotor, tiny_bundle, tmp_path):
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((56, 56, 3), 40 * i, np.uint8))
    rows = "".join(f"{i}.png,go to the ball\n" for i in range(3))
    (tmp_path / "t.csv").write_text("photo,instruction\n" + rows)
    words = (
        "--recording",
        tmp_path / "t.csv",
        "--bind",
        "camera=photo",
        "--decisions",
        20,
        "--batch",
        "none",
        "--json",
    )
    done = sensorimotor("profile", tiny_bundle, *words)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["shown"] == {"origin": str(tmp_path / "t.csv"), "steps": 3, "episodes": 3}
    assert report["stages"]["encode.mic"]["n"] == 0
    assert report["throughput"] is None


def test_nothing_that_it_imports_imports_torch(tiny_bundle):
    code = (
        "import sys; from sensorimotor.pipelines import cli, console, profile, profile_console, profile_report, turns;"
        "from sensorimotor.pipelines import lerobot, manifest; print(sorted({'torch', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
