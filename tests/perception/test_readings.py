import json
import os
import socket
import threading
from contextlib import closing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.clock import ManualClock, MonotonicClock
from sensorimotor.errors import SensorError
from sensorimotor.perception.modality import State
from sensorimotor.perception.readings import MAX_BYTES, LinesOfReadings, UdpReadings, WrongReading, parse_reading
from sensorimotor.perception.sensor import StreamEnded

JOINTS = State(size=3)
WRONG = [
    (b"hello", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"[" * 60_000, "not JSON"),
    (b"[1, 2]", "wrong shape"),
    (b"[1, 2, true]", "wrong shape"),
    (b'[1, 2, "3"]', "wrong shape"),
    (b"[[1, 2, 3]]", "wrong shape"),
    (b"7", "wrong shape"),
    (b"null", "wrong shape"),
    (b'{"arm": [1, 2, 3]}', "no such key"),
    (b'{"joints": {"a": 1}}', "wrong shape"),
    (b"[1, 2, NaN]", "not finite"),
    (b"[1, 2, 1e300]", "not finite"),
    (b"[1, 2, 1" + b"0" * 400 + b"]", "not finite"),
]


@pytest.mark.parametrize("text", ['{"joints": [0, 0.5, -1], "time": 3}', "[0, 0.5, -1]"])
def test_a_state_is_a_list_or_an_object_that_has_it(text):
    assert parse_reading(text, "joints", JOINTS).tolist() == [0, 0.5, -1]


@pytest.mark.parametrize(("text", "cause"), WRONG)
def test_what_is_no_state_is_told_with_what_was_expected(text, cause):
    with pytest.raises(WrongReading, match="'joints'.*expected") as wrong:
        parse_reading(text, "joints", JOINTS)
    assert wrong.value.cause == cause
    assert len(str(wrong.value)) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["joints", "a"]), inner),
    max_leaves=6,
)


@given(JSON.map(json.dumps) | st.text(max_size=20) | st.binary(max_size=20))
def test_anything_at_all_is_a_state_or_refused(text):
    with suppress(WrongReading):
        assert parse_reading(text, "joints", JOINTS).shape == (3,)


def test_wrong_lines_are_counted_and_told_once_a_cause_and_the_next_is_read():
    reading, writing = os.pipe()
    sensor = LinesOfReadings(reading, "joints", JOINTS, clock=ManualClock(5))
    sensor.open()
    os.write(writing, b'hello\n[1]\n\nworld\n{"joints": [1, 2, 3]}\n')
    samples = [sensor.read(0.0) for _ in range(5)]
    assert samples[:4] == [None] * 4
    assert samples[4].value.tolist() == [1, 2, 3]
    assert (samples[4].captured_ns, samples[4].sequence) == (5, 3)
    assert sensor.losses.totals() == {"not JSON": 2, "wrong shape": 1}
    assert len(sensor.losses.told()) == 2
    os.close(writing)
    with pytest.raises(StreamEnded):
        sensor.read(0.0)
    os.close(reading)


@pytest.fixture
def udp():
    sensor = UdpReadings("127.0.0.1", 0, "joints", JOINTS, clock=MonotonicClock())
    with closing(sensor), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        assert sensor.open() is None
        sender.connect(("127.0.0.1", sensor.port))
        yield sensor, sender


def test_a_datagram_is_a_state(udp):
    sensor, sender = udp
    sender.send(b"[1, 2, 3]")
    assert sensor.read(5.0).value.tolist() == [1, 2, 3]
    assert sensor.read(0.0) is None


@pytest.mark.parametrize(("data", "cause"), [*WRONG, (b"", "not JSON"), (b"[" + b" " * (MAX_BYTES - 1), "not JSON")])
def test_datagrams_that_are_no_state_are_counted(udp, data, cause):
    sensor, sender = udp
    sender.send(data)
    sender.send(b"[1, 2, 3]")
    assert sensor.read(5.0) is None
    assert sensor.read(5.0).sequence == 1
    assert sensor.losses.totals() == {cause: 1}


def test_a_reader_comes_back_when_it_is_closed():
    sensor = UdpReadings("127.0.0.1", 0, "joints", JOINTS, clock=MonotonicClock())
    sensor.open()
    threading.Timer(0.02, sensor.close).start()
    with pytest.raises(SensorError, match="closed"):
        sensor.read(60.0)
    sensor.close()


def test_a_port_that_is_taken_is_refused(udp):
    sensor, _ = udp
    second = UdpReadings("127.0.0.1", sensor.port, "joints", JOINTS, clock=MonotonicClock())
    with pytest.raises(SensorError, match="cannot listen there"):
        second.open()


def test_an_address_that_others_can_reach_is_warned_of():
    sensor = UdpReadings("0.0.0.0", 0, "joints", JOINTS, clock=MonotonicClock())
    with closing(sensor):
        assert "nothing is authenticated" in sensor.open()


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(SensorError, match="cannot listen there"):
        UdpReadings("192.0.2.1", 0, "joints", JOINTS, clock=MonotonicClock()).open()
