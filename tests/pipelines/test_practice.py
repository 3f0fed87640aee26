import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from sensorimotor.models.network import Network
from sensorimotor.pipelines import expert as experts
from sensorimotor.pipelines import practice
from sensorimotor.pipelines.babyai import BabyAIWorld, signature
from sensorimotor.pipelines.expert import Expert, read_lessons
from sensorimotor.pipelines.frames import FrameTable
from sensorimotor.pipelines.practice import practise

pytestmark = pytest.mark.usefixtures("one_thread")
ONE, LOCAL, FIRST = "BabyAI-GoToObj-v0", "BabyAI-GoToLocal-v0", 500
OPTIONS = {"considerate": False, "longest": 12}


@pytest.fixture
def pupil(tiny_recipe, material):
    """A network that has not learnt anything, and so wanders about."""
    torch.manual_seed(0)
    return Network(signature(), tiny_recipe.network, material.tokenizer)


@pytest.fixture
def stubborn(monkeypatch):
    """Lets the network do one and the same thing: `stubborn(FORWARD)`."""

    def do(action):
        monkeypatch.setattr(practice._Actor, "act", lambda _, rows, views, rng: np.full(len(rows), action))

    return do


def played(path, network, levels=((ONE, 3),), first_seed=FIRST, **options):
    practise(network, levels, first_seed, path, **OPTIONS | options)
    return read_lessons(path)


def test_episodes_of_all_levels_are_played_from_consecutive_seeds(pupil, tmp_path):
    shown = played(tmp_path / "new" / "1.npz", pupil, [(ONE, 2), (LOCAL, 3)])
    assert shown.seeds.tolist() == [FIRST, FIRST + 1, FIRST, FIRST + 1, FIRST + 2]
    levels = [ONE, ONE, LOCAL, LOCAL, LOCAL]
    for level, seed, mission, start in zip(levels, shown.seeds, shown.missions, shown.starts[:-1], strict=True):
        raw, info = BabyAIWorld(level).reset(seed=int(seed))
        assert mission == info["mission"]
        assert np.array_equal(FrameTable().render(shown.symbols[start : start + 1])[0], raw["camera"])


def test_episodes_are_broken_off_when_they_get_too_long(pupil, tmp_path, stubborn):
    stubborn(0)
    assert played(tmp_path / "1.npz", pupil, longest=7).lengths.tolist() == [7, 7, 7]
    assert played(tmp_path / "2.npz", pupil, longest=1).lengths.tolist() == [1, 1, 1]


def test_what_is_written_is_what_the_expert_advised_at_what_the_network_saw(pupil, tmp_path, stubborn):
    left = 0
    stubborn(left)
    shown = played(tmp_path / "1.npz", pupil)
    for i, seed in enumerate(shown.seeds):
        world = BabyAIWorld(ONE)
        world.reset(seed=int(seed))
        expert, last = Expert(world.game), None
        for step in range(shown.starts[i], shown.starts[i + 1]):
            assert np.array_equal(shown.symbols[step], world.game.gen_obs()["image"])
            assert shown.actions[step] == expert.advise(last)
            world.step(left)
            last = left
    assert len(set(shown.actions.tolist())) > 1
    assert shown.cells.any()


def test_an_episode_ends_when_the_mission_is_fulfilled(pupil, tmp_path, monkeypatch):
    """A pupil that does what it is told, as soon as it is told."""
    advised = []
    advise = practice.Lesson.advise

    def overheard(lesson):
        advised.append(advise(lesson))
        return advised[-1]

    def obedient(_, rows, views, rng):
        return np.array(advised[-len(rows) :])

    monkeypatch.setattr(practice.Lesson, "advise", overheard)
    monkeypatch.setattr(practice._Actor, "act", obedient)
    shown = played(tmp_path / "1.npz", pupil, longest=60)
    assert shown.lengths.tolist() == list(experts.expert_steps(ONE, [FIRST, FIRST + 1, FIRST + 2]).values())
    assert len(set(shown.lengths.tolist())) > 1


def test_the_considerate_expert_advises_if_asked(pupil, tmp_path, stubborn):
    stubborn(0)
    bot, considerate = (
        played(tmp_path / f"{kind}.npz", pupil, [(LOCAL, 10)], considerate=kind).actions for kind in (False, True)
    )
    assert len(bot) == len(considerate)
    assert not np.array_equal(bot, considerate)


def test_the_same_network_and_seed_play_the_same_again_in_any_mode(pupil, tmp_path):
    for name, network in (("1", pupil.train()), ("2", pupil.eval())):
        played(tmp_path / f"{name}.npz", network, [(ONE, 2), (LOCAL, 2)])
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


def test_other_seeds_and_other_networks_play_otherwise(pupil, tmp_path, tiny_network):
    first = played(tmp_path / "1.npz", pupil)
    assert played(tmp_path / "2.npz", pupil, first_seed=FIRST + 50).missions != first.missions
    other = played(tmp_path / "3.npz", tiny_network)
    assert other.missions == first.missions
    assert other.symbols.tolist() != first.symbols.tolist()


def test_weights_stay_as_they_were(pupil, tmp_path):
    before = {name: value.clone() for name, value in pupil.state_dict().items()}
    played(tmp_path / "1.npz", pupil)
    assert all(torch.equal(value, before[name]) for name, value in pupil.state_dict().items())
    assert all(parameter.grad is None for parameter in pupil.parameters())


def test_playing_side_by_side_is_as_playing_one_after_the_other(tiny_network, tmp_path, monkeypatch):
    """Nobody plays with somebody else's memory or mission: certain of itself, a network does the same again."""
    certain = copy.deepcopy(tiny_network)
    certain.core.head.temperature.fill_(1e-6)
    together = played(tmp_path / "1.npz", certain, [(LOCAL, 6)])
    monkeypatch.setattr(practice, "AT_ONCE", 1)
    alone = played(tmp_path / "2.npz", certain, [(LOCAL, 6)])
    assert together.symbols.tolist() == alone.symbols.tolist()
    assert together.actions.tolist() == alone.actions.tolist()
    assert len(set(alone.missions)) > 2


def test_actions_come_up_as_often_as_the_network_says(pupil, tmp_path, monkeypatch):
    done = []
    act = practice._Actor.act
    monkeypatch.setattr(practice._Actor, "act", lambda *arguments: done.append(act(*arguments)) or done[-1])
    with torch.no_grad():  # whatever it sees
        last = [module for module in pupil.core.head.modules() if isinstance(module, torch.nn.Linear)][-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.6, 0.3, 0.1, 1e-9, 1e-9, 1e-9, 1e-9]).log())
    played(tmp_path / "1.npz", pupil, [(LOCAL, 40)], longest=15)
    shares = np.bincount(np.concatenate(done), minlength=7) / len(np.concatenate(done))
    assert shares == pytest.approx([0.6, 0.3, 0.1, 0, 0, 0, 0], abs=0.07)


def test_an_expert_that_gives_up_ends_the_episode_and_nothing_else(pupil, tmp_path, stubborn, monkeypatch):
    stubborn(0)
    advise = Expert.advise
    lost = BabyAIWorld(ONE)
    lost.reset(seed=FIRST + 1)
    where = tuple(lost.game.agent_pos)

    def sometimes(self, last):
        game, steps = self._bot.mission, self._bot.mission.step_count
        if tuple(game.agent_pos) == where and steps == 3:
            raise AssertionError("the bot did not expect this")
        return advise(self, last)

    monkeypatch.setattr(Expert, "advise", sometimes)
    assert played(tmp_path / "1.npz", pupil, longest=6).lengths.tolist() == [6, 3, 6]


def test_an_episode_in_which_the_expert_has_nothing_to_say_is_left_out(pupil, tmp_path, monkeypatch):
    def never(*_):
        raise experts.Hang

    monkeypatch.setattr(Expert, "advise", never)
    assert len(played(tmp_path / "1.npz", pupil)) == 0


def test_missions_that_are_to_be_left_out_are_not_played(pupil, tmp_path):
    everything = played(tmp_path / "1.npz", pupil, [(ONE, 8)])
    some = played(tmp_path / "2.npz", pupil, [(ONE, 8)], leave_out=lambda mission: "ball" in mission)
    expected = [(m, s) for m, s in zip(everything.missions, everything.seeds.tolist(), strict=True) if "ball" not in m]
    assert list(zip(some.missions, some.seeds.tolist(), strict=True)) == expected
    assert 0 < len(some) < 8
    assert len(played(tmp_path / "3.npz", pupil, leave_out=lambda _: True)) == 0


def test_a_network_without_ears_practises_too(tiny_recipe, material, tmp_path):
    torch.manual_seed(0)
    deaf = Network(signature(utterance_s=None), tiny_recipe.network, material.tokenizer)
    assert len(played(tmp_path / "1.npz", deaf)) == 3


def test_it_can_be_done_in_a_thread(pupil, tmp_path):
    """Training may run in one, where no alarm can be set against an expert that hangs."""
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(played, tmp_path / "1.npz", pupil).result()) == 3
