import json
import sys

import pytest

from sensorimotor.errors import BundleError, OutputPathError, SpeechError, UsageError
from sensorimotor.models.policy import Policy
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.pipelines import demo as module
from sensorimotor.pipelines.babyai import EVALUATION_SEED, signature
from sensorimotor.pipelines.demo import LEVELS, SPEAKERS, Begun, Decided, Ended, demo
from sensorimotor.pipelines.recipe import load_recipe
from sensorimotor.pipelines.speech import speaker

ONE = ("BabyAI-GoToObj-v0",)
VOICE = ("espeak:en-us+f3",)


@pytest.fixture(scope="module")
def shown(tiny_bundle, tmp_path_factory):
    """A demonstration of two levels without a film: what it gave back, its directory, and what it told."""
    out, told = tmp_path_factory.mktemp("demo") / "new" / "out", []
    levels = (*ONE, "BabyAI-GoToRedBall-v0")
    summary = demo(str(tiny_bundle), out, episodes=2, levels=levels, speakers=VOICE, film=False, watch=told.append)
    return summary, out, told


def records(out):
    return [json.loads(line) for line in (out / "decisions.jsonl").read_text().splitlines()]


def test_it_writes_a_summary_that_says_where_everything_is(shown, tiny_bundle):
    summary, out, _ = shown
    assert json.loads((out / "summary.json").read_text()) == summary
    assert summary["files"] == {"decisions": str(out / "decisions.jsonl"), "summary": str(out / "summary.json")}
    assert {path.name for path in out.iterdir()} == {"decisions.jsonl", "summary.json"}
    assert (summary["policy"], summary["inputs"]) == (str(tiny_bundle), ["camera", "mic"])
    assert summary["fingerprint"] == Policy.load(tiny_bundle).fingerprint
    assert [row["level"] for row in summary["levels"]] == ["BabyAI-GoToObj-v0", "BabyAI-GoToRedBall-v0"]
    for row in summary["levels"]:
        assert 0 <= row["solved"] <= row["played"] == 2
        assert set(row["decision_ms"]) == {"p50", "p95", "p99", "max"}
    assert summary["max_rss_mb"] > 50
    assert {"date", "hardware", "versions"} < set(summary)


def test_every_decision_is_a_line_that_says_what_the_policy_saw_and_did(shown):
    summary, out, _ = shown
    lines = records(out)
    assert len(lines) == sum(row["mean_steps"] * row["played"] for row in summary["levels"])
    for line in lines:
        assert line["policy"] == summary["fingerprint"]
        assert line["inputs"]["camera"]["present"]
        assert line["inputs"]["mic"]["present"]
        assert not line["inputs"]["instruction"]["present"]
        assert line["label"]
    episodes = {(line["level"], line["seed"], line["mission"]) for line in lines}
    first = module.DEMO_SEED
    assert [seed for _, seed, _ in sorted(episodes)] == [first, first + 1] * 2
    assert first >= EVALUATION_SEED


def test_whoever_watches_is_told_everything_in_order(shown):
    summary, out, told = shown
    assert [event.decision.to_json()["step"] for event in told if isinstance(event, Decided)] == [
        line["step"] for line in records(out)
    ]
    kinds = [type(event) for event in told]
    assert (kinds[0], kinds[1], kinds[-1]) == (Begun, Decided, Ended)
    assert kinds.count(Begun) == kinds.count(Ended) == 4
    ends = [event for event in told if isinstance(event, Ended)]
    assert sum(event.success for event in ends) == sum(row["solved"] for row in summary["levels"])


def test_it_plays_the_same_again(shown, tiny_bundle, tmp_path):
    demo(str(tiny_bundle), tmp_path, episodes=2, levels=ONE, speakers=VOICE, film=False)
    before = [line for line in records(shown[1]) if line["level"] == ONE[0]]
    again = records(tmp_path)
    for line in (*before, *again):
        del line["timings_ms"]
    assert again == before


def test_it_makes_a_film(tiny_bundle, tmp_path, monkeypatch):
    av = pytest.importorskip("av")
    monkeypatch.setattr(module, "STEP_S", 0.04)
    monkeypatch.setattr(module, "OUTCOME_S", 0.04)
    summary = demo(str(tiny_bundle), tmp_path, episodes=1, levels=ONE, speakers=VOICE)
    assert summary["files"]["film"] == str(tmp_path / "demo.mp4")
    assert {path.name for path in tmp_path.iterdir()} == {"demo.mp4", "decisions.jsonl", "summary.json"}
    steps = summary["levels"][0]["mean_steps"]
    with av.open(str(tmp_path / "demo.mp4")) as film:
        pictures, sound = film.streams.video[0], film.streams.audio[0]
        assert pictures.frames > steps
        assert float(sound.duration * sound.time_base) > 1.5  # the mission is heard before anything is done


def test_a_policy_without_an_ear_is_told_in_writing(one_thread, tmp_path, monkeypatch):
    from sensorimotor.models.network import Network, NetworkSpec
    from sensorimotor.models.torch_backend import TorchBackend

    deaf, words = signature(utterance_s=None), Tokenizer.train(["go to the red ball"], 16)
    network = Network(deaf, NetworkSpec(image_dim=8, text_dim=8, dim=8, blocks=0), words)
    monkeypatch.setattr(Policy, "load", lambda _: Policy(deaf, TorchBackend(network), words))
    summary = demo("deaf", tmp_path, episodes=1, levels=ONE, speakers=VOICE)
    assert (summary["inputs"], summary["speakers"]) == (["camera", "instruction"], [])
    lines = [json.loads(line) for line in (tmp_path / "decisions.jsonl").read_text().splitlines()]
    assert lines
    assert all(line["inputs"]["instruction"]["present"] for line in lines)
    assert (tmp_path / "demo.mp4").stat().st_size > 0


def test_without_a_film_no_film_is_needed(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert "film" not in demo(str(tiny_bundle), tmp_path, episodes=1, levels=ONE, speakers=VOICE, film=False)["files"]


# What is refused, before anything is played


@pytest.mark.parametrize("film", [True, False])
@pytest.mark.parametrize("place", ["/proc/nowhere", "file/out"])
def test_a_place_that_cannot_be_written_is_refused_before_playing(tiny_bundle, tmp_path, place, film):
    (tmp_path / "file").touch()
    told = []
    with pytest.raises(OutputPathError, match=f"cannot write {tmp_path / place}"):
        demo(str(tiny_bundle), tmp_path / place, film=film, watch=told.append)
    assert told == []


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"policy_source": "nobody"}, BundleError, "no bundled policy 'nobody'"),
        ({"speakers": ("espeak:en-us+nobody",)}, SpeechError, "no voice"),
        ({"levels": ("BabyAI-Nowhere-v0",)}, UsageError, "BabyAI-Nowhere-v0"),
    ],
)
def test_what_cannot_be_had_is_named(tiny_bundle, tmp_path, change, error, message):
    told = []
    options = {"policy_source": str(tiny_bundle), "levels": ONE, "film": True} | change
    with pytest.raises(error, match=message):
        demo(options.pop("policy_source"), tmp_path, watch=told.append, **options)
    assert told == []
    assert list(tmp_path.iterdir()) == []


# The voices of the demonstration


@pytest.mark.parametrize("voice", SPEAKERS)
def test_every_voice_of_the_demonstration_exists(voice):
    assert len(speaker(voice).say("go")) > 1000


def test_no_voice_of_the_demonstration_was_trained_on(request):
    recipe = load_recipe(request.config.rootpath / "recipes" / "default.toml")
    assert not set(SPEAKERS) & set(recipe.speech.speakers)
    assert set(LEVELS) == {level.id for level in recipe.data.levels}
