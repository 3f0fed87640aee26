import pytest
import torch

from sensorimotor.actions.space import Discrete
from sensorimotor.models.network import Network, NetworkSpec
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Image, State, Text
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.pipelines.unrolling import Latched, Sampled, absent_summary, summarised, unroll

pytestmark = pytest.mark.usefixtures("one_thread")
SIGNATURE = Signature(
    {"camera": Image(height=16, width=16), "speed": State(size=2), "task": Text(max_tokens=6)},
    Discrete(3),
    Constant(0),
    10.0,
)
LENGTHS = (4, 2, 5)
EPISODE = torch.tensor([e for e, steps in enumerate(LENGTHS) for _ in range(steps)])
TIME = torch.tensor([s for steps in LENGTHS for s in range(steps)])


@pytest.fixture(scope="module")
def network(one_thread):
    torch.manual_seed(0)
    spec = NetworkSpec(image_dim=8, text_dim=8, state_dim=8, dim=16, blocks=1)
    return Network(SIGNATURE, spec, Tokenizer.train(["go left", "go right"], 6)).eval()


@pytest.fixture(scope="module")
def encoded(network):
    """Tokens of different values: five pictures, four speeds, two tasks."""
    torch.manual_seed(1)
    ids = torch.stack([torch.from_numpy(network.tokenizer.encode(text)) for text in ("go left", "go right")])
    return {
        "camera": network.encoders["camera"](torch.randint(256, (5, 16, 16, 3), dtype=torch.uint8)),
        "speed": network.encoders["speed"](torch.randn(4, 2)),
        "task": network.encoders["task"](ids),
    }


def drawn(name, seed=2):
    """Which value each step saw of an input, and how old it was."""
    made = torch.Generator().manual_seed(seed + len(name))
    value = torch.randint(-1, {"camera": 5, "speed": 4, "task": 2}[name], (len(TIME),), generator=made)
    return value, torch.rand(len(TIME), generator=made) * (value >= 0)


def given(network, encoded, steps=slice(None), absent=()):
    seen = {}
    for name, (tokens, mask) in encoded.items():
        value, age_s = (one[steps] for one in drawn(name))
        if name in absent:
            value, tokens, mask = torch.full_like(value, -1), tokens[:0], mask[:0]
        if name == "task":
            known = summarised(network, name, tokens, mask) if len(tokens) else absent_summary(network, name)[:0]
            seen[name] = Latched(known, value)
        else:
            seen[name] = Sampled(tokens, mask, value, age_s)
    return seen


def step_by_step(network, encoded, absent=()):
    """The same by the core alone, one step of one episode after the other, as a policy does it."""
    found, memories = torch.zeros(len(TIME), 3), []
    for episode in range(len(LENGTHS)):
        memory = network.initial_memory(1)
        for at in (episode == EPISODE).nonzero().flatten().tolist():
            tokens, masks, present, ages = [], [], [], []
            for name, (token, mask) in encoded.items():
                value, age_s = (one[at] for one in drawn(name))
                there = value >= 0 and name not in absent
                tokens.append(token[value.clamp(min=0)][None])
                masks.append(mask[value.clamp(min=0)][None])
                present.append(bool(there))
                ages.append(float(age_s) if there and name != "task" else 0.0)
            found[at], _, memory = network.core(tokens, masks, torch.tensor([present]), torch.tensor([ages]), memory)
        memories.append(memory)
    return found, torch.cat(memories)


@pytest.mark.parametrize("absent", [(), ("camera",), ("task",), ("camera", "speed"), ("camera", "speed", "task")])
def test_whole_episodes_at_once_are_what_one_step_after_the_other_gives(network, encoded, absent):
    with torch.inference_mode():
        whole = unroll(network, given(network, encoded, absent=absent), EPISODE, TIME)
        expected, _ = step_by_step(network, encoded, absent)
    assert torch.allclose(whole.parameters, expected, atol=1e-5)


def test_the_memory_of_the_longest_episode_is_that_of_its_last_step(network, encoded):
    with torch.inference_mode():
        whole = unroll(network, given(network, encoded), EPISODE, TIME)
        _, memories = step_by_step(network, encoded)
    assert torch.allclose(whole.memory[2], memories[2], atol=1e-5)


def test_an_episode_in_two_parts_is_the_same_with_the_memory_between_them(network, encoded):
    longest = EPISODE == 2
    first, second = longest & (TIME < 3), longest & (TIME >= 3)
    with torch.inference_mode():
        whole = unroll(network, given(network, encoded, longest), EPISODE[longest] - 2, TIME[longest])
        one = unroll(network, given(network, encoded, first), EPISODE[first] - 2, TIME[first])
        other = unroll(network, given(network, encoded, second), EPISODE[second] - 2, TIME[second] - 3, one.memory)
    assert torch.allclose(torch.cat([one.parameters, other.parameters]), whole.parameters, atol=1e-5)
    assert torch.allclose(other.memory, whole.memory, atol=1e-5)


def test_an_episode_does_not_depend_on_those_beside_it(network, encoded):
    alone = EPISODE == 1
    with torch.inference_mode():
        together = unroll(network, given(network, encoded), EPISODE, TIME)
        single = unroll(network, given(network, encoded, alone), EPISODE[alone] - 1, TIME[alone])
    assert torch.allclose(together.parameters[alone], single.parameters, atol=1e-5)


def test_what_is_learnt_from_a_late_step_reaches_an_early_one(network):
    pictures = torch.randint(256, (2, 16, 16, 3), dtype=torch.uint8)
    tokens, mask = network.encoders["camera"](pictures)
    tokens = tokens.detach().requires_grad_()
    nothing = torch.full((2,), -1)
    seen = {
        "camera": Sampled(tokens, mask, torch.tensor([0, 1]), torch.zeros(2)),
        "speed": Sampled(torch.zeros(0, 1, 8), torch.ones(0, 1, dtype=torch.bool), nothing, torch.zeros(2)),
        "task": Latched(absent_summary(network, "task")[:0], nothing),
    }
    unroll(network, seen, torch.tensor([0, 0]), torch.tensor([0, 1])).parameters[1].sum().backward()
    assert tokens.grad[0].abs().max() > 0
