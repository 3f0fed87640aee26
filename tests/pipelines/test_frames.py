import numpy as np
import pytest

from sensorimotor.pipelines.babyai import BabyAIWorld
from sensorimotor.pipelines.expert import play_expert
from sensorimotor.pipelines.frames import FrameTable

LOCAL, PUT_NEXT = "BabyAI-GoToLocal-v0", "BabyAI-PutNextLocal-v0"


@pytest.mark.parametrize("level", [LOCAL, PUT_NEXT, "BabyAI-PickupLoc-v0", "BabyAI-UnlockLocal-v0", "BabyAI-Synth-v0"])
def test_frames_from_the_table_are_the_frames_of_the_camera(level):
    world, table, rng = BabyAIWorld(level), FrameTable(), np.random.default_rng(0)
    symbols, frames, carried = [], [], 0

    def note():
        nonlocal carried
        symbols.append(world.game.gen_obs()["image"])
        frames.append(world.frame())
        carried += world.game.carrying is not None

    for seed in range(5):
        world.reset(seed=seed)
        note()
        for _ in range(20):  # wandering, grabbing and opening at random first
            if world.step(int(rng.choice([0, 1, 2, 2, 3, 4, 5])))[2]:
                world.reset(seed=seed)
            note()
        world.reset(seed=seed)
        play_expert(world.game, after_step=note)
    assert len(frames) > 100
    assert carried or level == LOCAL
    assert np.array_equal(table.render(np.array(symbols)), np.array(frames))


def test_no_frames_are_no_problem():
    assert FrameTable().render(np.zeros((0, 7, 7, 3), np.uint8)).shape == (0, 56, 56, 3)
