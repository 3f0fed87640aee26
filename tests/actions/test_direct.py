import pytest

from sensorimotor.actions.actuator import Command
from sensorimotor.actions.callable_actuator import CallableActuator
from sensorimotor.actions.direct import Direct
from sensorimotor.clock import ManualClock
from sensorimotor.errors import ActuatorError


def command(step):
    return Command(1, "go", step, decided_ns=0, expires_ns=1, held=False)


class Actuator:
    target = "arm"

    def __init__(self):
        self.sent, self.opened, self.closed, self.broken = [], 0, 0, None

    def open(self):
        self.opened += 1

    def send(self, command, timeout_s):
        if self.broken:
            raise self.broken
        self.sent.append((command.step, timeout_s))

    def close(self):
        self.closed += 1


def test_every_command_is_sent_at_once_and_in_order():
    actuator = Actuator()
    direct = Direct(actuator, ManualClock(10**9), timeout_s=0.5)
    for step in range(3):
        direct.offer(command(step))
        assert actuator.sent[-1] == (step, 0.5)
    direct.close(command(3))
    assert [step for step, _ in actuator.sent] == [0, 1, 2, 3]
    assert (actuator.opened, actuator.closed, direct.counts.sent) == (1, 1, 4)
    assert len(direct.durations_s()) == 4
    assert direct.durations_s() == []


@pytest.mark.parametrize("error", [ActuatorError("no answer"), ValueError("no answer")])
def test_a_failure_is_told_once_and_the_next_command_still_goes_out(error):
    actuator = Actuator()
    direct = Direct(actuator, ManualClock(), timeout_s=0.5)
    actuator.broken = error
    direct.offer(command(0))
    direct.offer(command(1))
    assert "no answer" in direct.trouble
    assert [event.what for event in direct.events()] == ["lost"]
    actuator.broken = None
    direct.offer(command(2))
    assert direct.trouble == ""
    assert [event.what for event in direct.events()] == ["recovered"]
    assert (direct.counts.failed, direct.counts.sent, actuator.opened) == (2, 1, 3)


def test_an_actuator_that_cannot_be_closed_is_no_crash():
    actuator = CallableActuator(lambda command: None, "arm")
    actuator.close = lambda: 1 / 0
    direct = Direct(actuator, ManualClock(), timeout_s=0.5)
    direct.close()
    assert "cannot be closed" in direct.trouble
