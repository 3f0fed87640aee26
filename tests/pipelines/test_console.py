import json
from dataclasses import replace
from pathlib import Path

import pytest

from sensorimotor.pipelines import console
from sensorimotor.pipelines.demo import Begun, Decided, Ended
from sensorimotor.pipelines.inspect import inspect
from sensorimotor.pipelines.reach import Reach


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for screen in (console.out, console.err):
        monkeypatch.setattr(screen, "_width", 200, raising=False)


@pytest.fixture
def report(tiny_bundle):
    return inspect(str(tiny_bundle), verify=True)


EVALUATED = {
    "policy": "default",
    "env": "BabyAI-GoToLocal-v0",
    "inputs": ["camera", "mic"],
    "speaker": None,
    "episodes": 512,
    "seed": 1_000_000_000,
    "success_rate": 0.97,
    "ci95": [0.95, 0.98],
    "spl": None,
    "first_object_correct": 0.91,
    "mean_steps": 7.25,
    "decision_ms": {"p50": 1.5, "p95": 2.0, "p99": 2.5, "max": 9.0},
}


def test_an_evaluation_is_a_result_on_standard_output(capsys):
    console.evaluation_table(EVALUATED)
    out, err = capsys.readouterr()
    assert err == ""
    for fact in ("default", "camera, mic", "512 from seed 1000000000", "97.0%", "95.0% – 98.0%", "91.0%", "p99 2.50"):
        assert fact in out
    assert "None" not in out


def test_an_inspection_tells_what_a_person_asks(report, capsys):
    console.inspection(report)
    out, err = capsys.readouterr()
    assert err == ""
    for fact in (
        "tiny",
        report["description"],
        "left, right, forward, pickup, drop, toggle, done",
        "constant done",
        "10 decisions a second",
        report["fingerprint"],
        "core.onnx",
        "as promised: 100 of 100 actions the same",
        "recipe tiny, 120 steps",
    ):
        assert fact in out


def test_a_golden_set_that_is_not_met_is_told(report, capsys):
    report["golden"] |= {"ok": False, "same_actions": 7}
    console.inspection(report)
    assert "not as promised: 7 of 100 actions" in capsys.readouterr().out


@pytest.mark.parametrize("words", ["[red]stop[/red]", "[/]", "[bold", "a[0]", "[link=x]y[/link]"])
def test_words_of_a_bundle_are_shown_and_never_obeyed(report, capsys, words):
    report |= {"name": words, "description": words, "sensorimotor": words}
    report["signature"]["action_space"]["labels"][-1] = words
    report["provenance"]["recipe"]["name"] = report["provenance"]["machine"]["processor"] = words
    report["metrics"]["held_out"] = {words: {"accuracy": 0.5}}
    report["files"] = {words: 1}
    console.inspection(report)
    assert capsys.readouterr().out.count(words) >= 8


@pytest.mark.parametrize("path", ["runs/[a]/bundle", "runs/[/]", "runs/[red]"])
def test_paths_are_shown_as_they_are(tiny_bundle, capsys, path):
    parity = json.loads((tiny_bundle / "config.json").read_text())["parity"]
    console.parity_table(parity, path)
    console.evaluation_table(EVALUATED | {"policy": path})
    row = {
        "level": "BabyAI-GoToObj-v0",
        "solved": 1,
        "played": 2,
        "mean_steps": 4.0,
        "decision_ms": EVALUATED["decision_ms"],
    }
    console.demo_table({"levels": [row], "files": {"summary": path}, "max_rss_mb": 100})
    from sensorimotor.pipelines.train import Trained

    console.trained(Trained(Path(path), 1, 2, False, 3.0, {}, None, {}))
    assert capsys.readouterr().out.count(path) == 4


def test_the_demonstration_is_told_as_it_happens_on_standard_error(tiny_policy, observation, capsys):
    decision = tiny_policy.act(observation)
    console.show_event(Begun("BabyAI-GoToObj-v0", "go to [the] red ball"))
    console.show_event(Decided(replace(decision, label="[left]")))
    console.show_event(Ended(True, 5))
    console.show_event(Ended(False, 64))
    out, err = capsys.readouterr()
    assert out == ""
    for fact in ('hears "go to [the] red ball"', "[left]", f"{decision.confidence:.1%}", "solved in 5 steps", "missed"):
        assert fact in err


def test_training_is_told_on_standard_error(capsys):
    numbers = {"step": 3, "steps": 9, "imitation": 1.5, "accuracy": 0.25, "samples_per_s": 100.0}
    with console.training() as report:
        report("data", {"what": "40 demonstrations", "total": 40})
        report("made", {"count": 40})
        report("step", numbers)
        judged = {"camera + mic": {"accuracy": 0.5, "loss": 2.0}}
        report("held out", {"step": 3, "held_out": judged, "understood": 0.75})
        report("held out", {"step": 4, "held_out": judged})
        report("held out", {"step": 5, "held_out": {}, "understood": 0.8})
        report("checkpoint", {"step": 3})
    out, err = capsys.readouterr()
    assert out == ""
    assert "imitating" in err
    assert "imitation 1.500  accuracy 0.250" in err
    judged = "camera + mic: agrees in 50.0% of held-out decisions (loss 2.000)"
    assert f"step 3, held out: {judged}; 75.0% of utterances understood\n" in err
    assert f"step 4, held out: {judged}\n" in err
    assert "step 5, held out: 80.0% of utterances understood\n" in err
    assert "step 3: checkpoint written" in err


def test_who_only_listens_is_said_to_listen(capsys):
    with console.training() as report:
        report("step", {"step": 3, "steps": 9, "alignment": 12.5, "samples_per_s": 0.0})
    err = capsys.readouterr().err
    assert "listening" in err
    assert "alignment 12.500" in err


def test_a_run_says_how_to_go_on(capsys):
    from sensorimotor.pipelines.train import Trained

    judged = {"camera + mic": {"accuracy": 0.5, "loss": 1.0}}
    console.trained(Trained(Path("runs/x"), 5, 9, False, 60.0, judged, None, {}))
    console.trained(Trained(Path("runs/x"), 9, 9, True, 120.0, judged, {"error": {"camera + mic": 0.02}}, {}))
    out = capsys.readouterr().out
    assert "5 of 9  (continue with --resume)" in out
    assert "9 of 9" in out
    assert "0.020 (camera + mic)" in out
    assert out.count("50.0% of held-out decisions") == 2


def test_progress_goes_to_standard_error(capsys):
    with console.counting("BabyAI", 4) as progress:
        progress(3)
        progress(1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/4" in err


def test_a_vector_with_names_that_is_safe_is_shown(capsys):
    signature = Reach.signature(horizon=4).to_json()
    assert "constant [0.0, 0.0]" in console.action_rows(signature)["safe action"]
    assert "x -0.5 to 0.5 m/s" in console.action_rows(signature)["actions"]
