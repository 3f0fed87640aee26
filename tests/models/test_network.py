from itertools import product

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from sensorimotor.actions.space import Box, Discrete, MultiBinary
from sensorimotor.errors import SignatureError
from sensorimotor.models.network import Network, NetworkSpec
from sensorimotor.models.signature import ActuatorHold, Constant, Signature
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.perception.tokenizer import Tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

INPUTS = {
    "camera": Image(height=16, width=16),
    "mic": Audio(sample_rate=8000, seconds=0.4, mode="utterance", max_age_s=2.0),
    "noise": Audio(sample_rate=8000, seconds=0.2, channels=2),
    "instruction": Text(max_tokens=6),
    "joints": State(size=3),
}
SIGNATURE = Signature(INPUTS, Discrete(4), Constant(0), 10.0)
SPEC = NetworkSpec(image_dim=8, audio_dim=8, text_dim=8, state_dim=8, dim=16, blocks=1)
TOKENIZER = Tokenizer.train(["go to the red ball"], max_tokens=6)
SUBSETS = [subset for subset in product([True, False], repeat=len(INPUTS)) if any(subset)]


@pytest.fixture(scope="module", params=[{}, {"gaze": True, "memory": False}], ids=["marks", "gazes"])
def network(request) -> Network:
    torch.manual_seed(0)
    net = Network(
        SIGNATURE, SPEC.model_copy(update=request.param), TOKENIZER, {"joints": ([1.0, 2.0, 3.0], [1.0, 0.0, 2.0])}
    ).eval()
    for sense in net.core.fusion.senses.values():
        torch.nn.init.normal_(sense.age)  # as after training: it starts at zero
    return net


@pytest.fixture(scope="module")
def raw() -> dict[str, tuple[torch.Tensor, ...]]:
    """The raw inputs of four rows."""
    random = torch.Generator().manual_seed(1)
    texts = ["go", "go to the red ball", "zebra", "the red ball"]
    return {
        "camera": (torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8, generator=random),),
        "mic": (0.1 * torch.randn(4, 3200, 1, generator=random), torch.tensor([3200, 1000, 1, 2000])),
        "noise": (0.1 * torch.randn(4, 1600, 2, generator=random), torch.full((4,), 1600)),
        "instruction": (torch.from_numpy(np.stack([TOKENIZER.encode(text) for text in texts])),),
        "joints": (torch.randn(4, 3, generator=random),),
    }


def decide(network: Network, raw, index, present, age_s, memory):
    """Encoders and core, one step, for some of the rows."""
    encoded = [network.encoders[name](*(one[index] for one in raw[name])) for name in SIGNATURE.names]
    tokens, masks = zip(*encoded, strict=True)
    with torch.no_grad():
        return network.core(tokens, masks, present[index], age_s[index], memory[index])


def test_every_input_has_an_encoder_whose_tokens_are_what_the_network_says(network, raw):
    shapes = network.token_shapes()
    assert list(shapes) == list(network.encoders) == list(INPUTS)
    for name, shape in shapes.items():
        tokens, mask = network.encoders[name](*raw[name])
        assert tokens.shape == (4, shape.n, shape.dim)
        assert mask.shape == (4, shape.n)
        assert mask.dtype == torch.bool
        assert shape.max_age_s == INPUTS[name].max_age_s
    assert [name for name, shape in shapes.items() if shape.grid] == ["camera"]


@pytest.mark.parametrize("subset", SUBSETS)
def test_every_subset_of_inputs_gives_finite_logits_embedding_and_memory(network, raw, subset):
    present = torch.tensor([subset] * 4)
    outputs = decide(network, raw, [0, 1, 2, 3], present, torch.zeros(4, 5), network.initial_memory(4))
    assert [tuple(one.shape) for one in outputs] == [(4, 4), (4, 16), (4, network.memory_size)]
    assert all(one.isfinite().all() for one in outputs)


@pytest.mark.parametrize("others", [[1], [2, 3], [3, 2, 1]])
def test_a_row_does_not_depend_on_the_other_rows(network, raw, others):
    present, age_s = torch.tensor(SUBSETS[:3] + SUBSETS[-1:]), torch.rand(4, 5)
    memory = torch.randn(4, network.memory_size)
    alone = decide(network, raw, [0], present, age_s, memory)
    for at in range(len(others) + 1):
        together = decide(network, raw, [*others[:at], 0, *others[at:]], present, age_s, memory)
        for one, row in zip(alone, together, strict=True):
            assert torch.allclose(row[at], one[0], atol=1e-5)


def test_every_input_has_a_say_in_the_logits(network, raw):
    present, age_s, memory = torch.ones(4, 5, dtype=torch.bool), torch.zeros(4, 5), network.initial_memory(4)
    expected = decide(network, raw, [0], present, age_s, memory)[0]
    for name in INPUTS:
        changed = {**raw, name: tuple(one.flip(0) for one in raw[name])}
        assert (decide(network, changed, [0], present, age_s, memory)[0] - expected).abs().max() > 1e-5, name


def test_a_stream_begins_with_a_memory_of_zeros(network):
    memory = network.initial_memory(3)
    assert memory.shape == (3, network.memory_size)
    assert not memory.any()


def test_statistics_of_states_become_part_of_the_network(network):
    joints = network.encoders["joints"]
    assert joints.mean.tolist() == [1.0, 2.0, 3.0]
    assert joints.std.tolist() == [1.0, 1.0, 2.0]


def test_the_temperature_flattens_probabilities_and_keeps_the_choice(network, raw):
    arguments = (raw, [0, 1, 2, 3], torch.ones(4, 5, dtype=torch.bool), torch.zeros(4, 5), network.initial_memory(4))
    sharp = decide(network, *arguments)[0]
    network.core.head.temperature.fill_(4.0)
    try:
        flat = decide(network, *arguments)[0]
    finally:
        network.core.head.temperature.fill_(1.0)
    assert torch.allclose(flat, sharp / 4)


def test_a_text_input_needs_a_tokenizer():
    with pytest.raises(
        SignatureError, match="input 'instruction': it is a text, and the network was given no tokenizer"
    ):
        Network(SIGNATURE, SPEC)
    Network(Signature({"joints": State(size=2)}, Discrete(2), Constant(0), 1.0), SPEC)


def test_with_nothing_but_images_there_is_nothing_to_gaze_at():
    signature = Signature({"camera": Image(height=16, width=16)}, Discrete(2), Constant(0), 1.0)
    with pytest.raises(SignatureError, match="nothing is told"):
        Network(signature, SPEC.model_copy(update={"gaze": True}))


@pytest.mark.parametrize(
    ("space", "horizon", "shape"),
    [(Box([0], [1]), 4, (2, 4, 1)), (MultiBinary(3), 1, (2, 3)), (Discrete(5), 1, (2, 5))],
)
def test_the_core_gives_what_its_action_space_is_chosen_from(space, horizon, shape):
    signature = Signature({"joints": State(size=2)}, space, ActuatorHold(), 1.0, horizon)
    network = Network(signature, SPEC).eval()
    tokens, mask = network.encoders["joints"](torch.zeros(2, 2))
    present, age_s = torch.ones(2, 1, dtype=torch.bool), torch.zeros(2, 1)
    parameters, _, _ = network.core([tokens], [mask], present, age_s, network.initial_memory(2))
    assert parameters.shape == shape
    network.core.set_temperature(2.0)  # which a plan of vectors does not have
    again, _, _ = network.core([tokens], [mask], present, age_s, network.initial_memory(2))
    assert torch.allclose(again, parameters if horizon > 1 else parameters / 2.0, atol=1e-6)


@pytest.mark.parametrize("name", ["keys", "items", "type", "train", "training", "float", "pop", "forward"])
def test_a_name_that_torch_has_a_use_for_is_refused_by_a_sentence(name):
    signature = Signature({name: State(size=2)}, Discrete(2), Constant(0), 1.0)
    with pytest.raises(SignatureError, match=f"'{name}' cannot name an input of a network"):
        Network(signature, SPEC)


@pytest.mark.parametrize("spec", [{"image_dim": 12}, {"text_dim": 10}, {"dim": 0}, {"blocks": -1}, {"depth": 3}])
def test_sizes_that_no_network_can_have_are_refused(spec):
    with pytest.raises(ValidationError, match=next(iter(spec))):
        NetworkSpec(**spec)
