import os
import threading
from contextlib import suppress

import pytest

from sensorimotor.clock import ManualClock, MonotonicClock
from sensorimotor.errors import ObservationError, SensorError
from sensorimotor.perception.modality import MAX_TEXT_CHARACTERS, Text
from sensorimotor.perception.sensor import StreamEnded
from sensorimotor.perception.words import FileOfWords, FixedWords, LinesOfWords


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        with suppress(OSError):  # a test closed it
            os.close(end)


def file_of_words(path):
    clock = ManualClock()
    sensor = FileOfWords(path, Text(), clock=clock, wait=clock.advance)
    sensor.open()
    return sensor


def test_a_text_is_given_once_and_again_after_opening():
    words = FixedWords("go to the red ball", Text(), clock=ManualClock(7))
    words.open()
    sample = words.read(0.0)
    assert (sample.value, sample.captured_ns, sample.sequence) == ("go to the red ball", 7, 0)
    assert words.read(0.0) is None
    words.open()
    assert words.read(0.0).value == "go to the red ball"


def test_a_reader_that_waits_for_another_text_is_woken_by_the_end():
    words = FixedWords("go", Text(), clock=MonotonicClock())
    words.open()
    words.read(0.0)
    threading.Timer(0.01, words.close).start()
    assert words.read(60.0) is None


def test_words_that_are_too_long_are_refused_at_once():
    with pytest.raises(ObservationError, match="characters"):
        FixedWords("x" * (MAX_TEXT_CHARACTERS + 1), Text(), clock=ManualClock())


def test_every_line_of_standard_input_is_a_text(pipe):
    lines = LinesOfWords(pipe[0], Text(), clock=ManualClock())
    lines.open()
    assert lines.read(0.0) is None
    os.write(pipe[1], "go to the ball\r\n\n  öffne die Tür  \nhal".encode())
    texts = [lines.read(0.0) for _ in range(4)]
    assert [text.value if text else None for text in texts] == ["go to the ball", None, "öffne die Tür", None]
    os.write(pipe[1], b"f a line")
    os.close(pipe[1])
    assert lines.read(0.1).value == "half a line"
    with pytest.raises(StreamEnded, match="has ended"):
        lines.read(0.1)


def test_lines_that_are_no_text_are_counted_and_the_next_is_read(pipe):
    lines = LinesOfWords(pipe[0], Text(), clock=ManualClock())
    lines.open()
    writer = threading.Thread(
        target=os.write, args=(pipe[1], b"\xff\xfe\n" + b"x" * 50_000 + b"\n" + b"y" * 11_000 + b"\nstop\n")
    )
    writer.start()
    text = None
    while text is None:
        text = lines.read(1.0)
    writer.join()
    assert text.value == "stop"
    assert lines.losses.totals() == {"not unicode": 1, "too long": 2}
    assert lines.losses.told() == [
        "standard input: a line is longer than 40000 bytes; it is left out",
        "standard input: a line is no text in UTF-8; such lines are left out",
        "lines of standard input: longer than 10000 characters; the text before it stays",
    ]


def test_standard_input_stays_open_and_a_reader_comes_back(pipe):
    lines = LinesOfWords(pipe[0], Text(), clock=MonotonicClock())
    lines.open()
    threading.Timer(0.02, lines.close).start()
    assert lines.read(60.0) is None
    os.write(pipe[1], b"still there\n")
    lines.open()
    assert lines.read(1.0).value == "still there"


def test_a_file_is_read_again_when_its_content_changes(tmp_path):
    path = tmp_path / "instruction.txt"
    path.write_text("go to the ball\n")
    sensor = file_of_words(path)
    assert sensor.read(1.0).value == "go to the ball"
    assert sensor.read(1.0) is None
    path.write_text("go to the ball")
    os.utime(path, (0, 0))
    assert sensor.read(1.0) is None  # touched, and the same
    path.write_text("öffne die Tür")
    sample = sensor.read(1.0)
    assert (sample.value, sample.sequence) == ("öffne die Tür", 1)


def test_a_file_that_is_being_written_is_waited_for(tmp_path):
    path = tmp_path / "instruction.txt"
    path.write_text("first")
    clock = ManualClock()
    steps = [b"", b"go to ", b"go to the b\xc3", "go to the bär".encode()]

    def wait(seconds):
        clock.advance(seconds)
        if steps:
            path.write_bytes(steps.pop(0))

    sensor = FileOfWords(path, Text(), clock=clock, wait=wait)
    sensor.open()
    assert sensor.read(2.0).value == "go to the bär"
    assert sensor.losses.totals() == {}


def test_a_file_that_is_gone_for_a_while_is_no_loss(tmp_path):
    path = tmp_path / "instruction.txt"
    path.write_text("first")
    sensor = file_of_words(path)
    assert sensor.read(1.0).value == "first"
    path.unlink()
    assert sensor.read(1.0) is None
    path.write_text("second")
    assert sensor.read(1.0).value == "second"


@pytest.mark.parametrize(("content", "cause"), [(b"\xff\xfe\x00", "not unicode"), (b"x" * 60_000, "too long")])
def test_a_file_with_no_text_in_it_is_told_once_and_the_last_text_stays(tmp_path, content, cause):
    path = tmp_path / "instruction.txt"
    path.write_text("first")
    sensor = file_of_words(path)
    sensor.read(1.0)
    path.write_bytes(content)
    assert sensor.read(1.0) is None
    assert sensor.read(1.0) is None
    assert sensor.losses.totals() == {cause: 1}
    assert "the text before it stays" in sensor.losses.told()[0]


def test_a_file_that_was_never_there_is_refused(tmp_path):
    with pytest.raises(SensorError, match="expected a file with a text"):
        file_of_words(tmp_path / "none.txt")
