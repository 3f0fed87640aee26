"""Learning from films: the frames that films of a batch share are encoded once, and tokens are those of whole films."""

import numpy as np
import pytest
import torch

from sensorimotor.actions.space import Discrete
from sensorimotor.models.network import Network, NetworkSpec
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Image, State
from sensorimotor.pipelines.episode_batches import EpisodeBatches
from sensorimotor.pipelines.episode_recipe import Augment, EpisodeTraining
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.examples import Example
from sensorimotor.pipelines.observed import observed
from sensorimotor.pipelines.token_table import Encoding, token_table

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Image(height=16, width=16, frames=4)
SIGNATURE = Signature({"camera": CAMERA, "joints": State(size=2)}, Discrete(2), Constant(0), 10.0)
LENGTHS = (12, 7)
FRAMES = Feature("image", (16, 16, 3))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Network(SIGNATURE, NetworkSpec(image_dim=8, dim=16)).eval()


@pytest.fixture(scope="module")
def shown(memory):
    """Two episodes, a new frame at each step."""
    rng, found = np.random.default_rng(0), []
    for number, length in enumerate(LENGTHS):
        times_s = np.arange(length) / 10
        frames = rng.integers(0, 256, (length, 16, 16, 3)).astype(np.uint8)
        joints = rng.standard_normal((length, 2)).astype(np.float32)
        tracks = {"camera": memory.Track(times_s, frames), "joints": memory.Track(times_s, joints)}
        episode = memory.Episode(f"episode {number}", times_s, tracks)
        seen = {
            "camera": observed(episode, "camera", FRAMES, CAMERA),
            "joints": observed(episode, "joints", Feature("vector", (2,)), SIGNATURE.inputs["joints"]),
        }
        found.append(Example(number, episode.name, seen, np.zeros(length, np.int64), np.ones(length, bool)))
    return found


@pytest.fixture
def batches(shown):
    def make(tables=None, augment=None, **training):
        plan = EpisodeTraining(
            steps=1, **{"sequence_steps": 8, "batch_episodes": 3, "lost_frames": 0.0, "stale_frames": 0.0, **training}
        )
        return EpisodeBatches(shown, SIGNATURE, None, tables or {}, plan, augment or Augment(), {}, 0)

    return make


def everything(batches):
    """All episodes, as they are."""
    [[batch]] = batches(sequence_steps=20, batch_episodes=2).held_out(SIGNATURE.names)
    return batch


def table_of(network, shown, cache, augment=None):
    seen = {example.number: example.seen["camera"] for example in shown}
    how = Encoding("camera", "camera", CAMERA, network.encoders["camera"], None, augment or Augment(), 0)
    return {"camera": token_table(how, seen, "data", cache, torch.device("cpu"))}


@torch.inference_mode()
def whole_films(network, shown, batch):
    """Tokens of what each step saw, every film encoded on its own."""
    order = sorted(shown, key=len)
    films = [
        torch.from_numpy(order[int(episode)].seen["camera"].values.read([int(time)])[0])
        for episode, time in zip(batch.episode, batch.time, strict=True)
    ]
    return torch.stack([network.encoders["camera"](film)[0].flatten(0, 1) for film in films])


@torch.inference_mode()
def tokens_of(network, given):
    tokens, mask = given.arguments if given.encoded else network.encoders["camera"](*given.arguments)
    tokens, mask = given.whole(tokens, mask)
    assert mask.shape == tokens.shape[:2]
    return tokens[given.value]


def test_frames_that_films_share_are_given_once(batches):
    given = everything(batches).inputs["camera"]
    assert given.arguments[0].shape == (sum(LENGTHS), 16, 16, 3)
    assert given.frames.shape == (sum(LENGTHS), 4)
    assert given.frames[:2].tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]  # the shorter episode comes first
    assert given.frames[7].tolist() == [7, 7, 7, 7]


def test_tokens_are_those_of_films_that_are_encoded_whole(network, shown, batches):
    batch = everything(batches)
    found = tokens_of(network, batch.inputs["camera"])
    assert torch.allclose(found, whole_films(network, shown, batch), atol=1e-5)


def test_a_token_table_gives_the_same(network, shown, batches, tmp_path):
    tables = table_of(network, shown, tmp_path)
    [[batch]] = batches(tables, sequence_steps=20, batch_episodes=2).held_out(SIGNATURE.names)
    given = batch.inputs["camera"]
    assert given.encoded
    assert len(given.arguments[0]) == sum(LENGTHS)
    assert torch.allclose(tokens_of(network, given), whole_films(network, shown, batch), atol=1e-2)


def test_inputs_that_are_no_films_are_as_they_were(batches):
    given = everything(batches).inputs["joints"]
    assert given.frames is None
    tokens, mask = torch.zeros(3, 1, 4), torch.ones(3, 1)
    assert given.whole(tokens, mask) == (tokens, mask)


def test_the_frames_of_a_stretch_vary_alike_and_stretches_of_one_episode_do_not(batches):
    """As in a room that is darker today: a film does not flicker."""
    maker = batches(augment=Augment(light=0.5), batch_episodes=8)
    plain, varied = (one.training_batch(0).inputs["camera"] for one in (batches(batch_episodes=8), maker))
    assert torch.equal(plain.frames, varied.frames)
    brighter = varied.arguments[0].float().mean((1, 2, 3)) - plain.arguments[0].float().mean((1, 2, 3))
    stretch = maker.training_batch(0).episode
    films = varied.value
    per_stretch = [brighter[varied.frames[films[stretch == s]].unique()] for s in range(8)]
    assert max(float(one.max() - one.min()) for one in per_stretch) < 6
    assert len({round(float(one.mean())) for one in per_stretch}) > 4


def test_frames_that_are_lost_or_stale_leave_films_that_are_right(network, shown, batches):
    batch = batches(lost_frames=0.3, stale_frames=0.4).training_batch(3)
    given = batch.inputs["camera"]
    assert (given.value < 0).any()
    used = given.frames[given.value[given.value >= 0]].unique()
    assert used.tolist() == list(range(len(given.arguments[0])))
    assert len(given.arguments[0]) < 3 * 8 + 3 * 4
    assert tokens_of(network, given).shape == (len(given.value), 16, 8)


def test_a_batch_moves_to_a_device_as_a_whole(batches):
    given = everything(batches).to(torch.device("meta")).inputs["camera"]
    assert given.frames.device.type == "meta"


def test_what_is_learnt_from_films_flows_into_their_encoder(network, batches):
    given = everything(batches).inputs["camera"]
    tokens, _ = given.whole(*network.encoders["camera"](*given.arguments))
    tokens[given.value].square().mean().backward()
    assert network.encoders["camera"].patches[0].weight.grad.abs().sum() > 0
    network.zero_grad()
