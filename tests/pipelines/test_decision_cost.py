import time

import pytest

from sensorimotor.perception.buffers import Sensed
from sensorimotor.pipelines.decision_cost import LONGEST_PAUSE_S, LONGEST_TURN, Alone, Together, course
from sensorimotor.pipelines.shown import Shown


@pytest.fixture
def shown(seen):
    """Seven steps of two episodes; the camera counts them."""
    steps = [
        Sensed({**seen, "camera": seen["camera"] * 0 + i}, {}, dict.fromkeys(seen, 0) | {"camera": i}) for i in range(7)
    ]
    return Shown("test", steps, [True, False, False, False, True, False, False])


class Diary:
    """A policy that notes what it is asked."""

    def __init__(self, policy):
        self.policy, self.done = policy, []

    def reset(self):
        self.done.append("reset")
        self.policy.reset()

    def act(self, observation, **options):
        self.done.append(int(observation["camera"].max()))
        return self.policy.act(observation, **options)

    def act_batch(self, observations, **options):
        self.done.append([int(one["camera"].max()) for one in observations])
        return self.policy.act_batch(observations, **options)


def test_alone_turns_go_through_the_steps_in_order(fake, shown):
    policy, pauses = Diary(fake()), []
    alone = Alone(shown, 3, 0.02, pauses.append)
    turns = [alone.take(policy, turn) for turn in range(3)]
    assert policy.done == [
        *("reset", 6, "reset", 0, 1, 2),
        *("reset", 2, 3, "reset", 4, 5),
        *("reset", 5, 6, "reset", 0, 1),
    ]
    assert pauses == [0.02] * 9
    assert all(len(turn.each_ms) == 3 and turn.ms == pytest.approx(sum(turn.each_ms) / 3) for turn in turns)


def test_alone_what_a_stream_knows_already_is_not_encoded_in_a_turn(fake, shown):
    policy = fake()
    Alone(shown, 2, 0.0).take(policy, 1)  # steps 2 and 3, after step 1
    assert [name for name, _ in policy.backend.encoded] == [
        "camera",
        "mic",
        "instruction",
        "joints",
        "camera",
        "camera",
    ]


def test_what_is_burnt_in_pauses_is_counted(fake, shown):
    def spin(seconds):
        until_s = time.process_time() + seconds
        while time.process_time() < until_s:
            pass

    turn = Alone(shown, 2, 0.05, spin).take(fake(), 0)
    assert turn.cpu_ms >= 50
    assert turn.ms < turn.cpu_ms


def test_together_each_row_is_another_stream_somewhere_else(fake, shown):
    policy = Diary(fake())
    turn = Together(shown, 3, 2).take(policy, 1)
    assert policy.done == ["reset", [2, 4, 6], [3, 5, 0]]
    assert len(turn.each_ms) == 2
    assert turn.ms == pytest.approx(sum(turn.each_ms) / 6)


@pytest.mark.parametrize(
    ("decision_s", "rate_hz", "turn_s", "count", "pause_s"),
    [
        (0.001, 10, 0.21, 10, LONGEST_PAUSE_S),  # a quick policy at an easy rate waits
        (0.001, 100, 0.1, 10, 0.009),  # no longer than its rate lets it
        (0.3, 10, 0.2, 1, 0.0),  # a slow one has no pauses, and one decision is a turn
        (0.0001, 1000, 10.0, LONGEST_TURN, 0.0009),
    ],
)
def test_turns_for_latency_are_as_long_as_asked_at_the_rate_of_the_policy(
    shown, decision_s, rate_hz, turn_s, count, pause_s
):
    alone = course("latency", shown, decision_s=decision_s, turn_s=turn_s, rate_hz=rate_hz, batch=32)
    assert (alone.count, alone.pause_s) == (count, pytest.approx(pause_s))


@pytest.mark.parametrize(("decision_s", "count"), [(0.001, 6), (1.0, 1)])
def test_turns_for_throughput_are_whole_batches(shown, decision_s, count):
    together = course("throughput", shown, decision_s=decision_s, turn_s=0.2, rate_hz=10, batch=32)
    assert (together.batch, together.count) == (32, count)
