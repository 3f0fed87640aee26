"""The dispatcher with actuators that do what a test says; threads wait for each other, never for the time of day."""

import threading
from dataclasses import replace

import pytest

from sensorimotor.actions.actuator import Command
from sensorimotor.actions.dispatcher import DispatchCounts, Dispatcher
from sensorimotor.clock import ManualClock
from sensorimotor.errors import ActuatorError

COMMAND = Command(1, "go", 0, 0, 10**15, held=False)
SAFE = Command(0, "wait", 99, 0, 10**15, held=True)
PATIENCE_S = 30.0  # how long a test waits for what must come


class Device:
    """An actuator that notes what it gets, and fails or waits as it is told."""

    target = "device"

    def __init__(self):
        self.sent, self.timeouts, self.opened, self.closed = [], [], 0, 0
        self.tried = threading.Semaphore(0)
        self.errors, self.may_go = [], None

    def open(self):
        self.opened += 1

    def send(self, command, timeout_s):
        self.timeouts.append(timeout_s)
        self.tried.release()
        if self.may_go:
            assert self.may_go.wait(PATIENCE_S)
        error = self.errors.pop(0) if self.errors else None
        if error:
            raise error
        self.sent.append(command.step)

    def close(self):
        self.closed += 1


class Live:
    """A dispatcher whose commands are dealt with one by one."""

    def __init__(self, device, **more):
        self.clock = ManualClock()
        self.dispatcher = Dispatcher(device, self.clock, timeout_s=0.5, jitter=lambda: 1.0, **more)

    def offer(self, *steps):
        for step in steps:
            before = sum(getattr(self.dispatcher.counts, what) for what in DispatchCounts.__slots__)
            self.dispatcher.offer(replace(COMMAND, step=step))
            for _ in range(int(PATIENCE_S * 1000)):
                if sum(getattr(self.dispatcher.counts, what) for what in DispatchCounts.__slots__) > before:
                    break
                threading.Event().wait(0.001)


@pytest.fixture
def device():
    return Device()


@pytest.fixture
def live(device):
    live = Live(device)
    yield live
    if device.may_go:
        device.may_go.set()
    live.dispatcher.close()


def events(live):
    return [(event.what, event.reason) for event in live.dispatcher.events()]


def test_commands_are_sent_in_order_through_one_connection(live, device):
    live.offer(1, 2, 3)
    assert device.sent == [1, 2, 3]
    assert (device.opened, device.closed) == (1, 0)
    assert live.dispatcher.counts == DispatchCounts(sent=3)
    assert len(live.dispatcher.durations_s()) == 3
    assert live.dispatcher.durations_s() == []
    assert events(live) == []


def test_while_a_command_is_on_its_way_the_newest_one_waits_and_the_others_are_counted(live, device):
    device.may_go = threading.Event()
    live.dispatcher.offer(replace(COMMAND, step=1))
    assert device.tried.acquire(timeout=PATIENCE_S)
    for step in (2, 3, 4, 5):
        live.dispatcher.offer(replace(COMMAND, step=step))
    assert live.dispatcher.counts.replaced == 3
    device.may_go.set()
    assert live.dispatcher.close()
    assert device.sent == [1, 5]


def test_a_command_whose_time_is_over_is_never_sent(live, device):
    live.clock.advance(2.0)
    live.dispatcher.offer(replace(COMMAND, expires_ns=2_000_000_000))
    assert live.dispatcher.close()
    assert device.sent == []
    assert live.dispatcher.counts == DispatchCounts(expired=1)


def test_a_command_that_expires_while_another_is_on_its_way_is_not_sent(live, device):
    device.may_go = threading.Event()
    live.dispatcher.offer(replace(COMMAND, step=1))
    assert device.tried.acquire(timeout=PATIENCE_S)
    live.dispatcher.offer(replace(COMMAND, step=2, expires_ns=1_000_000_000))
    live.clock.advance(1.0)
    device.may_go.set()
    assert live.dispatcher.close()
    assert device.sent == [1]
    assert live.dispatcher.counts == DispatchCounts(sent=1, expired=1)


def test_a_command_of_a_fast_policy_lives_for_less_than_a_time_out_and_is_sent(live, device):
    live.dispatcher.offer(replace(COMMAND, expires_ns=5_000_000))
    assert live.dispatcher.close()
    assert device.timeouts == [0.005]
    assert live.dispatcher.counts == DispatchCounts(sent=1)


def test_a_command_whose_time_is_as_good_as_over_is_not_begun(live, device):
    device.open = lambda: live.clock.advance(0.0046)
    live.dispatcher.offer(replace(COMMAND, expires_ns=5_000_000))
    assert live.dispatcher.close()
    assert live.dispatcher.counts == DispatchCounts(expired=1)


def test_connecting_takes_from_the_time_of_the_command(live, device):
    device.open = lambda: live.clock.advance(3.0)
    live.dispatcher.offer(replace(COMMAND, expires_ns=2_000_000_000))
    assert live.dispatcher.close()
    assert live.dispatcher.counts == DispatchCounts(expired=1)


def test_a_command_gets_the_time_out_or_less_where_it_expires_sooner(live, device):
    live.offer(1)
    live.dispatcher.offer(replace(COMMAND, expires_ns=200_000_000))
    live.dispatcher.close()
    assert device.timeouts == [0.5, 0.2]


@pytest.mark.parametrize("error", [ActuatorError("refused"), RuntimeError("a bug"), OSError(5, "bad")])
def test_whatever_an_actuator_raises_costs_one_command(live, device, error):
    device.errors = [error]
    live.offer(1, 2)
    assert device.sent == [2]
    assert live.dispatcher.counts == DispatchCounts(sent=1, failed=1)
    assert (device.opened, device.closed) == (2, 1)
    told = events(live)
    assert [what for what, _ in told] == ["lost", "recovered"]
    assert str(error.args[-1]) in told[0][1]


def test_a_device_that_cannot_be_opened_is_tried_again(live, device):
    def refuse():
        raise ActuatorError("no device")

    device.open = refuse
    live.offer(1)
    assert live.dispatcher.trouble == "no device"
    device.open = lambda: None
    live.offer(2)
    assert device.sent == [2]
    assert live.dispatcher.trouble == ""


def test_a_device_that_keeps_failing_is_left_alone_ever_longer_and_said_to_be_lost_once(live, device):
    device.errors = [ActuatorError("gone")] * 7
    tries = []
    for _ in range(100):
        before = live.dispatcher.counts.failed
        live.offer(1)
        if live.dispatcher.counts.failed > before:
            tries.append(live.clock.now_ns() / 1e9)
        live.clock.advance(0.05)
    assert tries == pytest.approx([0, 0.05, 0.15, 0.35, 0.75, 1.55, 3.15])
    assert events(live) == [("lost", "gone")]
    assert live.dispatcher.counts.waited == 100 - 7


def test_the_backoff_ends_at_five_seconds(live, device):
    device.errors = [ActuatorError("gone")] * 40
    for _ in range(40):
        live.offer(1)
        live.clock.advance(5.0)
    assert live.dispatcher.counts == DispatchCounts(failed=40)
    live.offer(2)
    assert device.sent == [2]
    assert [what for what, _ in events(live)] == ["lost", "recovered"]


def test_at_the_end_the_safe_action_is_sent_in_place_of_what_waits(live, device):
    device.may_go = threading.Event()
    live.dispatcher.offer(replace(COMMAND, step=1))
    assert device.tried.acquire(timeout=PATIENCE_S)
    live.dispatcher.offer(replace(COMMAND, step=2))
    threading.Timer(0.05, device.may_go.set).start()
    assert live.dispatcher.close(SAFE)
    assert device.sent == [1, 99]
    assert device.closed == 1
    assert live.dispatcher.counts == DispatchCounts(sent=2, replaced=1)


def test_at_the_end_a_device_that_was_left_alone_is_tried_once_more(live, device):
    device.errors = [ActuatorError("gone")] * 5
    live.offer(1, 2, 3)
    assert live.dispatcher.counts == DispatchCounts(failed=2, waited=1)
    device.errors = []
    assert live.dispatcher.close(SAFE)
    assert device.sent == [99]


def test_what_is_offered_after_the_end_is_not_sent(live, device):
    assert live.dispatcher.close()
    live.dispatcher.offer(COMMAND)
    assert live.dispatcher.close(SAFE)
    assert device.sent == []
    assert live.dispatcher.counts == DispatchCounts()


def test_a_device_that_hangs_is_seen_and_left_behind_and_gets_nothing_more(live, device):
    device.may_go = threading.Event()
    live.dispatcher.offer(COMMAND)
    assert device.tried.acquire(timeout=PATIENCE_S)
    assert live.dispatcher.trouble == ""
    live.clock.advance(1.5)
    assert live.dispatcher.trouble == "device has been busy with one action for 1.5 s"
    assert not live.dispatcher.close(SAFE, within_s=0.05)
    assert events(live) == [("abandoned", "device did not come back within 0.05 s")]
    device.may_go.set()
    live.dispatcher._thread.join(PATIENCE_S)
    assert device.sent == [0]
    assert device.closed == 1


def test_a_device_that_cannot_be_closed_is_no_harm(device):
    def refuse():
        raise OSError(5, "bad")

    device.close = refuse
    with Live(device).dispatcher as dispatcher:
        pass
    assert "cannot be closed" in dispatcher.trouble
