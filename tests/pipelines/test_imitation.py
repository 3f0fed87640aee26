import copy
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from sensorimotor.fusion.aspects import ASPECTS, ROLES
from sensorimotor.models.network import Network
from sensorimotor.models.policy import Policy
from sensorimotor.models.torch_backend import TorchBackend
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.babyai import signature
from sensorimotor.pipelines.batches import Batches
from sensorimotor.pipelines.imitation import (
    alignment_loss,
    hear,
    input_of,
    pointing_loss,
    read,
    unroll,
)
from sensorimotor.pipelines.tutor import Tutor

EPISODES = np.array([0, 3, 5])


@pytest.fixture
def batches(material, tiny_recipe):
    return Batches(material.held_out, material.held_out_bank, material.tokenizer, tiny_recipe.training, 3)


@pytest.fixture
def tutor(tiny_recipe, material):
    torch.manual_seed(0)
    return Tutor(tiny_recipe.network, material.tokenizer)


def unrolled(network, batch):
    """What a network makes of a batch, utterances and all."""
    return unroll(network, batch, hear(network, batch.spoken) if batch.spoken else None)


def learnt(**parts):
    """Which parts were given a gradient."""
    return {name: any(p.grad is not None and p.grad.any() for p in part.parameters()) for name, part in parts.items()}


@pytest.mark.parametrize(
    "inputs", [("camera", "instruction"), ("camera", "mic"), ("camera", "mic", "instruction"), ("camera",), ("mic",)]
)
def test_training_sees_what_the_running_policy_will_compute(tiny_network, batches, inputs):
    """Unrolled over whole episodes at once, a network says at every step what it says when it acts step by step."""
    batch = batches.held_out_batch(EPISODES, inputs)
    with torch.inference_mode():
        logits = unrolled(tiny_network, batch).parameters.numpy()
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
        logits = unrolled(tiny_network, batch).parameters.numpy()
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
    inputs = ("camera", "instruction")
    with torch.inference_mode():
        together = unrolled(tiny_network, batches.held_out_batch(EPISODES, inputs))
        for i, episode in enumerate(EPISODES):
            alone = unrolled(tiny_network, batches.held_out_batch(np.array([episode]), inputs))
            rows = batches.held_out_batch(EPISODES, inputs).episode == i
            assert together.parameters[rows].numpy() == pytest.approx(alone.parameters.numpy(), abs=1e-5)
            assert together.evidence[0][rows].numpy() == pytest.approx(alone.evidence[0].numpy(), abs=1e-5)


def test_the_loss_is_the_cross_entropy_of_what_the_expert_did(tiny_network):
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    loss = tiny_network.core.head.loss(logits, torch.tensor([0, 2]))
    assert loss.item() == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2)


def test_what_is_listened_to_only_changes_no_decision(tiny_network, material, tiny_recipe):
    plan = tiny_recipe.training.model_copy(update={"alignment_utterances": 4})
    batch = Batches(material.demonstrations, material.bank, material.tokenizer, plan, 3).training_batch(0)
    own = int(batch.spoken_present.sum())
    assert 0 < own < len(batch.spoken.sound)
    with torch.inference_mode():
        heard = hear(tiny_network, batch.spoken)
        first = replace(heard, summary=heard.summary[:own])
        assert torch.equal(unroll(tiny_network, batch, heard).parameters, unroll(tiny_network, batch, first).parameters)
        swapped = replace(heard, summary=heard.summary.flip(0))
        assert not torch.equal(
            unroll(tiny_network, batch, heard).parameters, unroll(tiny_network, batch, swapped).parameters
        )


def test_what_an_utterance_means_does_not_depend_on_the_others(tiny_network, batches):
    spoken = batches.utterances(4, 0)
    with torch.inference_mode():
        together = hear(tiny_network, spoken)
        for i in range(4):
            alone = hear(tiny_network, type(spoken)(*(getattr(spoken, f.name)[i : i + 1] for f in fields(spoken))))
            assert together.summary[i].numpy() == pytest.approx(alone.summary[0].numpy(), abs=1e-5)
            assert together.mask[i].tolist() == alone.mask[0].tolist()
    assert together.tokens.shape == (4, together.mask.shape[1], tiny_network.spec.audio_dim)
    assert together.mask.sum(1).tolist() == [-(-int(length) // 1280) for length in spoken.length]


def test_what_is_read_means_what_the_policy_would_latch(tiny_network, batches):
    batch = batches.held_out_batch(EPISODES, ("instruction",))
    with torch.inference_mode():
        summary = read(tiny_network, batch.words)
        tokens, mask = tiny_network.encoders["instruction"](batch.words)
        sense = tiny_network.core.fusion.senses["instruction"]
        expected = sense(tokens, mask, torch.ones(3, dtype=torch.bool), torch.zeros(3))[2]
    assert torch.equal(summary, expected)


def test_an_input_is_found_by_what_it_is(tiny_network):
    found = [input_of(tiny_network, kind) for kind in (Image, Audio, Text)]
    assert found == ["camera", "mic", "instruction"]
    with pytest.raises(StopIteration):
        input_of(tiny_network, State)


# Further losses


def test_alignment_teaches_ear_and_reading_and_leaves_the_eye_alone(tiny_network, batches, tutor):
    network = copy.deepcopy(tiny_network).train()
    spoken = batches.held_out_batch(EPISODES, ("camera", "mic", "instruction")).spoken
    loss = alignment_loss(network, tutor, spoken, hear(network, spoken))
    assert loss.item() > 0
    loss.backward()
    assert learnt(**network.encoders, reader=tutor.reader, speller=tutor.speller) == {
        "camera": False, "mic": True, "instruction": True, "reader": True, "speller": True,
    }  # fmt: skip


def test_speech_comes_to_lie_where_text_lies_and_not_the_other_way_round(tiny_network, batches, tutor, monkeypatch):
    """With nothing to be read or spelt the only thing left is the distance, and it moves the ear alone."""
    network = copy.deepcopy(tiny_network).train()
    spoken = batches.utterances(4, 0)
    for name in ("misread", "misspelt"):
        monkeypatch.setattr(tutor, name, lambda *_: torch.zeros(()))
    heard = hear(network, spoken)
    loss = alignment_loss(network, tutor, spoken, heard)
    apart = (heard.summary - read(network, spoken.words)).square().sum(1).mean()
    assert loss.item() == pytest.approx(apart.item(), rel=1e-4)
    loss.backward()
    assert learnt(**network.encoders) == {"camera": False, "mic": True, "instruction": False}


def test_learning_to_listen_brings_speech_and_text_together(tiny_recipe, material, batches, tutor):
    torch.manual_seed(0)
    network = Network(signature(), tiny_recipe.network, material.tokenizer).train()
    spoken = batches.utterances(8, 0)
    optimizer = torch.optim.Adam([*network.parameters(), *tutor.parameters()], 1e-2)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = alignment_loss(network, tutor, spoken, hear(network, spoken))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_pointing_teaches_the_eye_in_the_light_of_the_instruction(tiny_network, batches):
    network = copy.deepcopy(tiny_network).train()
    batch = batches.held_out_batch(EPISODES, ("camera", "instruction"))
    loss = pointing_loss(batch, unrolled(network, batch))
    assert loss.item() > 0
    loss.backward()
    assert learnt(**network.encoders, search=network.core.fusion.search, head=network.core.head) == {
        "camera": True, "mic": False, "instruction": True, "search": True, "head": False,
    }  # fmt: skip


def test_pointing_is_learnt_only_where_something_is_seen_and_told(tiny_network, batches):
    with torch.inference_mode():
        silent = batches.held_out_batch(EPISODES, ("camera",))
        assert pointing_loss(silent, unrolled(tiny_network, silent)).item() == 0
        blind = batches.held_out_batch(EPISODES, ("mic", "instruction"))
        assert pointing_loss(blind, unrolled(tiny_network, blind)).item() == 0
        told = batches.held_out_batch(EPISODES, ("camera", "mic"))
        made = unrolled(tiny_network, told)
        whole = pointing_loss(told, made).item()
        assert whole > 0
        sees = told.frame_present.clone()
        sees[3:] = False
        first = pointing_loss(replace(told, frame_present=sees), made).item()
        three = replace(told, fits=told.fits[:3], episode=told.episode[:3], frame_present=sees[:3])
        assert first == pointing_loss(three, replace(made, evidence=[made.evidence[0][:3]])).item()
        assert first != pytest.approx(whole)


def test_pointing_is_judged_by_every_cell_role_and_aspect(tiny_network, batches):
    told = batches.held_out_batch(EPISODES, ("camera", "instruction"))
    made = unrolled(tiny_network, told)
    undecided = replace(made, evidence=[torch.zeros_like(made.evidence[0])])
    assert pointing_loss(told, undecided).item() == pytest.approx(49 * ROLES * ASPECTS * math.log(2), rel=1e-5)
    certain = replace(made, evidence=[20.0 * (2 * told.fits.permute(0, 3, 1, 2).float() - 1)])
    assert pointing_loss(told, certain).item() < 1e-4


def test_half_precision_computes_nearly_the_same_and_keeps_memory_in_full(tiny_network, batches):
    batch = batches.held_out_batch(EPISODES, ("camera", "mic"))
    with torch.inference_mode():
        full = unrolled(tiny_network, batch)
        with torch.autocast("cpu", torch.bfloat16):
            half = unrolled(tiny_network, batch)
    assert half.parameters.dtype == torch.float32
    difference = (full.parameters.softmax(1) - half.parameters.softmax(1)).abs()
    assert 0 < difference.max() < 0.1


def test_learning_from_one_batch_makes_the_loss_smaller(tiny_recipe, material, batches):
    torch.manual_seed(0)
    network = Network(signature(), tiny_recipe.network, material.tokenizer)
    batch = batches.held_out_batch(EPISODES, ("camera", "mic"))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = network.core.head.loss(unrolled(network, batch).parameters, batch.actions)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_policy_without_ears_learns_from_words_alone(tiny_recipe, material):
    network = Network(signature(utterance_s=None), tiny_recipe.network, material.tokenizer).train()
    batches = Batches(material.held_out, None, material.tokenizer, tiny_recipe.training, 3)
    batch = batches.held_out_batch(EPISODES, ("camera", "instruction"))
    assert batch.spoken is None
    made = unroll(network, batch, None)
    loss = network.core.head.loss(made.parameters, batch.actions) + pointing_loss(batch, made)
    loss.backward()
    assert learnt(**network.encoders) == {"camera": True, "instruction": True}
