"""Media files as what a policy would have lived through."""

import os
import wave
from contextlib import suppress
from fractions import Fraction

import av
import cv2
import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensorimotor.actions.actuators import open_actuator
from sensorimotor.actions.guards import NO_RULES, Guards
from sensorimotor.actions.space import Discrete
from sensorimotor.clock import ManualClock
from sensorimotor.errors import DataError, UsageError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.fit import Fit
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.perception.sensors import open_sensor
from sensorimotor.perception.video_file import VideoFile
from sensorimotor.pipelines.batch_input import InputSpec, Step, Unreadable, open_input
from sensorimotor.pipelines.media_inside import MAX_PIXELS
from sensorimotor.pipelines.stepped import Stepped

CAMERA = Image(height=24, width=32)
MIC = Audio(seconds=0.5)
ALL = {"camera": CAMERA, "mic": MIC, "instruction": Text()}
COMMAND = "go to the red ball"


def signature(rate_hz=10.0, **inputs):
    return Signature(inputs, Discrete(3, ("wait", "go", "turn")), Constant("wait"), rate_hz)


def film(path, seconds=1.5, size=(48, 64), fps=25, rate=44_100, channels=2, sound=True, video=True, level=0.3):
    """A video whose brightness rises, and its sound."""
    with av.open(str(path), "w") as container:
        streams = []
        if video:
            picture = container.add_stream("libx264", rate=fps)
            picture.height, picture.width, picture.pix_fmt = *size, "yuv420p"
            picture.codec_context.time_base = Fraction(1, fps)
            streams.append(picture)
        if sound:
            streams.append(container.add_stream("aac", rate=rate, layout="stereo" if channels == 2 else "mono"))
        if video:
            rng = np.random.default_rng(0)
            for number in range(round(seconds * fps)):
                pixels = np.full((*size, 3), 5 * number, np.uint8)
                pixels[: size[0] // 2] = rng.integers(0, 255, (size[0] // 2, size[1], 3))
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts = number
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        if sound:
            heard = np.sin(np.arange(round(seconds * rate)) * 0.05) * level * np.linspace(0.1, 1, round(seconds * rate))
            for start in range(0, len(heard), 1024):
                piece = np.repeat(heard[None, start : start + 1024], channels, 0).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo" if channels == 2 else "mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
                container.mux(streams[-1].encode(frame))
            container.mux(streams[-1].encode(None))
    return path


def wav(path, seconds, rate=16_000, level=8_000):
    samples = (np.sin(np.arange(round(seconds * rate)) * 0.1) * level).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def png(path, height=24, width=32, value=0):
    pixels = np.random.default_rng(value).integers(0, 256, (height, width, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return pixels[:, :, ::-1]


def opened(where, inputs=None, **spec):
    return open_input(InputSpec(str(where), **spec), signature(**(inputs or ALL)))


def equal(one, other):
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def ran(policy, sources, fit="crop", rate_hz=None):
    """What each decision of `run --as-fast-as-possible` sees: time and observation, ages, sequences."""
    clock, inputs, seen = ManualClock(), policy.signature.inputs, []
    sensors = {
        name: open_sensor(name, inputs[name], what, clock=clock, fit=fit, real_time=False)
        for name, what in sources.items()
    }
    guards = Guards(
        NO_RULES, policy.signature.action_space, policy.safe_action, max_age_s=dict.fromkeys(inputs, 1.0), period_s=0.1
    )
    with Stepped(
        policy,
        sensors,
        open_actuator("none"),
        guards,
        clock=clock,
        rate_hz=rate_hz,
        watch=lambda sensed, decision: seen.append((clock.now_ns() / 1e9, sensed)),
    ) as running:
        running.run()
    return seen


def assert_the_same(steps, seen):
    assert len(steps) == len(seen) > 5
    for step, (time_s, live) in zip(steps, seen, strict=True):
        assert step.time_s == time_s
        assert step.seen.ages_s == live.ages_s
        assert step.seen.sequences == live.sequences
        assert step.seen.observation.keys() == live.observation.keys()
        for name, value in live.observation.items():
            assert equal(step.seen.observation[name], value), name


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize(
    ("frames", "seconds", "rate_hz"), [(1, 0.5, None), (3, 0.7, 7.0), (1, 0.05, 30.0)], ids=["plain", "film", "fast"]
)
def test_a_video_and_its_sound_are_what_run_makes_of_them(fake, tmp_path, fit, frames, seconds, rate_hz):
    path = film(tmp_path / "clip.mp4")
    inputs = {"camera": Image(height=24, width=24, frames=frames), "mic": Audio(seconds=seconds), "instruction": Text()}
    policy = fake(signature(**inputs))
    seen = ran(policy, {"camera": str(path), "mic": str(path), "instruction": COMMAND}, fit, rate_hz)
    found = opened(path, inputs, constants={"instruction": COMMAND}, fit=fit, rate_hz=rate_hz)
    assert_the_same(list(found.lived(0)), seen)
    assert {"camera", "mic", "instruction"} == set(seen[-2][1].observation)


def test_utterances_in_a_long_sound_are_what_run_makes_of_them(fake, tmp_path):
    tone = 0.3 * np.sin(np.arange(16_000) * 0.2)
    sound = np.concatenate([np.zeros(8000), tone, np.zeros(16_000), tone, np.zeros(12_000)])
    with wave.open(str(tmp_path / "words.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((sound * 32767).astype(np.int16).tobytes())
    inputs = {"mic": Audio(seconds=2.0, mode="utterance"), "instruction": Text()}
    seen = ran(fake(signature(**inputs)), {"mic": str(tmp_path / "words.wav"), "instruction": COMMAND})
    assert {live.sequences.get("mic") for _, live in seen} == {None, 0, 1}
    assert_the_same(list(opened(tmp_path / "words.wav", inputs, constants={"instruction": COMMAND}).lived(0)), seen)


def test_what_is_too_old_is_left_out_as_in_run(fake, tmp_path):
    path = film(tmp_path / "clip.mp4", seconds=1.5)
    short = {"camera": CAMERA.model_copy(update={"max_age_s": 0.01}), "mic": MIC}
    seen = ran(fake(signature(**short)), {"camera": str(path), "mic": str(path)})
    steps = list(opened(path, short).lived(0))
    assert_the_same(steps, seen)
    assert not all("camera" in step.seen.observation for step in steps)


def test_every_file_is_an_episode_named_by_its_path_in_the_order_of_people(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("clip10.png", "clip9.png", "b/x.JPG", ".hidden.png", "notes.txt", "b/._x.JPG"):
        png(tmp_path / name) if name.lower().endswith(("png", "jpg")) else (tmp_path / name).write_text("x")
    found = opened(tmp_path)
    assert list(found.ids) == ["b/x.JPG", "clip9.png", "clip10.png"]
    assert len(found) == 3
    assert found.alone
    assert any("1 files are left out" in line for line in found.losses.told())


def test_names_that_no_table_can_hold_cost_no_other_file(tmp_path):
    png(tmp_path / "a.png")
    (tmp_path / os.fsdecode(b"b\xff.png")).write_bytes((tmp_path / "a.png").read_bytes())
    found = opened(tmp_path)
    assert list(found.ids) == ["a.png"]
    assert any("1 files are left out, whose names are not UTF-8" in line for line in found.losses.told())


def test_a_pattern_names_files_from_where_it_begins(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        png(tmp_path / name / "1.png")
        wav(tmp_path / name / "1.wav", 0.1)
    assert list(opened(tmp_path / "*" / "*.png").ids) == ["a/1.png", "b/1.png"]
    assert list(opened(tmp_path / "**" / "*.wav").ids) == ["a/1.wav", "b/1.wav"]
    with pytest.raises(DataError, match="there are none"):
        opened(tmp_path / "*.mp4")


def test_a_directory_whose_name_looks_like_a_pattern_is_one(tmp_path):
    (tmp_path / "run [1]").mkdir()
    png(tmp_path / "run [1]" / "1.png")
    assert list(opened(tmp_path / "run [1]").ids) == ["1.png"]
    assert len(opened(tmp_path / "run [1]" / "1.png").samples([0])) == 1


def test_a_picture_stands_alone_and_is_fitted_as_live(tmp_path):
    pixels = png(tmp_path / "a.png", 40, 80)
    found = opened(tmp_path / "a.png", constants={"instruction": COMMAND}, fit="pad")
    (step,) = found.samples([0])
    assert np.array_equal(step.seen.observation["camera"], Fit(CAMERA, "pad")(pixels))
    assert step.seen.observation["instruction"] == COMMAND
    assert step.time_s == 0
    assert step.seen.ages_s == {"camera": 0, "instruction": 0}
    (again,) = found.lived(0)
    assert np.array_equal(again.seen.observation["camera"], step.seen.observation["camera"])
    assert found.losses.totals() == {"mic: no sound": 2}


def test_a_picture_is_a_whole_film_where_the_policy_sees_films(tmp_path):
    pixels = png(tmp_path / "a.png")
    (step,) = opened(tmp_path, {"camera": Image(height=24, width=32, frames=3)}).samples([0])
    assert np.array_equal(step.seen.observation["camera"], np.stack([pixels] * 3))


@pytest.mark.parametrize("seconds", [0.1, 0.5])
def test_a_sound_that_is_heard_at_once_is_one_step_at_its_end(tmp_path, seconds):
    wav(tmp_path / "a.wav", seconds)
    (step,) = opened(tmp_path, {"mic": MIC}).lived(0)
    heard = step.seen.observation["mic"]
    assert heard.shape == (8000, 1)
    assert step.time_s == seconds
    silent = 8000 - round(seconds * 16_000)
    assert not heard[:silent].any()
    assert np.array_equal(
        np.rint(heard[silent:, 0] * 32768), (np.sin(np.arange(8000 - silent) * 0.1) * 8000).astype("i2")
    )


def test_a_short_sound_is_a_whole_utterance_even_without_silence_behind_it(tmp_path):
    wav(tmp_path / "a.wav", 0.4)
    (step,) = opened(tmp_path, {"mic": Audio(seconds=2.0, mode="utterance")}).lived(0)
    assert step.seen.observation["mic"].shape == (6400, 1)


def test_a_longer_sound_is_lived_through_at_the_rate(tmp_path):
    wav(tmp_path / "a.wav", 1.0)
    found = opened(tmp_path, {"mic": MIC}, rate_hz=4.0)
    assert not found.alone
    assert [step.time_s for step in found.lived(0)] == [0.0, 0.25, 0.5, 0.75, 1.0]
    with pytest.raises(ValueError, match="not all"):
        found.samples([0])


def test_a_video_without_sound_lacks_it_which_is_counted(tmp_path):
    film(tmp_path / "silent.mp4", sound=False)
    film(tmp_path / "loud.mp4")
    found = opened(tmp_path)
    silent = list(found.lived(list(found.ids).index("silent.mp4")))
    assert not any("mic" in step.seen.observation for step in silent)
    assert found.losses.totals() == {"mic: no sound": 1}
    list(found.lived(list(found.ids).index("loud.mp4")))
    assert found.losses.totals() == {"mic: no sound": 1}
    critical = opened(tmp_path / "silent.mp4", {"camera": CAMERA, "mic": MIC.model_copy(update={"critical": True})})
    with pytest.raises(Unreadable, match="has no sound, and the policy does nothing without mic"):
        list(critical.lived(0))


def test_sound_that_is_clipped_is_refused_at_those_steps_and_no_others(tmp_path):
    sound = np.sin(np.arange(32_000) * 0.1)
    sound[16_000:20_000] = 1.0
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((sound * 0.5 * (1 + (sound == 1.0)) * 32767).astype(np.int16).tobytes())
    steps = list(opened(tmp_path, {"mic": MIC}).lived(0))
    refused = [step.time_s for step in steps if step.refused]
    assert refused == [step.time_s for step in steps if 1.0 < step.time_s <= 1.7]
    assert all("clipped" in step.refused for step in steps if step.refused)


def damaged(tmp_path, how):
    whole = film(tmp_path / "whole.mkv" if how == "cut short" else tmp_path / "whole.mp4")
    data = whole.read_bytes()
    whole.unlink()
    path = tmp_path / ("bad" + whole.suffix)
    match how:
        case "empty":
            path.write_bytes(b"")
        case "no video at all":
            path.write_bytes(b"hello, I am a text" * 100)
        case "cut short":
            path.write_bytes(data[: len(data) // 2])
        case "without its index":
            path.write_bytes(data[: len(data) // 2])
        case "of an unknown codec":
            path.write_bytes(data.replace(b"avc1", b"zzzz"))
        case "a sound":
            wav(path, 1.0)
        case "a directory":
            path.mkdir()
            (path / "x.txt").write_text("x")
    return path


@pytest.mark.parametrize(
    ("how", "stage", "word"),
    [
        ("empty", "open", "is empty"),
        ("no video at all", "open", "cannot be read"),
        ("cut short", "open", "cut short"),
        ("without its index", "open", "cannot be read"),
        ("of an unknown codec", "open", "cannot decode"),
        ("a sound", "open", "no pictures"),
    ],
)
def test_a_damaged_video_is_said_of_and_the_others_go_on(tmp_path, how, stage, word):
    bad = damaged(tmp_path, how)
    film(tmp_path / "good.mp4", seconds=0.5)
    found = opened(tmp_path, {"camera": CAMERA.model_copy(update={"critical": True}), "mic": MIC})
    assert set(found.ids) == {bad.name, "good.mp4"}
    with pytest.raises(Unreadable, match=word) as error:
        list(found.lived(list(found.ids).index(bad.name)))
    assert (error.value.id, error.value.stage, error.value.kind) == (bad.name, stage, "DataError")
    assert len(list(found.lived(list(found.ids).index("good.mp4")))) > 5


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(100)], ids=["empty", "text", "cut"]
)
def test_a_damaged_picture_is_given_in_its_place(tmp_path, content):
    (tmp_path / "1.png").write_bytes(content)
    png(tmp_path / "2.png")
    bad, good = opened(tmp_path).samples([0, 1])
    assert isinstance(bad, Unreadable)
    assert (bad.id, bad.stage) == ("1.png", "decode")
    assert isinstance(good, Step)


def test_a_sound_that_is_cut_short_or_empty_is_said_of(tmp_path):
    data = wav(tmp_path / "a.wav", 1.0).read_bytes()
    (tmp_path / "a.wav").write_bytes(data[:-9000])
    wav(tmp_path / "b.wav", 0.0)
    (tmp_path / "c.flac").write_bytes(b"fLaC")
    found = opened(tmp_path, {"mic": MIC})
    for index, word in enumerate(["cut short", "no sound", "cannot be read"]):
        with pytest.raises(Unreadable, match=word):
            list(found.lived(index))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Small media of several formats."""
    folder = tmp_path_factory.mktemp("whole")
    film(folder / "a.mp4", seconds=0.6)
    film(folder / "b.mkv", seconds=0.6)
    wav(folder / "c.wav", 0.7)
    png(folder / "d.png")
    cv2.imwrite(str(folder / "e.jpg"), cv2.imread(str(folder / "d.png")))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_in_a_file_costs_no_more_than_its_episode(whole, tmp_path, monkeypatch, data):
    monkeypatch.setattr("sensorimotor.pipelines.batch_film.MAX_GAP_S", 2.0)
    name = data.draw(st.sampled_from(sorted(whole)))
    content = bytearray(whole[name])
    for _ in range(data.draw(st.integers(0, 12))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    for file in tmp_path.iterdir():
        file.unlink()
    (tmp_path / name).write_bytes(content)
    found = opened(tmp_path)
    with suppress(Unreadable):  # it may be readable all the same
        for step in found.lived(0):
            assert 0 <= step.time_s < 100
            for to, value in step.seen.observation.items():
                if not step.refused:
                    ALL[to].check(to, value)


def test_times_that_are_damaged_do_not_go_on_for_ever(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 10)
        for pts in (0, 1, 2, 36_100):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts = pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    seen = []
    with pytest.raises(Unreadable, match=r"after 0\.2 s it goes on at 3610 s") as error:
        for step in opened(tmp_path).lived(0):
            seen.append(step.time_s)
    assert seen == [0.0, 0.1]
    assert error.value.stage == "decode"


def test_a_film_of_which_no_frame_can_be_decoded_is_said_of(tmp_path):
    data = bytearray(film(tmp_path / "a.mkv", seconds=0.5).read_bytes())
    with av.open(str(tmp_path / "a.mkv")) as container:
        for packet in container.demux(video=0):
            if packet.size:
                payload = bytes(packet)[:64]
                at = data.find(payload)
                data[at : at + packet.size] = bytes(packet.size)
    (tmp_path / "a.mkv").write_bytes(data)
    with pytest.raises(Unreadable, match="none of its pictures can be decoded"):
        list(opened(tmp_path).lived(0))


def test_a_file_that_is_gone_since_it_was_listed_is_said_of(tmp_path):
    png(tmp_path / "1.png")
    found = opened(tmp_path)
    (tmp_path / "1.png").unlink()
    (gone,) = found.samples([0])
    assert (gone.id, gone.stage) == ("1.png", "open")
    assert "No such file" in gone.message


def test_a_video_of_enormous_frames_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    film(tmp_path / "a.mp4", seconds=0.2)
    monkeypatch.setattr("sensorimotor.pipelines.media_inside.MAX_PIXELS", 1000)
    with pytest.raises(Unreadable, match="64 x 48, more than 1000 pixels|64 x 48 pixels, more than 1000"):
        list(opened(tmp_path).lived(0))
    assert MAX_PIXELS >= 4096 * 2160


def test_files_of_other_machines_are_read_by_their_address(tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe("/far/clip.mp4", film(tmp_path / "clip.mp4").read_bytes())
    pixels = png(tmp_path / "1.png")
    memory.pipe("/far/deep/1.png", (tmp_path / "1.png").read_bytes())
    found = opened("memory://far", constants={"instruction": COMMAND})
    assert list(found.ids) == ["clip.mp4", "deep/1.png"]
    here = opened(tmp_path / "clip.mp4", constants={"instruction": COMMAND})
    for one, other in zip(found.lived(0), here.lived(0), strict=True):
        assert one.time_s == other.time_s
        for name, value in other.seen.observation.items():
            assert equal(one.seen.observation[name], value)
    (step,) = found.lived(1)
    assert np.array_equal(step.seen.observation["camera"], pixels)
    assert list(opened("memory://far/**/*.png").ids) == ["deep/1.png"]
    assert list(opened("memory://far/clip.mp4").ids) == ["clip.mp4"]
    assert list(opened(f"file://{tmp_path}").ids) == ["1.png", "clip.mp4"]
    with pytest.raises(DataError, match="no such"):
        opened("memory://nowhere")


def test_a_copy_of_a_far_file_does_not_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "x").mkdir()
    fsspec.filesystem("memory").pipe("/gone/clip.mp4", film(tmp_path / "x" / "clip.mp4").read_bytes())
    steps = opened("memory://gone").lived(0)
    next(steps)
    assert list(tmp_path.glob("sensorimotor-*/clip.mp4"))
    steps.close()
    assert not list(tmp_path.glob("sensorimotor-*"))


def test_a_far_file_that_never_ends_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sensorimotor.pipelines.media_files.MAX_COPIED_BYTES", 1000)
    fsspec.filesystem("memory").pipe("/long/clip.mp4", bytes(2000))
    with pytest.raises(Unreadable, match="larger than"):
        list(opened("memory://long").lived(0))


def test_another_process_opens_the_same_files_whatever_has_come_since(tmp_path):
    for name in ("1.png", "3.png"):
        png(tmp_path / name, value=int(name[0]))
    first = opened(tmp_path)
    png(tmp_path / "2.png", value=2)
    spec = InputSpec(**first.spec.to_json())
    again = open_input(spec, signature(**ALL), first.ids)
    assert list(again.ids) == ["1.png", "3.png"]
    for one, other in zip(first.samples([0, 1]), again.samples([0, 1]), strict=True):
        assert np.array_equal(one.seen.observation["camera"], other.seen.observation["camera"])
    assert opened(tmp_path).fingerprint != first.fingerprint


TWO = {"front": CAMERA, "wrist": Image(height=8, width=8)}


def test_which_of_two_cameras_pictures_are_for_has_to_be_said(tmp_path):
    png(tmp_path / "1.png")
    with pytest.raises(UsageError, match="--bind front=pictures"):
        opened(tmp_path, TWO)
    (step,) = opened(tmp_path, TWO, bind={"wrist": "pictures"}).samples([0])
    assert step.seen.observation["wrist"].shape == (8, 8, 3)
    assert set(step.seen.observation) == {"wrist"}
    (both,) = opened(tmp_path, TWO, bind={"wrist": "pictures", "front": "pictures"}).samples([0])
    assert {name: value.shape for name, value in both.seen.observation.items()} == {
        "front": (24, 32, 3),
        "wrist": (8, 8, 3),
    }


@pytest.mark.parametrize(
    ("inputs", "spec", "error", "word"),
    [
        (ALL, {"bind": {"camera": "sound"}}, UsageError, "expected 'pictures'"),
        (ALL, {"bind": {"kamera": "pictures"}}, UsageError, "no input 'kamera'"),
        (ALL, {"bind": {"instruction": "words"}}, UsageError, "table or a recording"),
        (ALL, {"constants": {"camera": "x"}}, UsageError, "only texts"),
        (ALL, {"constants": {"instruction": "x" * 100_000}}, UsageError, "characters"),
        (ALL, {"rate_hz": 0.0}, UsageError, "rate"),
        (ALL, {"fit": "squeeze"}, UsageError, "crop, pad, stretch"),
        ({**ALL, "joints": State(size=2, critical=True)}, {}, DataError, "does nothing without joints"),
        ({"joints": State(size=2)}, {}, DataError, "neither sees nor hears"),
        ({"mic": MIC}, {}, DataError, "expected files with sound"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_decoded(tmp_path, inputs, spec, error, word):
    png(tmp_path / "1.png")
    with pytest.raises(error, match=word):
        opened(tmp_path, inputs, **spec)


def test_a_film_is_never_whole_in_memory(tmp_path, monkeypatch):
    film(tmp_path / "a.mp4", seconds=2.0)
    decoded = []
    read = VideoFile.read

    def counted(self, timeout_s):
        decoded.append(1)
        return read(self, timeout_s)

    monkeypatch.setattr(VideoFile, "read", counted)
    steps = opened(tmp_path).lived(0)
    for number in range(5):
        next(steps)
        assert len(decoded) <= 2 + 2.5 * number + 1  # 25 frames a second at 10 decisions
    steps.close()
