import math

import pytest
import torch

from sensorimotor.perception.audio_encoder import AudioEncoder, LogMel
from sensorimotor.perception.modality import Audio

pytestmark = pytest.mark.usefixtures("one_thread")

RATE = 8000


def encoder(mode: str = "utterance", channels: int = 1, seconds: float = 0.8, dim: int = 16) -> AudioEncoder:
    torch.manual_seed(0)
    return AudioEncoder(Audio(sample_rate=RATE, seconds=seconds, mode=mode, channels=channels), dim).eval()


def noise(batch: int, samples: int, channels: int = 1, seed: int = 0) -> torch.Tensor:
    return 0.2 * torch.randn(batch, samples, channels, generator=torch.Generator().manual_seed(seed))


def tone(hz: float, rate: int, seconds: float = 0.2, peak: float = 1.0) -> torch.Tensor:
    return (peak * torch.sin(2 * math.pi * hz * torch.arange(round(seconds * rate)) / rate))[None]


def mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


# Log-mel


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("hz", [150, 440, 1000, 2500, 3700])
def test_a_pure_tone_peaks_in_the_band_of_its_frequency(rate, hz):
    bands = LogMel(rate)(tone(hz, rate))[0, :, 5:-5].mean(1)
    low, high = mel(60), mel(min(8000, rate / 2))
    centre = (mel(hz) - low) / (high - low) * 65 - 1  # 64 bands lie between 66 evenly spaced edges
    assert abs(int(bands.argmax()) - centre) <= 2
    assert bands.argmax() == bands.argmax(0)


def test_a_higher_tone_never_peaks_in_a_lower_band():
    front = LogMel(RATE)
    peaks = [int(front(tone(hz, RATE))[0, :, 5:-5].mean(1).argmax()) for hz in range(100, 3900, 100)]
    assert peaks == sorted(peaks)
    assert peaks[0] < 5
    assert peaks[-1] > 58


def test_silence_lies_at_minus_one_and_full_scale_at_about_one():
    front = LogMel(RATE)
    assert torch.equal(front(torch.zeros(1, 800)), torch.full((1, 64, 10), -1.0))
    assert 0.8 < float(front(tone(1000, RATE)).max()) < 1.2


def test_there_is_a_frame_for_every_hop_of_10_ms():
    front = LogMel(RATE)
    for samples in (80, 81, 159, 160, 800):
        assert front(torch.zeros(1, samples)).shape == (1, 64, samples // 80)


def test_ten_times_the_amplitude_is_two_thirds_higher_whatever_else_there_is():
    front, quiet = LogMel(RATE), noise(1, 1600)[..., 0]
    assert torch.allclose(front(quiet * 10) - front(quiet), torch.tensor(2 / 3), atol=1e-3)


def test_a_frame_does_not_depend_on_louder_frames_or_louder_rows():
    front, quiet = LogMel(RATE), noise(1, 1600)[..., 0] * 0.01
    loud_behind = torch.cat([quiet[:, :800], torch.ones(1, 800)], dim=1)
    assert torch.allclose(front(loud_behind)[..., :8], front(quiet)[..., :8], atol=1e-5)
    assert torch.allclose(front(torch.cat([quiet, tone(440, RATE)]))[0], front(quiet)[0], atol=1e-5)


@pytest.mark.parametrize("rate", [4000, 8000, 16_000, 48_000])
def test_every_band_hears_something_and_none_lies_below_the_one_before(rate):
    filters = LogMel(rate).mel
    assert 0 <= filters.min() < filters.max() <= 1
    assert (filters.sum(1) > 0).all()
    loudest = filters.argmax(1).tolist()
    assert loudest == sorted(loudest)


# Encoder


@pytest.mark.parametrize(("seconds", "tokens"), [(0.01, 1), (0.08, 1), (0.09, 2), (0.16, 2), (0.8, 10), (0.85, 11)])
def test_there_is_a_token_for_every_80_ms(seconds, tokens):
    net = encoder(seconds=seconds)
    samples = net.modality.samples
    out, mask = net(noise(2, samples), torch.tensor([samples, samples]))
    assert net.tokens == tokens
    assert out.shape == (2, tokens, 16)
    assert mask.shape == (2, tokens)
    assert mask.all()


@pytest.mark.parametrize("mode", ["utterance", "window"])
@pytest.mark.parametrize("length", [0, 1, 640, 641, 3333])
@pytest.mark.parametrize("garbage", [1.0, -0.5, 1e6])
def test_what_lies_behind_the_length_changes_nothing(mode, length, garbage):
    net, sound = encoder(mode), noise(1, 6400)
    sound[:, length:] = 0
    clean, mask = net(sound, torch.tensor([length]))
    sound[:, length:] = garbage
    dirty, mask_dirty = net(sound, torch.tensor([length]))
    assert torch.equal(clean, dirty)
    assert torch.equal(mask, mask_dirty)


@pytest.mark.parametrize(("length", "tokens"), [(0, 0), (1, 1), (640, 1), (641, 2), (3200, 5), (6400, 10)])
def test_the_mask_says_where_there_is_sound(length, tokens):
    out, mask = encoder()(noise(1, 6400), torch.tensor([length]))
    assert mask[0].tolist() == [True] * tokens + [False] * (10 - tokens)
    assert out.isfinite().all()


@pytest.mark.parametrize("mode", ["utterance", "window"])
@pytest.mark.parametrize("others", [[1], [4, 3, 2, 1]])
def test_a_row_does_not_depend_on_the_other_rows(mode, others):
    net = encoder(mode)
    sound = noise(5, 6400) * torch.tensor([0.05, 1, 5, 0, 2])[:, None, None]
    length = torch.tensor([3000, 6400, 100, 6400, 0])
    alone, alone_mask = net(sound[:1], length[:1])
    for at in range(len(others) + 1):
        order = [*others[:at], 0, *others[at:]]
        out, mask = net(sound[order], length[order])
        assert torch.allclose(out[at], alone[0], atol=1e-5)
        assert torch.equal(mask[at], alone_mask[0])


def test_an_utterance_sounds_the_same_at_any_level_and_a_window_does_not():
    sound, length = noise(1, 6400), torch.tensor([6400])
    change = {}
    for mode in ("utterance", "window"):
        net = encoder(mode)
        change[mode] = (net(sound * 4, length)[0] - net(sound, length)[0]).abs().max()
    assert change["utterance"] < 1e-3
    assert change["window"] > 0.05


def test_different_sounds_are_told_apart():
    net, length = encoder(), torch.tensor([6400])
    low, high = (tone(hz, RATE, 0.8)[..., None] for hz in (300, 2000))
    rising = torch.cat([low[:, :3200], high[:, :3200]], dim=1)
    falling = torch.cat([high[:, :3200], low[:, :3200]], dim=1)
    assert (net(rising, length)[0] - net(falling, length)[0]).abs().max() > 1e-2


def test_stereo_is_told_from_its_mirror_image():
    net, sound, length = encoder("window", channels=2), noise(1, 6400, 2), torch.tensor([6400])
    sound[..., 1] *= 0.1
    out, mask = net(sound, length)
    assert out.shape == (1, 10, 16)
    assert mask.all()
    assert (out - net(sound.flip(-1), length)[0]).abs().max() > 1e-2


def test_a_window_of_silence_is_finite():
    for mode in ("utterance", "window"):
        out, _ = encoder(mode)(torch.zeros(1, 6400, 1), torch.tensor([6400]))
        assert out.isfinite().all()


def heard_by_a_token(layers):
    """When what changes in the sound changes token 15 (s)."""
    torch.manual_seed(0)
    net = AudioEncoder(Audio(sample_rate=RATE, seconds=2.4, mode="window"), 16, layers).eval()
    sound, length = noise(1, 19_200), torch.tensor([19_200])
    token = net(sound, length)[0][0, 15]
    heard = []
    for start in range(0, 19_200, 160):
        changed = sound.clone()
        changed[:, start : start + 160] *= -3
        if not torch.allclose(net(changed, length)[0][0, 15], token, atol=1e-6):
            heard.append(start / RATE)
    return heard


def test_without_attention_a_token_hears_about_a_second_and_nothing_beyond():
    heard = heard_by_a_token(layers=0)
    assert 0.7 < heard[-1] - heard[0] < 1.1
    assert heard[0] < 15 * 0.08 < heard[-1]


def test_with_attention_a_token_hears_all_of_it():
    heard = heard_by_a_token(layers=1)
    assert heard[0] == 0
    assert heard[-1] == pytest.approx(2.4 - 0.02)


def test_where_in_the_sound_something_is_makes_a_difference():
    """The same beep, a token earlier or later: the token that has it is not the same."""
    net, length = encoder("window"), torch.tensor([6400])
    silence = torch.zeros(1, 6400, 1)
    early, late = silence.clone(), silence.clone()
    early[:, 1920:2560], late[:, 3200:3840] = (tone(500, RATE, 0.08)[..., None] for _ in range(2))
    before, after = net(early, length)[0][0, 3], net(late, length)[0][0, 5]
    assert (before - after).abs().max() > 1e-3


def test_listening_goes_on_where_the_front_end_stops():
    net, sound, length = encoder(), noise(2, 6400), torch.tensor([6400, 2000])
    features, frames = net.bands(sound, length)
    assert features.shape == (2, 64, 80)
    assert frames.sum(1).tolist() == [80, 25]
    assert (features[1, :, 25:] == 0).all()
    for ours, theirs in zip(net.listen(features, frames), net(sound, length), strict=True):
        assert torch.equal(ours, theirs)


def test_silence_is_nothing_to_a_window_and_to_an_utterance():
    for mode in ("utterance", "window"):
        features, _ = encoder(mode).bands(torch.zeros(1, 6400, 1), torch.tensor([6400]))
        assert (features == 0).all()


def test_a_window_soon_learns_to_tell_rising_tones_from_falling_ones():
    """As it would not if silence were a number like any other: layer norm would leave nothing of a quiet sound."""
    torch.manual_seed(0)
    ear = AudioEncoder(Audio(sample_rate=RATE, seconds=0.4), 16)
    head = torch.nn.Linear(16, 2)
    both = [*ear.parameters(), *head.parameters()]
    learning = torch.optim.Adam(both, 1e-3)
    seconds, made = torch.arange(3200) / RATE, torch.Generator().manual_seed(1)
    losses = []
    for _ in range(40):
        rising, low = torch.randint(2, (32,), generator=made), 300 + 600 * torch.rand(32, 1, generator=made)
        share = torch.where(rising[:, None] == 1, seconds / 0.4, 1 - seconds / 0.4)
        phase = 2 * math.pi * torch.cumsum(low * 2**share, 1) / RATE
        sound = 0.2 * torch.sin(phase)[..., None] + 0.005 * noise(32, 3200, seed=int(low.sum()))
        tokens, _ = ear(sound, torch.full((32,), 3200))
        loss = torch.nn.functional.cross_entropy(head(tokens.mean(1)), rising)
        learning.zero_grad()
        loss.backward()
        learning.step()
        losses.append(loss.item())
    assert max(losses[-5:]) < 0.1
