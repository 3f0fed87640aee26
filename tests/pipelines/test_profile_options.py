import os
from pathlib import Path

import pytest

from sensorimotor.errors import OutputPathError, UsageError
from sensorimotor.models.execution import Execution
from sensorimotor.pipelines.profile_options import (
    check_rate,
    execution_of,
    parse_batches,
    parse_providers,
    parse_threads,
    writable_file,
)


@pytest.mark.parametrize("text", ["", "1,", "a", "1;2", "1.5", "1 2", ",", "٣,x"])
def test_sizes_that_are_no_whole_numbers_are_refused(text):
    with pytest.raises(UsageError, match="expected whole numbers with commas between them"):
        parse_batches(text)


@pytest.mark.parametrize("text", ["0", "1,-2", "4097", "99999999999999999999"])
def test_sizes_that_cannot_be_tried_are_refused(text):
    with pytest.raises(UsageError, match="rows are no batch that is tried here: expected 1 to 4096"):
        parse_batches(text)


def test_too_many_sizes_are_refused():
    with pytest.raises(UsageError, match="33 sizes are too many"):
        parse_batches(",".join(["1"] * 33))


@pytest.mark.parametrize("text", ["", " , ", "cpu,CPUExecutionProvider", "a,a"])
def test_providers_that_cannot_be_read_are_refused(text):
    with pytest.raises(UsageError, match="--providers"):
        parse_providers(text)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "", "1025", "²"])
def test_threads_that_are_no_number_are_refused(text):
    with pytest.raises(UsageError, match="expected a number from 1 to 1024, or auto"):
        parse_threads(text)


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_rates_at_which_nothing_can_be_done_are_refused(rate_hz):
    with pytest.raises(UsageError, match="expected decisions a second"):
        check_rate(rate_hz)


def test_what_can_be_read_is_taken():
    assert check_rate(30.0) == 30.0
    assert check_rate(None) is None
    assert execution_of("cpu", None, False) == Execution()
    assert execution_of("cuda", 4, True) == Execution(("CUDAExecutionProvider",), threads=4, fallback=True)


def test_a_missing_directory_is_made_for_a_report(tmp_path):
    assert writable_file(tmp_path / "new" / "report.html") == tmp_path / "new" / "report.html"
    assert (tmp_path / "new").is_dir()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_report_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputPathError, match="cannot write .*file"):
        writable_file(tmp_path / "file" / "report.html")
    with pytest.raises(OutputPathError, match="it is a directory"):
        writable_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputPathError, match="it is a pipe or a device"):
        writable_file(tmp_path / "pipe")
    with pytest.raises(OutputPathError, match="cannot write /proc"):
        writable_file(Path("/proc/report.html"))
