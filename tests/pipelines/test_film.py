import sys
from dataclasses import replace

import numpy as np
import pytest

from sensorimotor.errors import MissingExtraError, ObservationError, OutputPathError, UsageError
from sensorimotor.pipelines import film_drawing
from sensorimotor.pipelines.film import Film, Scene, draw, write_gif

av = pytest.importorskip("av")
pytest.importorskip("cv2")

RATE = Film.sample_rate
SMALL = (640, 360)
LABELS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")


def tone(seconds, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


LEAD_IN = np.concatenate([silence(0.4), tone(1.0), silence(0.6)])
SPEECH_S = (0.4, 1.4)


@pytest.fixture(scope="module")
def listening():
    pixels = np.random.default_rng(0).integers(0, 256, (56, 56, 3), np.uint8)
    return Scene(
        camera=pixels,
        room=np.full((192, 192, 3), 90, np.uint8),
        level="GoToLocal",
        words="go to the red ball",
        waveform=LEAD_IN,
        heard_s=0.0,
        labels=LABELS,
    )


@pytest.fixture(scope="module")
def acting(listening):
    probabilities = np.array([0.01, 0.02, 0.9, 0.02, 0.01, 0.01, 0.03])
    decided = {"probabilities": probabilities, "chosen": 2, "confidence": 0.9, "decision_ms": 3.1, "step": 4}
    return replace(listening, heard_s=2.0, outcome="acting", **decided)


def decoded(path):
    """Pictures as uint8 (n, height, width, 3), sound as float32 (samples,) at the film's rate, and what is stated."""
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        facts = {
            "codecs": (video.codec_context.name, audio.codec_context.name),
            "pixels": video.codec_context.pix_fmt,
            "video_s": float(video.duration * video.time_base),
            "audio_s": float(audio.duration * audio.time_base),
            "audio_rate": audio.rate,
        }
        pictures, sounds = [], []
        for frame in container.decode(video, audio):
            if isinstance(frame, av.VideoFrame):
                pictures.append(frame.to_ndarray(format="rgb24"))
            else:
                sounds.append(frame.to_ndarray()[0])
    return np.stack(pictures), np.concatenate(sounds), facts


def loudness(sound, rate, start_s, end_s):
    return float(np.sqrt(np.mean(sound[round(start_s * rate) : round(end_s * rate)] ** 2)))


# What a scene looks like.


def test_a_scene_is_drawn_as_rgb_of_the_size_asked_for(listening):
    for size in (film_drawing.SIZE, SMALL, (1920, 1080)):
        picture = draw(listening, size)
        assert (picture.shape, picture.dtype) == ((size[1], size[0], 3), np.uint8)


def test_drawing_changes_neither_the_scene_nor_the_next_picture(acting):
    camera = acting.camera.copy()
    first = draw(acting)
    assert np.array_equal(draw(acting), first)
    assert np.array_equal(acting.camera, camera)


def test_every_camera_pixel_is_shown_as_a_square_of_its_own_colour(listening):
    x, y, width, height = film_drawing.CAMERA_BOX
    shown = draw(listening)[y : y + height, x : x + width]
    assert np.array_equal(shown[4::9, 4::9], listening.camera)
    assert np.array_equal(shown, listening.camera.repeat(9, axis=0).repeat(9, axis=1))


def test_the_outcome_is_seen_in_colour(acting):
    def count(outcome, colour):
        return int((draw(replace(acting, outcome=outcome)) == colour).all(axis=2).sum())

    green, red = film_drawing.GREEN, film_drawing.RED
    assert count("solved", green) > 10_000 > 100 > count("acting", green)
    assert count("missed", red) > 10_000 > 100 > count("acting", red)


def test_the_chosen_bar_is_as_long_as_its_probability(acting):
    x, y, width, _ = film_drawing.BARS_BOX
    row = draw(acting)[y + 2 * 30 + 15, x : x + width]
    lengths = [int((row == colour).all(axis=1).sum()) for colour in (film_drawing.ACCENT, film_drawing.TRACK)]
    assert lengths[0] / sum(lengths) == pytest.approx(0.9, abs=0.02)


def test_the_waveform_is_lit_as_far_as_it_is_heard(listening):
    x, y, width, height = film_drawing.SOUND_BOX

    def lit(heard_s):
        strip = draw(replace(listening, heard_s=heard_s))[y : y + height, x : x + width]
        return int((strip == film_drawing.ACCENT).all(axis=2).sum())

    assert lit(0.0) == 0 < lit(0.5) < lit(1.0) < lit(2.0) == lit(99.0)


@pytest.mark.parametrize(
    ("heard_s", "words"), [(0.0, ""), (0.3, ""), (0.5, "go"), (0.9, "go to the"), (1.41, "go to the red ball")]
)
def test_words_appear_as_they_are_spoken(heard_s, words):
    levels = film_drawing.envelope(LEAD_IN, 120)
    assert film_drawing.words_heard("go to the red ball", levels, heard_s / 2.0) == words


def test_without_sound_the_words_are_simply_shown(listening):
    levels = film_drawing.envelope(silence(0), 120)
    assert film_drawing.words_heard("go to the red ball", levels, 1.0) == "go to the red ball"
    assert draw(replace(listening, waveform=silence(0))).shape == (720, 1280, 3)


def test_a_long_mission_stays_above_what_follows_it(listening):
    words = "put the purple box next to the green key behind you and open the yellow door in front of you, then " * 2
    above_captions = slice(film_drawing.SUBTITLE_BASELINE + 46, film_drawing.DOES_BASELINE - 22)
    silent = replace(listening, waveform=silence(0))
    empty, full = (draw(replace(silent, words=text)) for text in ("", words.strip()))
    assert not np.array_equal(empty, full)
    assert np.array_equal(empty[above_captions], full[above_captions])
    assert np.array_equal(empty[:, film_drawing.RIGHT :], full[:, film_drawing.RIGHT :])


def test_a_scene_without_actions_or_with_many_can_be_drawn(listening):
    for labels in ((), tuple(f"action {index}" for index in range(14))):
        assert draw(replace(listening, labels=labels)).shape == (720, 1280, 3)


@pytest.mark.parametrize("camera", [np.zeros((56, 56), np.uint8), np.zeros((56, 56, 3), np.float32)])
def test_a_camera_of_another_shape_or_type_is_refused(listening, camera):
    with pytest.raises(ObservationError, match=r"input 'camera': expected uint8 \(height, width, 3\), got"):
        replace(listening, camera=camera)


def test_probabilities_and_choice_must_belong_to_the_actions(acting):
    with pytest.raises(UsageError, match="probabilities for 7 actions"):
        replace(acting, probabilities=np.ones(6) / 6)
    with pytest.raises(UsageError, match="action 7 was chosen among 7"):
        replace(acting, chosen=7)


# What a film holds.


def test_a_film_holds_its_scenes_with_picture_and_sound_in_step(tmp_path, listening, acting):
    path = tmp_path / "new" / "demo.mp4"
    with Film(path, size=SMALL) as film:
        film.add(listening, 2.0, LEAD_IN)
        for step in range(4):
            film.add(replace(acting, step=step), 0.44)
        film.add(replace(acting, outcome="solved"), 0.513, tone(0.2))
    pictures, sound, facts = decoded(path)

    assert facts["codecs"] == ("h264", "aac")
    assert facts["pixels"] == "yuv420p"
    assert pictures.shape == (round((2.0 + 4 * 0.44 + 0.513) * 25), 360, 640, 3)
    assert film.duration_s == len(pictures) / 25
    assert facts["video_s"] == pytest.approx(film.duration_s, abs=1e-3)
    assert facts["audio_s"] == pytest.approx(film.duration_s, abs=1e-3)
    assert len(sound) / facts["audio_rate"] == pytest.approx(film.duration_s, abs=1 / 25)

    x, y, width, height = (side // 2 for side in film_drawing.SOUND_BOX)  # the playhead tells the time
    for index in (0, 10, 25, 49):
        shown = pictures[index, y : y + height, x : x + width].astype(int)
        times = [(index + shift) / 25 for shift in (-1, 0, 1)]
        drawn = [draw(replace(listening, heard_s=max(0.0, t)), SMALL)[y : y + height, x : x + width] for t in times]
        assert np.argmin([np.abs(shown - strip).mean() for strip in drawn[index == 0 :]]) == (index != 0)

    spoken_s, solved_s = SPEECH_S, 2.0 + 4 * 0.44
    for start_s, end_s in (spoken_s, (solved_s, solved_s + 0.2)):
        assert loudness(sound, facts["audio_rate"], start_s + 0.05, end_s - 0.05) == pytest.approx(0.354, abs=0.03)
        assert loudness(sound, facts["audio_rate"], start_s - 0.3, start_s - 0.05) < 0.01
        assert loudness(sound, facts["audio_rate"], end_s + 0.05, end_s + 0.25) < 0.01


def test_colours_survive_the_film(tmp_path, acting):
    with Film(tmp_path / "demo.mp4", size=SMALL) as film:
        film.add(replace(acting, camera=np.full((56, 56, 3), (220, 40, 30), np.uint8)), 0.2)
    pictures, _, _ = decoded(tmp_path / "demo.mp4")
    assert pictures[-1][200, 150] == pytest.approx(np.array([220, 40, 30]), abs=8)


def test_rounding_to_pictures_does_not_add_up(tmp_path, acting):
    with Film(tmp_path / "demo.mp4", size=SMALL) as film:
        for _ in range(30):
            film.add(acting, 0.05)  # one and a quarter pictures
        assert film.duration_s == pytest.approx(1.5, abs=1 / 25)


def test_a_sound_longer_than_its_scene_plays_on(tmp_path, listening, acting):
    with Film(tmp_path / "demo.mp4", size=SMALL) as film:
        film.add(listening, 0.2, tone(0.6))
        film.add(acting, 1.0)
    _, sound, facts = decoded(tmp_path / "demo.mp4")
    assert loudness(sound, facts["audio_rate"], 0.1, 0.55) > 0.3
    assert loudness(sound, facts["audio_rate"], 0.65, 1.15) < 0.01


def test_an_error_while_filming_leaves_the_old_film(tmp_path, listening):
    path = tmp_path / "demo.mp4"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), Film(path, size=SMALL) as film:  # noqa: PT012
        film.add(listening, 0.1)
        raise FileNotFoundError("of the caller, not of the film")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("demo.mp4", b"old")]


def test_a_path_that_cannot_be_written_is_told_before_filming(tmp_path):
    (tmp_path / "file").touch()
    for make in (lambda path: Film(path), lambda path: write_gif(path, [], 10)):
        with pytest.raises(OutputPathError, match="cannot write"):
            make(tmp_path / "file" / "demo.mp4")


def test_a_film_refuses_what_it_cannot_show(tmp_path, listening):
    for size in ((641, 361), (640, 480)):
        with pytest.raises(UsageError, match="16:9 with even sides"):
            Film(tmp_path / "demo.mp4", size=size)
    film = Film(tmp_path / "demo.mp4", size=SMALL)
    with pytest.raises(UsageError, match=r"\(samples,\), not \(16000, 1\)"):
        film.add(listening, 1.0, tone(1.0)[:, None])
    with pytest.raises(UsageError, match="not -1"):
        film.add(listening, -1.0)
    with pytest.raises(UsageError, match="has no scene"), film:
        pass
    assert not list(tmp_path.iterdir())


def test_a_gif_repeats_small_pictures_in_their_own_colours(tmp_path, acting):
    pictures = [draw(replace(acting, chosen=chosen, step=chosen)) for chosen in range(7)]
    write_gif(tmp_path / "demo.gif", (picture for picture in pictures), fps=10, width=320)
    with av.open(str(tmp_path / "demo.gif")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.duration == pytest.approx(0.7e6, abs=1e3)
    assert len(frames) == 7
    assert frames[0].shape == (180, 320, 3)
    assert not np.array_equal(frames[0], frames[1])
    assert frames[0][12, 290] == pytest.approx(np.array(film_drawing.ACCENT), abs=30)  # above the status's letters
    assert b"NETSCAPE2.0" in (tmp_path / "demo.gif").read_bytes()  # the extension that makes a GIF repeat
    with pytest.raises(UsageError, match="no pictures"):
        write_gif(tmp_path / "none.gif", [], 10)


@pytest.mark.parametrize(("package", "name"), [("av", "PyAV"), ("cv2", "opencv-python-headless")])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, listening, package, name):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{name}.*sensorimotor\[sim\]"):  # noqa: PT012
        draw(listening)
        Film(tmp_path / "demo.mp4")
