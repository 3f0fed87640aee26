"""Adapters: what they change, what they leave alone, and that nothing of them is left once they are merged."""

import copy

import open_clip
import pytest
import torch
import transformers
import whisper
from torch import nn

from sensorimotor.errors import EncoderError
from sensorimotor.perception.adapters import SCALE, adapt, merge

pytestmark = pytest.mark.usefixtures("one_thread")

VISION = {"image_size": 16, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
READING = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 2}
BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 30}


def clip():
    return open_clip.CLIP(embed_dim=24, vision_cfg=dict(VISION), text_cfg=dict(READING))


def reading_tower():
    model = clip()
    model.visual = None
    return model


TOWERS = {
    "open_clip, pictures": (lambda: clip().visual, lambda tower: tower(torch.linspace(-1, 1, 768).view(1, 3, 16, 16))),
    "open_clip, texts": (reading_tower, lambda tower: tower.encode_text(torch.arange(1, 9)[None])),
    "whisper": (
        lambda: whisper.model.AudioEncoder(8, 10, 16, 2, 2),
        lambda tower: tower(torch.linspace(-1, 1, 160).view(1, 8, 20)),
    ),
    "transformers": (
        lambda: transformers.BertModel(transformers.BertConfig(**BERT), add_pooling_layer=False),
        lambda tower: tower(input_ids=torch.arange(1, 9)[None]).last_hidden_state,
    ),
}


@pytest.fixture(params=TOWERS)
def tower_and_run(request):
    torch.manual_seed(0)
    build, run = TOWERS[request.param]
    return build().eval(), run


def learn_something(tower):
    for name, parameter in tower.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.2)


def test_they_change_nothing_before_they_have_learnt(tower_and_run):
    tower, run = tower_and_run
    with torch.inference_mode():
        before = run(tower)
        adapt(tower, 2)
        assert torch.allclose(run(tower), before, atol=1e-6)


def test_only_they_learn_and_all_of_them_do(tower_and_run):
    tower, run = tower_and_run
    adapt(tower, 2)
    learn_something(tower)
    assert {name for name, one in tower.named_parameters() if one.requires_grad} == {
        name for name, _ in tower.named_parameters() if ".lora_" in name
    }
    run(tower).square().sum().backward()
    learning = {name: one for name, one in tower.named_parameters() if one.requires_grad}
    assert len(learning) >= 2 * 2 * 3  # a pair in each of two layers' attention and MLP (of two linear layers)
    assert [name for name, one in learning.items() if one.grad is None] == []
    assert all(one.grad.abs().max() > 0 for name, one in learning.items() if "lora_B" in name)


def test_merged_it_computes_the_same_in_the_plain_architecture(tower_and_run):
    tower, run = tower_and_run
    plain = copy.deepcopy(tower)
    adapt(tower, 2)
    learn_something(tower)
    with torch.inference_mode():
        before, adapted = run(plain), run(tower)
        assert not torch.allclose(adapted, before, atol=1e-2)
        merge(tower)
        assert torch.allclose(run(tower), adapted, atol=1e-5)
        assert [type(module) for module in tower.modules()] == [type(module) for module in plain.modules()]
        plain.load_state_dict(tower.state_dict())  # the very same names
        assert torch.allclose(run(plain), adapted, atol=1e-5)
    assert not hasattr(tower, "peft_config")


def test_using_it_leaves_its_own_weights_as_they_were_to_the_last_bit(tower_and_run):
    tower, run = tower_and_run
    adapt(tower, 2)
    learn_something(tower)
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    for guard in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with guard():
            run(tower)
    after = tower.state_dict()
    assert before.keys() == after.keys()
    assert [name for name, value in before.items() if not torch.equal(value, after[name])] == []
    run(tower).sum().backward()  # and it can still be trained after it was only used


def test_what_is_merged_is_the_product_of_each_pair_times_the_scale():
    torch.manual_seed(0)
    tower = nn.Sequential(nn.Linear(4, 3))
    before = tower[0].weight.detach().clone()
    adapt(tower, 2)
    learn_something(tower)
    added = tower[0].lora_B["default"].weight @ tower[0].lora_A["default"].weight
    merge(tower)
    assert torch.allclose(tower[0].weight, before + SCALE * added)


def test_a_layer_is_adapted_by_its_whole_name():
    """A linear layer called like the end of another one's name does not bring that one in."""
    attention = nn.MultiheadAttention(8, 2)
    tower = nn.ModuleDict({"out_proj": nn.Linear(8, 8), "block": nn.ModuleDict({"attn": attention})})
    adapt(tower, 2)
    pairs = {name.partition(".lora_A")[0] for name, _ in tower.named_parameters() if ".lora_A" in name}
    assert pairs == {"out_proj", "block.attn"}


def test_a_tower_without_linear_layers_is_refused():
    with pytest.raises(EncoderError, match="'lora' adapts linear layers, and Sequential has none"):
        adapt(nn.Sequential(nn.Conv1d(3, 4, 1)), 2)
