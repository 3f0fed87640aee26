"""Checkpoints in Whisper's own format, made here and loaded as a user would."""

import numpy as np
import pytest
import torch
import whisper

from sensorimotor.errors import EncoderError, SignatureError, UnreachableError
from sensorimotor.perception.modality import Audio
from sensorimotor.perception.whisper_encoder import (
    WhisperEncoder,
    WhisperSpec,
    build_whisper,
    load_whisper,
)

pytestmark = pytest.mark.usefixtures("one_thread")

DIMENSIONS = {
    "n_mels": 80, "n_audio_ctx": 100, "n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 3,
    "n_vocab": 51865, "n_text_ctx": 4, "n_text_state": 16, "n_text_head": 2, "n_text_layer": 1,
}  # fmt: skip
TWO_SECONDS, OWN = Audio(seconds=2), WhisperSpec()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return whisper.model.Whisper(whisper.model.ModelDimensions(**DIMENSIONS)).eval()


@pytest.fixture
def checkpoint(tmp_path, model):
    path = tmp_path / "mine.pt"
    torch.save({"dims": DIMENSIONS, "model_state_dict": model.state_dict()}, path)
    return path


def sound(seconds=2.0, channels=1, seed=0):
    """A chord that moves, in noise, `(1, samples, channels)`."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(16_000 * seconds)) / 16_000
    tones = sum(np.sin(2 * np.pi * hz * time * (1 + 0.1 * time)) for hz in (220, 700, 2500)) / 8
    noisy = tones[:, None] + rng.normal(0, 0.01, (len(time), channels))
    return torch.from_numpy(noisy[None].astype(np.float32))


def listened(encoder, heard, length=None):
    length = torch.tensor([heard.shape[1]] * len(heard) if length is None else length)
    with torch.inference_mode():
        return encoder(heard, length)


def test_the_front_end_is_whispers_own_under_the_same_reference(checkpoint):
    heard = sound()
    power = whisper.log_mel_spectrogram(heard[0, :, 0])
    loudest = float(power.max()) * 4.0 - 4.0
    encoder = WhisperEncoder(
        TWO_SECONDS, load_whisper(WhisperSpec(model=str(checkpoint))), WhisperSpec(reference=loudest)
    )
    padded = torch.nn.functional.pad(heard[:, None, :, 0], (200, 200), "reflect")[:, 0]
    real, imaginary = (part[..., :-1] for part in encoder.spectrum(padded))
    assert torch.allclose(encoder.log_mel(real, imaginary)[0], power, atol=1e-3)


def test_the_last_layer_is_what_whisper_computes_when_it_is_given_that_length(checkpoint, model):
    encoder = WhisperEncoder(TWO_SECONDS, load_whisper(WhisperSpec(model=str(checkpoint))), OWN)
    heard = sound()
    padded = torch.nn.functional.pad(heard[:, None, :, 0], (200, 200), "reflect")[:, 0]
    mel = encoder.log_mel(*(part[..., :-1] for part in encoder.spectrum(padded)))
    with torch.inference_mode():
        expected = model.encoder(mel)  # it has positions for exactly two seconds
        tokens, mask = listened(encoder, heard)
    assert tokens.shape == (1, 100, 48)
    assert mask.all()
    assert torch.allclose(tokens[..., -16:], expected, atol=1e-4)


def test_less_sound_makes_fewer_tokens_and_takes_the_first_positions(checkpoint):
    parts = load_whisper(WhisperSpec(model=str(checkpoint)))
    half = WhisperEncoder(Audio(seconds=0.5), parts, OWN)
    assert half.tokens == 25
    tokens, mask = listened(half, sound(0.5))
    assert tokens.shape == (1, 25, half.dim)
    assert mask.all()


def test_rows_never_influence_each_other_however_loud(checkpoint):
    encoder = WhisperEncoder(TWO_SECONDS, load_whisper(WhisperSpec(model=str(checkpoint))), OWN)
    quiet, loud = 0.05 * sound(seed=1), sound(seed=2)
    together = listened(encoder, torch.cat([quiet, loud]))[0]
    assert torch.allclose(together[:1], listened(encoder, quiet)[0], atol=1e-5)


def test_what_lies_behind_an_utterance_does_not_count(checkpoint):
    encoder = WhisperEncoder(Audio(seconds=2, mode="utterance"), load_whisper(WhisperSpec(model=str(checkpoint))), OWN)
    one, other = sound(), sound()
    other[:, 16_000:] = 0.7
    (first, mask), (second, _) = (listened(encoder, heard, [16_000]) for heard in (one, other))
    assert mask.sum() == 50
    assert torch.equal(first[mask], second[mask])
    silent, nothing = listened(encoder, one, [0])
    assert not nothing.any()
    assert silent.isfinite().all()


def test_from_two_channels_it_can_be_told_where_a_sound_is(checkpoint):
    """The same sound 0.3 ms earlier and 6 dB louder on the left or the right: only what is beside the layers tells."""
    stereo = Audio(seconds=2, channels=2)
    encoder = WhisperEncoder(stereo, load_whisper(WhisperSpec(model=str(checkpoint))), OWN)
    near = sound(2.1)[0, :, 0]
    left = torch.stack([near[5:32_005], 0.5 * near[:32_000]], 1)[None]
    right = left.flip(2)
    (of_left, _), (of_right, _) = listened(encoder, left), listened(encoder, right)
    assert of_left.shape == (1, 100, 2 * 48 + 48)
    level = slice(96, 112)
    assert (of_left[..., level].mean(), of_right[..., level].mean()) == pytest.approx((-0.6, 0.6), abs=0.1)
    sine = slice(128, 144)
    assert torch.allclose(of_left[..., sine], -of_right[..., sine], atol=1e-4)
    assert of_left[..., sine].abs().max() > 0.3
    # The layers of a channel are those of that channel alone.
    alone = WhisperEncoder(TWO_SECONDS, load_whisper(WhisperSpec(model=str(checkpoint))), OWN)
    assert torch.allclose(of_left[..., :48], listened(alone, left[..., :1])[0], atol=1e-5)


def test_it_is_built_again_from_its_sizes_alone(checkpoint):
    encoder = WhisperEncoder(TWO_SECONDS, load_whisper(WhisperSpec(model=str(checkpoint))), OWN)
    again = WhisperEncoder(TWO_SECONDS, build_whisper(encoder.architecture), OWN)
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(listened(again, sound())[0], listened(encoder, sound())[0])


# Bad input


def test_an_unknown_model_is_refused_with_those_that_exist():
    with pytest.raises(EncoderError, match=r"no Whisper 'tinny': name one of .*tiny.*or a \.pt file"):
        load_whisper(WhisperSpec(model="tinny"))


@pytest.mark.parametrize("damage", ["cut", "text", "missing", "sizes"])
def test_a_damaged_or_incomplete_checkpoint_is_refused(checkpoint, model, damage):
    weights = dict(model.state_dict())
    match damage:
        case "cut":
            checkpoint.write_bytes(checkpoint.read_bytes()[:-500])
        case "text":
            checkpoint.write_text("not weights")
        case "missing":
            del weights["encoder.blocks.1.mlp.0.weight"]
            torch.save({"dims": DIMENSIONS, "model_state_dict": weights}, checkpoint)
        case "sizes":
            torch.save({"dims": DIMENSIONS | {"n_audio_state": 32}, "model_state_dict": weights}, checkpoint)
    expected = r"encoder\.blocks\.1\.mlp\.0\.weight" if damage == "missing" else "damaged, incomplete or none"
    with pytest.raises(EncoderError, match=expected):
        load_whisper(WhisperSpec(model=str(checkpoint)))


def test_a_download_that_fails_is_no_dead_end(monkeypatch):
    def unreachable(*_):
        raise OSError("no route to host")

    monkeypatch.setattr("whisper._download", unreachable)
    with pytest.raises(UnreachableError, match=r"downloaded \(no route to host\).*name it: model = 'FILE\.pt'"):
        load_whisper(WhisperSpec())


@pytest.mark.parametrize("modality", [Audio(seconds=1, sample_rate=44_100), Audio(seconds=0.2), Audio(seconds=3)])
def test_sound_that_whisper_cannot_hear_is_refused(checkpoint, modality):
    with pytest.raises(SignatureError, match="Whisper hears 16000 Hz, 0.5 to 2 s"):
        WhisperEncoder(modality, load_whisper(WhisperSpec(model=str(checkpoint))), OWN)
