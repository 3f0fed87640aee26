import copy

import numpy as np
import pytest
import torch
from torch import nn

from sensorimotor.models.policy import Policy
from sensorimotor.models.torch_backend import TorchBackend
from sensorimotor.pipelines.batches import Batches
from sensorimotor.pipelines.imitation import alignment_loss, imitation_loss, unroll

EPISODES = np.array([0, 3, 5])


@pytest.fixture
def batches(material, tiny_recipe):
    return Batches(material.held_out, material.held_out_bank, material.tokenizer, tiny_recipe.training, 3)


@pytest.mark.parametrize(
    "inputs", [("camera", "instruction"), ("camera", "mic"), ("camera", "mic", "instruction"), ("camera",), ("mic",)]
)
def test_training_sees_what_the_running_policy_will_compute(tiny_network, batches, inputs):
    """Unrolled over whole episodes at once, a network says at every step what it says when it acts step by step."""
    batch = batches.held_out_batch(EPISODES, inputs)
    with torch.inference_mode():
        logits = unroll(tiny_network, batch).logits.numpy()
    policy = Policy(tiny_network.signature, TorchBackend(tiny_network), tiny_network.tokenizer)
    texts = sorted(set(batches._data.missions))
    spoken = 0
    for i in range(len(EPISODES)):
        rows = torch.nonzero(batch.episode == i)[:, 0].tolist()
        observation = {}
        if batch.spoken_present[i]:
            observation["mic"] = batch.spoken.sound[spoken, : batch.spoken.length[spoken]].numpy()
            spoken += 1
        if batch.words_present[i]:
            observation["instruction"] = next(
                text for text in texts if tiny_network.tokenizer.encode(text).tolist() == batch.words[i].tolist()
            )
        policy.reset()
        for row in rows:
            shown = observation | ({"camera": batch.frames[row].numpy()} if batch.frame_present[row] else {})
            assert policy.act(shown).parameters == pytest.approx(logits[row], abs=1e-4)


def test_lost_and_stale_frames_are_learnt_as_they_will_be_met(tiny_network, material, tiny_recipe):
    plan = tiny_recipe.training.model_copy(update={"lost_frames": 0.3, "stale_frames": 0.3, "unknown_words": 0.0})
    batch = Batches(material.demonstrations, material.bank, material.tokenizer, plan, 3).training_batch(0)
    with torch.inference_mode():
        logits = unroll(tiny_network, batch).logits.numpy()
    assert (batch.frame_age_s > 0).any()
    policy = Policy(tiny_network.signature, TorchBackend(tiny_network), tiny_network.tokenizer)
    words = {tuple(tiny_network.tokenizer.encode(text)): text for text in material.demonstrations.missions}
    for i in torch.nonzero(batch.words_present)[:, 0].tolist():
        policy.reset()
        for row in torch.nonzero(batch.episode == i)[:, 0].tolist():
            shown = {"instruction": words[tuple(batch.words[i].tolist())]}
            if batch.frame_present[row]:
                shown["camera"] = batch.frames[row].numpy()
            decision = policy.act(shown, ages_s={"camera": float(batch.frame_age_s[row])})
            assert decision.parameters == pytest.approx(logits[row], abs=1e-4)


def test_episodes_of_a_batch_do_not_know_of_each_other(tiny_network, batches):
    with torch.inference_mode():
        together = unroll(tiny_network, batches.held_out_batch(EPISODES, ("camera", "instruction")))
        for i, episode in enumerate(EPISODES):
            batch = batches.held_out_batch(np.array([episode]), ("camera", "instruction"))
            alone = unroll(tiny_network, batch)
            rows = batches.held_out_batch(EPISODES, ("camera", "instruction")).episode == i
            assert together.logits[rows].numpy() == pytest.approx(alone.logits.numpy(), abs=1e-5)
            assert together.words[i].numpy() == pytest.approx(alone.words[0].numpy(), abs=1e-5)


def test_the_loss_is_the_cross_entropy_of_what_the_expert_did():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    assert imitation_loss(logits, torch.tensor([0, 2])).item() == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2)


def test_alignment_teaches_the_ear_and_leaves_the_eye_alone(tiny_network, batches, tiny_recipe):
    network = copy.deepcopy(tiny_network).train()
    lexicon = nn.Linear(tiny_recipe.network.dim, network.tokenizer.size)
    batch = batches.held_out_batch(EPISODES, ("camera", "mic", "instruction"))
    loss = alignment_loss(network, lexicon, batch, unroll(network, batch))
    assert loss.item() > 0
    loss.backward()
    moved = {name: any(p.grad is not None and p.grad.any() for p in part.parameters()) for name, part in (
        ("camera", network.encoders["camera"]),
        ("mic", network.encoders["mic"]),
        ("instruction", network.encoders["instruction"]),
        ("lexicon", lexicon),
    )}  # fmt: skip
    assert moved == {"camera": False, "mic": True, "instruction": True, "lexicon": True}


def test_further_utterances_count(tiny_network, material, tiny_recipe):
    losses = []
    lexicon = nn.Linear(tiny_recipe.network.dim, tiny_network.tokenizer.size)
    for count in (0, 4):
        plan = tiny_recipe.training.model_copy(update={"alignment_utterances": count})
        batch = Batches(material.demonstrations, material.bank, material.tokenizer, plan, 3).training_batch(0)
        with torch.inference_mode():
            losses.append(alignment_loss(tiny_network, lexicon, batch, unroll(tiny_network, batch)).item())
    assert losses[1] > losses[0] > 0


def test_learning_from_one_batch_makes_the_loss_smaller(tiny_recipe, material, batches):
    from sensorimotor.models.network import Network
    from sensorimotor.pipelines.babyai import signature

    torch.manual_seed(0)
    network = Network(signature(), tiny_recipe.network, material.tokenizer)
    batch = batches.held_out_batch(EPISODES, ("camera", "mic"))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = imitation_loss(unroll(network, batch).logits, batch.actions)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_policy_without_ears_learns_from_words_alone(tiny_recipe, material):
    from sensorimotor.models.network import Network
    from sensorimotor.pipelines.babyai import signature

    network = Network(signature(utterance_s=None), tiny_recipe.network, material.tokenizer).eval()
    batches = Batches(material.held_out, None, material.tokenizer, tiny_recipe.training, 3)
    batch = batches.held_out_batch(EPISODES, ("camera", "instruction"))
    unrolled = unroll(network, batch)
    assert unrolled.spoken is None
    lexicon = nn.Linear(tiny_recipe.network.dim, network.tokenizer.size)
    assert alignment_loss(network, lexicon, batch, unrolled).item() > 0
