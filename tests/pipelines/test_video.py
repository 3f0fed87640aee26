from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sensorimotor.errors import DataError, OutputPathError
from sensorimotor.pipelines.video import GROUP, VideoWriter, read_frames

RATE = 20


def pictures(count=30, height=48, width=64):
    """Smooth pictures, each of another brightness."""
    y, x = np.mgrid[:height, :width]
    return [np.stack([x + 5 * i, y + 3 * i, (x + y) // 2 + i], -1).astype(np.uint8) for i in range(count)]


def film(path: Path, frames, crf=0, rate=RATE) -> Path:
    writer = VideoWriter(path, rate, *frames[0].shape[:2], crf)
    for frame in frames:
        writer.write(frame)
    writer.close()
    return path


def elsewhere(path: Path, frames, **options) -> Path:
    """A video as other programs write it: key frames far apart, frames stored in another order than shown."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "0", **options})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv444p"
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def at(*numbers):
    return [number / RATE for number in numbers]


@pytest.mark.parametrize("size", [(48, 64), (35, 33), (1, 1)])
def test_at_the_best_quality_every_pixel_comes_back_in_any_size(tmp_path, size):
    frames = pictures(9, *size)
    path = film(tmp_path / "a.mp4", frames)
    assert np.array_equal(read_frames(path, at(*range(9)), 1e-4, RATE), frames)


@pytest.mark.parametrize("size", [(48, 64), (48, 63), (47, 64)])
def test_at_the_usual_quality_pixels_look_the_same_in_any_size(tmp_path, size):
    frames = pictures(9, *size)
    read = read_frames(film(tmp_path / "a.mp4", frames, crf=18), at(*range(9)), 1e-4)
    assert read[0].dtype == np.uint8
    assert np.abs(np.array(read, int) - np.array(frames, int)).mean() < 3


def test_frames_come_in_the_order_asked_for_as_often_as_asked_for(tmp_path):
    frames = pictures()
    asked = [17, 3, 3, 29, 0, 16, 18]
    read = read_frames(film(tmp_path / "a.mp4", frames), at(*asked), 1e-4)
    assert np.array_equal(read, [frames[number] for number in asked])


def test_any_frame_is_decoded_from_a_key_frame_nearby(tmp_path):
    with av.open(str(film(tmp_path / "a.mp4", pictures()))) as container:
        keys = [number for number, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert np.diff(keys).max() <= GROUP


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("options", [{"bf": "3", "g": "250"}, {"bf": "2", "g": "7", "x264-params": "open-gop=1"}])
def test_videos_of_other_programs_give_the_same_frames_one_by_one_and_all_at_once(tmp_path, suffix, options):
    frames = pictures(60)
    path = elsewhere(tmp_path / f"a{suffix}", frames, **options)
    everything = read_frames(path, at(*range(60)), 1e-2)
    assert np.abs(np.array(everything, int) - np.array(frames, int)).max() <= 4
    for number in (0, 1, 6, 7, 8, 31, 58, 59):
        assert np.array_equal(read_frames(path, at(number), 1e-2)[0], everything[number])
    jumps = [2, 9, 10, 40, 59]
    assert np.array_equal(read_frames(path, at(*jumps), 1e-2), [everything[number] for number in jumps])


def test_the_nearest_frame_counts_within_the_tolerance(tmp_path):
    frames = pictures()
    path = film(tmp_path / "a.mp4", frames)
    read = read_frames(path, [0.21, 0.24, 0.26], 0.025)
    assert np.array_equal(read, [frames[4], frames[5], frames[5]])
    with pytest.raises(
        DataError, match=r"a.mp4: expected a frame at 0.2400 s, found the nearest one at 0.2500 s \(20 fr"
    ):
        read_frames(path, [0.24], 1e-3)


def test_beyond_the_end_there_is_no_frame(tmp_path):
    path = film(tmp_path / "a.mp4", pictures(10))
    with pytest.raises(DataError, match=r"a.mp4: expected a frame at 0.5000 s, found the nearest one at 0.4500 s"):
        read_frames(path, at(0, 10), 1e-4)


def test_another_rate_is_refused_even_where_its_frames_would_do(tmp_path):
    path = film(tmp_path / "a.mp4", pictures(10), rate=40)
    assert len(read_frames(path, at(0, 1), 1e-4)) == 2
    with pytest.raises(DataError, match=r"a.mp4: expected 20 frames a second, found 40"):
        read_frames(path, at(0, 1), 1e-4, RATE)


def test_a_missing_file_and_a_file_that_is_no_video_are_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"nothing.mp4: there is no such video"):
        read_frames(tmp_path / "nothing.mp4", [0.0], 1e-4)
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(DataError, match=r"text.mp4: cannot be decoded as video"):
        read_frames(tmp_path / "text.mp4", [0.0], 1e-4)


@pytest.mark.parametrize("kept", [0.2, 0.9])
def test_a_video_that_was_cut_short_is_refused_by_name(tmp_path, kept):
    path = film(tmp_path / "a.mp4", pictures())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=r"a.mp4"):
        read_frames(path, at(*range(30)), 1e-4)


def test_sound_alone_is_no_video(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros(800, np.float32), 8000)
    with pytest.raises(DataError, match=r"a.wav: has no pictures in it, only audio"):
        read_frames(tmp_path / "a.wav", [0.0], 1e-4)


def test_a_playlist_cannot_name_other_files(tmp_path):
    film(tmp_path / "secret.mp4", pictures(3))
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/{tmp_path}/secret.ts\n")
    with pytest.raises(DataError, match=r"list.mp4"):
        read_frames(tmp_path / "list.mp4", [0.0], 1e-4)


def test_a_frame_of_another_shape_is_not_written(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", RATE, 48, 64)
    with pytest.raises(ValueError, match=r"expected uint8 \(48, 64, 3\), not float64 \(48, 64, 3\)"):
        writer.write(np.zeros((48, 64, 3)))
    writer.abandon()


def test_where_nothing_can_be_written_the_error_names_the_file(tmp_path):
    with pytest.raises(OutputPathError, match=r"cannot write .*nowhere/a.mp4: No such file"):
        film(tmp_path / "nowhere" / "a.mp4", pictures(1))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_is_noticed_before_a_video_counts():
    writer = VideoWriter(Path("/dev/full"), RATE, 48, 64)
    with pytest.raises(OutputPathError, match=r"cannot write /dev/full: No space left on device"):
        for frame in pictures(10):
            writer.write(frame)
        writer.close()
