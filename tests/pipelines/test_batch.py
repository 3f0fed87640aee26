"""`sensorimotor batch`, end to end: what comes out, what it survives, and what it refuses."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.batch_input import InputSpec, open_input

EPISODES, TEXTS = 12, ("go to the red ball", "pick up the key", "")


def png(path, seed, size=56):
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """`lived.csv`: recordings, in some of which camera or words come late; `rows.csv`: rows that stand alone."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(40):
        png(folder / f"{number}.png", number)
    lines = ["episode,time,camera,instruction"]
    for episode in range(EPISODES):
        for step in range(rng.integers(1, 25)):
            camera = "" if step < 2 and episode % 4 == 0 else f"{rng.integers(40)}.png"
            lines.append(f"ep{episode},{step / 10},{camera},{TEXTS[episode % 3] if step else ''}")
    (folder / "lived.csv").write_text("\n".join(lines))
    (folder / "rows.csv").write_text(
        "id,camera,instruction\n" + "".join(f"row{at},{at % 40}.png,{TEXTS[at % 2]}\n" for at in range(100))
    )
    return folder


def decisions(out):
    """All rows, file after file."""
    return pa.concat_tables(pq.read_table(file) for file in sorted(Path(out).glob("part-*.parquet"))).to_pylist()


def files(out):
    return {file.name: file.read_bytes() for file in sorted(Path(out).glob("part-*.parquet"))}


def report_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(done, status, *words):
    assert done.returncode == status, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def acted(policy, where):
    """What `act` decides, recording by recording, step by step; None where nothing is seen."""
    opened = open_input(InputSpec(str(where)), policy.signature)
    for index, name in enumerate(opened.ids):
        policy.reset()
        for number, step in enumerate(opened.lived(index)):
            seen = step.seen
            decision = None
            if seen.observation:
                decision = policy.act(seen.observation, ages_s=seen.ages_s, sequences=seen.sequences)
            yield name, number, step.time_s, decision


# What comes out


@pytest.mark.parametrize(
    ("where", "options"),
    [
        ("lived.csv", ("--workers", 0, "--batch-size", 1)),
        ("lived.csv", ("--workers", 2, "--batch-size", 7, "--shard-size", 5)),
        ("lived.csv", ("--workers", 1)),
        ("rows.csv", ("--workers", 0, "--batch-size", 9)),
        ("rows.csv", ("--workers", 2, "--shard-size", 30)),
    ],
)
def test_the_decisions_are_those_of_act_in_the_order_of_the_input(sensorimotor, data, tmp_path, where, options):
    report_of(sensorimotor("batch", "default", data / where, "--out", tmp_path, *options, "--embeddings", "--json"))
    rows, policy = decisions(tmp_path), Policy.load("default")
    expected = list(acted(policy, data / where))
    assert [(row["id"], row["step"], row["time_s"]) for row in rows] == [tuple(one[:3]) for one in expected]
    for row, (*_, decision) in zip(rows, expected, strict=True):
        if decision is None:
            assert (row["action"], row["held"], row["label"]) == (None, True, "done")
            continue
        assert (row["action"], row["executed"], row["label"], row["held"]) == (
            decision.selected,
            decision.executed,
            decision.label,
            decision.held,
        )
        assert row["probabilities"] == pytest.approx(decision.probabilities.tolist(), abs=1e-5)
        assert row["embedding"] == pytest.approx(decision.embedding.tolist(), abs=1e-5)
        for name, seen in decision.inputs.items():
            assert row[f"{name}_present"] == seen.present
            assert row[f"{name}_age_s"] == (None if seen.age_s is None else pytest.approx(seen.age_s))


def test_the_files_are_the_same_byte_by_byte_whoever_decodes(sensorimotor, data, tmp_path):
    for workers in (0, 1, 2):
        out = tmp_path / str(workers)
        done = sensorimotor("batch", "default", data / "lived.csv", "--out", out, "--workers", workers)
        assert done.returncode == 0, done.stderr
    assert files(tmp_path / "0") == files(tmp_path / "1") == files(tmp_path / "2") != {}


def test_a_run_says_what_it_was_and_what_it_came_to(sensorimotor, data, tmp_path):
    report = report_of(
        sensorimotor("batch", "default", data / "lived.csv", "--out", tmp_path, "--shard-size", 5, "--json")
    )
    rows = decisions(tmp_path)
    assert report["rows"] == len(rows)
    assert report["held"] == sum(row["held"] for row in rows) > 0
    assert report["absent"] == {
        name: sum(not row[f"{name}_present"] for row in rows) for name in ("camera", "mic", "instruction")
    }
    assert (report["episodes"], report["shards"], report["quarantined"]) == (EPISODES, 3, 0)
    assert report["seconds"].keys() == {"decode", "wait", "encode", "core", "write"}
    assert report["run"]["rows_per_s"] > 0
    assert any("nothing for mic" in note for note in report["notes"])
    assert json.loads((tmp_path / "report.json").read_text()) == report
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["finished"]
    assert manifest["key"]["policy"] == Policy.load("default").fingerprint
    assert sum(shard["rows"] for shard in manifest["shards"]) == len(rows)
    assert {"onnxruntime", "sensorimotor"} <= manifest["versions"].keys()
    assert manifest["hardware"]["cores"]


def test_a_person_is_told_what_was_absent_and_how_fast_it_was(sensorimotor, data, tmp_path):
    done = sensorimotor("batch", "default", data / "rows.csv", "--out", tmp_path, "--workers", 0)
    assert done.returncode == 0
    for word in ("files: 1", "a second", "mic in 100 rows"):
        assert word in done.stdout
    assert "nothing for mic" in done.stderr


def clip(path, seconds, sound):
    """A film of 10 frames a second."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=10, width=64, height=64, pix_fmt="yuv420p")
        hearing = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for number in range(round(seconds * 10)):
            pixels = np.full((64, 64, 3), 7 * number, np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(picture.encode(None))
        if hearing:
            noise = np.random.default_rng(0).normal(0, 0.1, (1, round(seconds * 16_000))).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
            frame.sample_rate = 16_000
            container.mux(hearing.encode(frame))
            container.mux(hearing.encode(None))


def test_films_are_gone_through_at_a_rate_and_one_without_sound_is_decided_on_without(sensorimotor, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    clip(folder / "heard.mp4", 2, sound=True)
    clip(folder / "silent.mp4", 3, sound=False)
    (folder / "torn.mp4").write_bytes((folder / "heard.mp4").read_bytes()[:2000])
    (folder / "empty.mp4").write_bytes(b"")
    call = ("batch", "default", folder, "--out", tmp_path / "out", "--set", "instruction=go to the red ball")
    report = report_of(sensorimotor(*call, "--rate", 5, "--workers", 2, "--json"))
    rows = decisions(tmp_path / "out")
    assert list(dict.fromkeys(row["id"] for row in rows)) == ["heard.mp4", "silent.mp4"]
    silent = [row for row in rows if row["id"] == "silent.mp4"]
    assert np.diff([row["time_s"] for row in silent]) == pytest.approx(0.2)
    assert not any(row["mic_present"] for row in silent)
    assert report["absent"]["mic"] >= len(silent)
    assert all(row["instruction_present"] for row in rows)
    aside = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    assert [one["id"] for one in aside] == ["empty.mp4", "torn.mp4"]


# Killed


def begun(data, out, person, *options):
    """The command in a process group of its own."""
    program = Path(sys.executable).with_name("sensorimotor")
    words = (program, "batch", "default", data / "lived.csv", "--out", out, "--shard-size", 1, *options)
    return subprocess.Popen([str(word) for word in words], env=person, start_new_session=True, stderr=subprocess.PIPE)


def wait_for_shards(run, out, count):
    """Until so many are kept, or it has ended."""
    journal = out / ".journal.jsonl"
    while run.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < count):
        time.sleep(0.002)


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_any_moment_and_continued_no_row_is_lost_and_none_is_there_twice(
    sensorimotor, data, tmp_path, person, workers
):
    whole, out, rng = tmp_path / "whole", tmp_path / "out", np.random.default_rng(workers)
    same = ("--shard-size", 1, "--workers", workers)
    assert sensorimotor("batch", "default", data / "lived.csv", "--out", whole, *same).returncode == 0
    for kept in (0, 2, 5, 9):
        run = begun(data, out, person, "--workers", workers, "--resume")
        wait_for_shards(run, out, kept)
        time.sleep(rng.uniform(0, 0.05))
        run.kill()  # of this process alone: those that decode for it must end by themselves
        run.communicate()
    report = report_of(sensorimotor("batch", "default", data / "lived.csv", "--out", out, *same, "--resume", "--json"))
    assert files(out) == files(whole)
    assert report["run"]["rows"] < report["rows"] == len(decisions(whole))
    assert [file.name for file in out.iterdir() if file.name.endswith(".part")] == []
    deadline = time.monotonic() + 60
    while _group_lives(run.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_keeps_what_is_kept_and_says_how_to_go_on(sensorimotor, data, tmp_path, person):
    run = begun(data, tmp_path, person, "--workers", "1")
    wait_for_shards(run, tmp_path, 2)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does it: to all processes
    said = run.communicate(timeout=60)[1].decode()
    if run.returncode == 0:
        pytest.skip("it was done before it could be interrupted")
    assert run.returncode == 130
    assert "the same command with --resume" in said
    assert "Traceback" not in said
    same = ("--shard-size", 1, "--resume", "--json")
    report = report_of(sensorimotor("batch", "default", data / "lived.csv", "--out", tmp_path, *same))
    assert report["rows"] == len(decisions(tmp_path))


def test_a_finished_run_is_continued_by_doing_nothing(sensorimotor, data, tmp_path):
    call = ("batch", "default", data / "rows.csv", "--out", tmp_path, "--workers", 0, "--json")
    first = report_of(sensorimotor(*call))
    again = report_of(sensorimotor(*call, "--resume"))
    assert (again["rows"], again["run"]["rows"]) == (first["rows"], 0)


def test_how_fast_it_is_done_may_change_when_it_is_continued(sensorimotor, data, tmp_path):
    call = ("batch", "default", data / "rows.csv", "--out", tmp_path, "--json")
    report_of(sensorimotor(*call, "--workers", 0))
    (tmp_path / "part-00000.parquet").unlink()
    again = report_of(sensorimotor(*call, "--resume", "--workers", 1, "--batch-size", 4, "--threads", 2))
    assert again["run"]["rows"] == 100


def test_a_full_disk_ends_the_run_and_it_is_continued_later(sensorimotor, data, tmp_path):
    """Files cannot grow beyond 6 kB, which the system tells much as it tells that a disk is full."""

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    call = (
        "batch",
        "default",
        data / "rows.csv",
        "--out",
        tmp_path / "small",
        "--workers",
        0,
        "--shard-size",
        1,
        "--json",
    )
    embedded = ("batch", "default", data / "rows.csv", "--out", tmp_path / "large", "--workers", 0, "--embeddings")
    refused(sensorimotor(*embedded, preexec_fn=small_files), 1, "cannot write", "0 rows in 0 shards", "--resume")
    refused(sensorimotor(*call, preexec_fn=small_files), 1, "cannot write", "shards are kept", "--resume")
    kept = (tmp_path / "small" / ".journal.jsonl").read_bytes().count(b"\n")
    assert 0 < kept < 100
    report = report_of(sensorimotor(*call, "--resume"))
    assert (report["rows"], report["run"]["rows"]) == (100, 100 - kept)


# What cannot be read


@pytest.fixture
def damaged(data, tmp_path):
    """Ten pictures, of which five are not what they should be."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    for number in range(10):
        shutil.copy(data / f"{number}.png", folder / f"{number}.png")
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "3.png").write_bytes(b"")
    (folder / "4.png").write_bytes(b"RIFF" + bytes(100))
    (folder / "7.png").unlink()
    (folder / "8.png").unlink()
    (folder / "8.png").mkdir()
    (folder / "rows.csv").write_text("id,camera\n" + "".join(f"r{number},{number}.png\n" for number in range(10)))
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_is_put_aside_with_a_reason_and_costs_no_other_row(
    sensorimotor, damaged, tmp_path, workers
):
    call = ("batch", "default", damaged / "rows.csv", "--out", tmp_path / "out", "--workers", workers, "--json")
    report = report_of(sensorimotor(*call))
    aside = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    ids = [one["id"] for one in aside]
    assert {"r3", "r4", "r7", "r8"} <= set(ids) <= {"r1", "r3", "r4", "r7", "r8"}  # OpenCV gives what it has of half
    assert ids == sorted(ids)
    assert all(one["stage"] in ("open", "decode") and one["error"] and one["message"] for one in aside)
    rows = decisions(tmp_path / "out")
    assert sorted([row["id"] for row in rows] + ids) == [f"r{number}" for number in range(10)]
    assert report["quarantined"] == len(aside)


def test_where_nothing_can_be_read_the_job_has_failed(sensorimotor, damaged, tmp_path):
    (damaged / "rows.csv").write_text("camera\n3.png\n7.png\n")
    done = sensorimotor("batch", "default", damaged / "rows.csv", "--out", tmp_path / "out")
    refused(done, 1, "of 2 episodes the first, row 1", "quarantine.parquet")
    assert pq.read_table(tmp_path / "out" / "quarantine.parquet").num_rows == 2


def test_a_torn_recording_keeps_the_rows_before_the_tear(sensorimotor, data, damaged, tmp_path):
    lines = [f"a,{step / 10},{camera}" for step, camera in enumerate(["0.png", "2.png", "5.png"])]
    lines += [f"b,{step / 10},{camera}" for step, camera in enumerate(["0.png", "3.png"])]
    (damaged / "lived.csv").write_text("\n".join(["episode,time,camera", *lines]))
    report_of(sensorimotor("batch", "default", damaged / "lived.csv", "--out", tmp_path / "out", "--json"))
    (aside,) = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    rows = [row["id"] for row in decisions(tmp_path / "out")]
    assert aside["id"] == "b"
    assert rows == ["a"] * 3 + ["b"] * aside["step"]


# What is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rate", 5), "rate_hz was null, and is 5.0 now"),
        (("--embeddings",), "embeddings was false, and is true now"),
        (("--set", "instruction=go"), "constants was {}, and is"),
        (("--shard-size", 7), "shard_size was 64, and is 7 now"),
    ],
)
def test_results_of_other_options_are_not_continued(sensorimotor, data, tmp_path, options, words):
    out = tmp_path / "out"
    assert sensorimotor("batch", "default", data / "lived.csv", "--out", out, "--workers", 0).returncode == 0
    before = files(out)
    refused(sensorimotor("batch", "default", data / "lived.csv", "--out", out, "--resume", *options), 2, words)
    assert files(out) == before


def test_results_of_another_policy_or_of_changed_data_are_not_continued(sensorimotor, data, tmp_path, tiny_bundle):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    call = (folder / "rows.csv", "--out", tmp_path / "out", "--workers", 0)
    assert sensorimotor("batch", "default", *call).returncode == 0
    refused(sensorimotor("batch", tiny_bundle, *call, "--resume"), 2, "policy was", "another directory")
    png(folder / "3.png", 99)
    os.utime(folder / "3.png", (1, 1))
    refused(sensorimotor("batch", "default", *call, "--resume"), 2, "input was")


def test_results_are_removed_only_when_asked_for(sensorimotor, data, tmp_path):
    out = tmp_path / "out"
    call = ("batch", "default", data / "rows.csv", "--out", out, "--workers", 0)
    assert sensorimotor(*call, "--shard-size", 10).returncode == 0
    refused(sensorimotor(*call), 2, "has results already", "--resume", "--overwrite")
    assert len(files(out)) == 10
    assert sensorimotor(*call, "--overwrite").returncode == 0
    assert list(files(out)) == ["part-00000.parquet"]


def test_a_directory_with_something_else_in_it_is_left_alone(sensorimotor, data, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    refused(sensorimotor("batch", "default", data / "rows.csv", "--out", tmp_path), 1, "thesis.tex")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--device", "cuda"), 2, "CUDAExecutionProvider"),
        (("--set", "instruction"), 2, "NAME=TEXT"),
        (("--set", "instruction=a", "--set", "instruction=b"), 2, "each name once"),
        (("--bind", "radar=camera"), 2, "radar"),
        (("--bind", "camera=camrea"), 1, "'camera'"),
        (("--resume", "--overwrite"), 2, "leave one of them out"),
        (("--ray", "127.0.0.1:6379"), 2, "--engine ray"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(sensorimotor, data, tmp_path, words, status, said):
    done = sensorimotor("batch", "default", data / "rows.csv", "--out", tmp_path / "out", "--workers", 0, *words)
    refused(done, status, said)
    assert not list(tmp_path.glob("out/part-*"))


# Large


def test_memory_stays_as_it_is_however_many_rows_there_are(sensorimotor, data, tmp_path):
    """Four thousand more frames would be 37 MB."""
    used = []
    for count in (1000, 5000):
        lines = [f"{episode},{step / 10},{step % 40}.png,go" for episode in range(2) for step in range(count // 2)]
        table = data / f"long{count}.csv"
        table.write_text("\n".join(["episode,time,camera,instruction", *lines]))
        call = ("batch", "default", table, "--out", tmp_path / str(count), "--workers", 1, "--json")
        used.append(report_of(sensorimotor(*call))["run"]["max_rss_mb"])
    assert used[1] - used[0] < 25
