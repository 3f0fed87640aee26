import hashlib
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from minigrid.wrappers import RGBImgPartialObsWrapper

from sensorimotor.errors import MissingExtraError, WorldError
from sensorimotor.perception.utterance import Endpointer
from sensorimotor.pipelines.babyai import (
    ACTIONS,
    DONE,
    EVALUATION_SEED,
    LEAD_IN_S,
    RATE_HZ,
    TAIL_S,
    BabyAIWorld,
    Gaze,
    make_level,
    signature,
)
from sensorimotor.pipelines.expert import Expert
from sensorimotor.pipelines.sound import SAMPLE_RATE
from sensorimotor.pipelines.speech import speaker

LEVELS = ("BabyAI-GoToLocal-v0", "BabyAI-PutNextLocal-v0", "BabyAI-PickupLoc-v0", "BabyAI-UnlockLocal-v0")
VOICES = ("espeak:en-us", "espeak:en-gb-scotland", "espeak:en-us+f3", "espeak:en+belinda", "espeak:en-us+klatt4")
LOCAL = "BabyAI-GoToLocal-v0"
LEFT, RIGHT, FORWARD = (ACTIONS.index(name) for name in ("left", "right", "forward"))


def contents(world):
    """Everything in a room, and where the agent is."""
    game = world.game
    return game.grid.encode().tolist(), tuple(game.agent_pos), int(game.agent_dir)


def heard(chunks):
    """The utterances that a policy's ear cuts out of a stream."""
    ear = signature().inputs["mic"]
    endpointer = Endpointer(ear.sample_rate, ear.seconds)
    return [utterance.sound for chunk in chunks for utterance in endpointer.feed(chunk)]


# Sight


@pytest.mark.parametrize("level", LEVELS)
def test_the_camera_sees_the_pixels_of_minigrids_own_wrapper(level):
    world = BabyAIWorld(level)
    reference = RGBImgPartialObsWrapper(gymnasium.make(level, disable_env_checker=True), tile_size=8)
    rng = np.random.default_rng(0)
    for seed in range(3):
        raw, _ = world.reset(seed=seed)
        expected, _ = reference.reset(seed=seed)
        for _ in range(25):
            assert np.array_equal(raw["camera"], expected["image"])
            action = rng.integers(len(ACTIONS) - 1)
            raw, reward, terminated, _, outcome = world.step(action)
            expected, its_reward, its_terminated, _, _ = reference.step(action)
            assert (reward, terminated) == (its_reward, its_terminated)
            assert outcome["success"] == (reward > 0)
            if terminated:
                break


def test_what_the_policy_is_told_of_the_world_is_true():
    world = BabyAIWorld(LOCAL, speakers=[speaker("espeak:en-us")])
    raw, info = world.reset(seed=1)
    promised = signature()
    assert list(raw) == ["camera", "instruction", "mic"]
    assert promised.check({name: raw[name] for name in ("camera", "instruction")})
    assert raw["instruction"] == info["mission"] == world.mission
    assert raw["mic"].dtype == np.float32
    assert world.action_space.n == promised.action_space.size
    assert promised.inputs["camera"].critical
    assert world.room().ndim == 3


def test_a_channel_that_is_switched_off_is_missing():
    world = BabyAIWorld(LOCAL, written=False)
    assert list(world.reset(seed=1)[0]) == list(world.observation_space) == ["camera"]
    assert list(world.step(DONE)[0]) == ["camera"]
    written = BabyAIWorld(LOCAL)
    assert set(written.reset(seed=1)[0]) == set(written.observation_space) == {"camera", "instruction"}
    assert "mic" not in signature(utterance_s=None).inputs


# Hearing


@pytest.mark.parametrize("voice", VOICES)
def test_the_mission_is_heard_before_the_first_step_as_exactly_one_utterance(voice):
    world = BabyAIWorld(LOCAL, speakers=[speaker(voice)])
    for seed in range(6):
        raw, _ = world.reset(seed=seed)
        chunks = [raw["mic"]] + [world.step(DONE)[0]["mic"] for _ in range(8)]
        (utterance,) = heard(chunks[:1])
        assert len(heard(chunks)) == 1
        said = len(speaker(voice).say(world.mission))
        assert 0.5 * said < len(utterance) < min(64_000, said + 0.5 * SAMPLE_RATE)
        assert all(len(chunk) == SAMPLE_RATE / RATE_HZ for chunk in chunks[1:])


def test_speech_begins_after_the_lead_in_and_ends_before_the_tail():
    world = BabyAIWorld(LOCAL, speakers=[speaker("espeak:en-us")])
    begins = []
    for seed in range(30):
        stream = world.reset(seed=seed)[0]["mic"][:, 0]
        said = len(speaker("espeak:en-us").say(world.mission))
        begins.append((len(stream) - said) / SAMPLE_RATE - TAIL_S)
        start = round(begins[-1] * SAMPLE_RATE)
        assert np.abs(stream[:start]).max() < 0.02
        assert np.abs(stream[-round(TAIL_S * SAMPLE_RATE) :]).max() < 0.02
        assert np.abs(stream[start : start + said]).max() > 0.05
        assert np.array_equal(world.spoken[:, 0], stream)
    assert LEAD_IN_S[0] - 1e-3 <= min(begins) < 0.5 < 1.0 < max(begins) <= LEAD_IN_S[1] + 1e-3


# Seeds


def test_a_seed_gives_the_same_room_and_the_same_sound_again():
    def episode(seed):
        world = BabyAIWorld(LOCAL, speakers=[speaker(voice) for voice in VOICES])
        raw, _ = world.reset(seed=seed)
        sounds = [raw["mic"], *(world.step(DONE)[0]["mic"] for _ in range(3))]
        return contents(world), raw["camera"].tolist(), world.mission, np.concatenate(sounds).tolist()

    first = episode(EVALUATION_SEED + 5)
    assert first == episode(EVALUATION_SEED + 5)
    for ours, theirs in zip(first, episode(EVALUATION_SEED + 6), strict=True):
        assert ours != theirs


def test_a_seed_sounds_the_same_in_another_process():
    program = (
        "import hashlib; from sensorimotor.pipelines.babyai import BabyAIWorld;"
        "from sensorimotor.pipelines.speech import speaker;"
        f"world = BabyAIWorld({LOCAL!r}, speakers=[speaker('espeak:en-us+f3')]); world.reset(seed=7);"
        "print(hashlib.sha256(world.spoken).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    world = BabyAIWorld(LOCAL, speakers=[speaker("espeak:en-us+f3")])
    world.reset(seed=6)
    world.reset(seed=7)
    assert hashlib.sha256(world.spoken).hexdigest() == done.stdout.strip()


def test_one_world_plays_a_seed_as_a_fresh_one_does():
    used, fresh = (BabyAIWorld(LOCAL, speakers=[speaker("espeak:en-us")]) for _ in range(2))
    used.reset(seed=3)
    used.step(FORWARD)
    again, expected = used.reset(seed=4)[0], fresh.reset(seed=4)[0]
    assert all(np.array_equal(again[name], expected[name]) for name in ("camera", "mic", "instruction"))


def test_the_room_is_the_same_whoever_speaks():
    worlds = [BabyAIWorld(LOCAL), *(BabyAIWorld(LOCAL, speakers=[speaker(voice)]) for voice in VOICES[:2])]
    for seed in range(5):
        for world in worlds:
            world.reset(seed=seed)
        assert len({str(contents(world)) + world.mission for world in worlds}) == 1
    assert not np.array_equal(worlds[1].spoken, worlds[2].spoken)


def test_everybody_gets_to_speak():
    class Names:
        def __init__(self, loud):
            self.loud = loud

        def say(self, text):
            return np.full(1000, self.loud, np.float32)

    world = BabyAIWorld(LOCAL, speakers=[Names(loud) for loud in (0.2, 0.4, 0.6)])
    peaks = [round(float(world.reset(seed=seed)[0]["mic"].max()), 1) for seed in range(30)]
    assert set(peaks) == {0.2, 0.4, 0.6}


def test_without_a_seed_every_room_is_another():
    world = BabyAIWorld(LOCAL)
    world.reset()
    rooms = {str(contents(world)) for _ in range(4) if world.reset()}
    assert len(rooms) > 1


# Another mission in the same room


def test_a_swapped_mission_names_another_object_of_the_same_room():
    world, swapped = BabyAIWorld(LOCAL), BabyAIWorld(LOCAL, swap_mission=True)
    for seed in range(20):
        world.reset(seed=seed)
        raw, info = swapped.reset(seed=seed)
        assert contents(swapped) == contents(world)
        assert raw["instruction"] == info["mission"] == swapped.mission != world.mission
        color, kind = swapped.mission.split()[-2:]
        assert any(thing and (thing.color, thing.type) == (color, kind) for thing in swapped.game.grid.grid)


def test_the_swapped_mission_is_the_one_that_is_scored():
    swapped = BabyAIWorld(LOCAL, swap_mission=True)
    for seed in range(5):
        swapped.reset(seed=seed)
        expert, last, outcome = Expert(swapped.game), None, {"success": False}
        while not outcome["success"]:
            last = expert.advise(last)
            _, _, _, truncated, outcome = swapped.step(last)
            assert not truncated
        faced = swapped.game.grid.get(*swapped.game.front_pos)
        assert swapped.mission.endswith(f"{faced.color} {faced.type}")


def test_a_seed_swaps_to_the_same_mission_again_and_it_is_the_one_that_is_spoken():
    class Listener:
        said = []

        def say(self, text):
            self.said.append(text)
            return np.zeros(100, np.float32)

    for _ in range(2):
        BabyAIWorld(LOCAL, speakers=[Listener()], swap_mission=True).reset(seed=9)
    world = BabyAIWorld(LOCAL, swap_mission=True)
    world.reset(seed=9)
    assert Listener.said == [world.mission] * 2


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("BabyAI-PutNextLocal-v0", "PutNextLocal-v0: only 'go to' missions can be swapped, not 'put the"),
        ("BabyAI-GoToObj-v0", "GoToObj-v0: there is no other object in the room"),
    ],
)
def test_a_mission_that_cannot_be_swapped_is_refused(level, message):
    with pytest.raises(WorldError, match=message):
        BabyAIWorld(level, swap_mission=True).reset(seed=0)


# The first object that was turned to

WRONG, ASKED = "blue key", "red ball"


@pytest.mark.parametrize(
    ("objects", "turns", "correct"),
    [
        ({(3, 4): ASKED, (1, 1): WRONG}, [], None),
        ({(3, 4): ASKED, (1, 1): WRONG}, [RIGHT], True),
        ({(3, 4): WRONG, (1, 1): ASKED}, [RIGHT], False),
        ({(3, 4): WRONG, (3, 2): ASKED}, [RIGHT, LEFT, LEFT], False),
        ({(4, 3): WRONG, (3, 2): ASKED}, [DONE, DONE], None),  # faced since the beginning: nobody's choice
        ({(4, 3): WRONG, (3, 2): ASKED}, [LEFT], True),
        ({(4, 3): WRONG, (1, 1): ASKED}, [LEFT, RIGHT], False),  # looked away and back
        ({(4, 3): ASKED, (3, 2): WRONG}, [DONE], True),
        ({(5, 3): WRONG, (3, 2): ASKED}, [FORWARD], False),
        ({(6, 6): ASKED, (1, 1): WRONG}, [LEFT, LEFT, LEFT, LEFT], None),
    ],
)
def test_the_first_object_turned_to_is_told_apart_from_what_was_faced_by_chance(room, objects, turns, correct):
    game = room(objects, ASKED)
    gaze = Gaze(game)
    for action in turns:
        game.step(action)
        gaze.look()
    assert gaze.first_object_correct is correct


def test_who_has_turned_to_nothing_has_not_turned_to_the_right_thing():
    world = BabyAIWorld("BabyAI-GoToObj-v0")
    world.reset(seed=2)
    assert world._gaze.verdict is False
    while world._gaze.verdict is False:
        world.step(Expert(world.game).advise(None))
    assert world._gaze.verdict is True


def test_looking_is_only_scored_where_the_mission_is_to_go_somewhere():
    world = BabyAIWorld("BabyAI-PickupLoc-v0")
    world.reset(seed=0)
    for _ in range(12):
        world.step(RIGHT)
        world.step(FORWARD)
        assert world._gaze.verdict is None


# What is refused, and what is printed


def test_an_unknown_level_is_answered_with_what_may_have_been_meant():
    with pytest.raises(WorldError, match=r"no BabyAI level 'BabyAI-GoToLocl-v0'; did you mean BabyAI-GoToLocal-v0"):
        BabyAIWorld("BabyAI-GoToLocl-v0")
    for stranger in ("CartPole-v1", "", "../x"):
        with pytest.raises(WorldError, match="did you mean"):
            make_level(stranger)


def test_without_minigrid_the_extra_that_brings_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "minigrid", None)
    with pytest.raises(MissingExtraError, match=r"the environment BabyAI-GoToLocal-v0 needs minigrid.*\[sim\]"):
        BabyAIWorld(LOCAL)


def test_nothing_is_printed_though_minigrid_reports_the_rooms_it_rejects(capsys):
    game = make_level("BabyAI-PutNextLocal-v0")
    for seed in range(20):
        game.reset(seed=seed)
    assert "Sampling rejected" in capsys.readouterr().out
    world = BabyAIWorld("BabyAI-PutNextLocal-v0")
    for seed in range(20):
        world.reset(seed=seed)
        world.step(FORWARD)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_an_episode_ends_when_its_time_is_over():
    world = BabyAIWorld("BabyAI-GoToObj-v0")
    world.reset(seed=0)
    for step in range(1, world.max_steps + 1):
        _, reward, terminated, truncated, outcome = world.step(DONE)
        assert (reward, terminated, truncated, outcome["success"]) == (0.0, False, step == world.max_steps, False)
