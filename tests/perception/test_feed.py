import random
import threading

import numpy as np
import pytest

from sensorimotor.clock import ManualClock, MonotonicClock
from sensorimotor.errors import SensorError, UsageError
from sensorimotor.perception.feed import Feed, Patience
from sensorimotor.perception.feeds import Feeds
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.perception.sensor import Losses, Sample, StreamEnded

CAMERA = Image(height=4, width=4, max_age_s=1.0)
FRAME_S = 0.1


class Script:
    """A sensor that does what a test tells it: every read takes one step and `FRAME_S` of the clock."""

    source = "a script"
    paced = True
    interval_s = FRAME_S
    noisy = True
    reopens = True

    def __init__(self, clock: ManualClock):
        self.clock, self.losses = clock, Losses()
        self.steps: list = []
        self.absent = False
        self.opened = self.closed = self.sequence = 0

    def open(self):
        self.opened += 1
        if self.absent:
            raise SensorError("nobody answers")
        return

    def read(self, timeout_s):
        self.clock.advance(FRAME_S)
        step = self.steps.pop(0) if self.steps else "fresh"
        if isinstance(step, BaseException):
            raise step
        if step == "nothing":
            return None
        self.sequence += 1
        number = self.sequence if step == "fresh" else step
        return Sample(np.full((4, 4, 3), number % 256, np.uint8), self.clock.now_ns(), self.sequence)

    def close(self):
        self.closed += 1


class Stage:
    """A feed of a script, turned by hand, with all that comes out of it."""

    def __init__(self, modality=CAMERA, **settings):
        self.clock = ManualClock()
        self.sensor = Script(self.clock)
        self.samples, self.events, self.notices, self.waits = [], [], [], []
        self.feed = Feed(
            "camera",
            modality,
            self.sensor,
            clock=self.clock,
            sink=settings.pop("sink", lambda name, sample: self.samples.append(sample)),
            event=lambda name, event, reason: self.events.append((event, reason)),
            notice=lambda name, line: self.notices.append(line),
            chance=random.Random(3),
            wait=self.wait,
            **settings,
        )

    def wait(self, seconds):
        self.waits.append(seconds)
        self.clock.advance(seconds)

    def turn(self, number=1):
        for _ in range(number):
            self.feed.step(0.1)
            self.feed.check()

    def until(self, state):
        for _ in range(10_000):
            if self.feed.state == state:
                return
            self.turn()
        raise AssertionError(f"never {state}: {self.events}")

    @property
    def story(self):
        return [event for event, _ in self.events]


def test_samples_are_handed_on_and_the_input_is_live():
    stage = Stage()
    assert stage.feed.state == "waiting"
    stage.turn(4)
    assert stage.feed.state == "live"
    assert [sample.sequence for sample in stage.samples] == [1, 2, 3]
    assert stage.story == ["live"]


def test_silence_makes_it_late_then_lost_and_a_sample_brings_it_back():
    stage = Stage()
    stage.turn(2)
    stage.sensor.steps = ["nothing"] * 10
    stage.turn(10)
    assert stage.story == ["live"]  # as old as max_age_s, and no older
    stage.sensor.steps = ["nothing"]
    stage.turn()
    assert stage.events[-1] == ("late", "no sample for 1.10 s")
    stage.turn()
    assert stage.events[-1] == ("recovered", "after 1.20 s")
    stage.sensor.steps = ["nothing"] * 31
    stage.until("lost")
    assert stage.story == ["live", "late", "recovered", "late", "lost"]
    stage.until("live")
    assert stage.story[-1] == "recovered"


def test_lateness_is_seen_while_the_reader_is_stuck_in_its_driver():
    stage = Stage()
    stage.turn(2)
    stage.clock.advance(1.2)  # no step comes back
    stage.feed.check()
    assert stage.feed.state == "late"
    stage.clock.advance(2.0)
    stage.feed.check()
    assert stage.feed.state == "lost"


def test_a_connection_that_is_silent_for_too_long_is_made_again():
    stage = Stage()
    stage.turn(2)
    stage.sensor.steps = ["nothing"] * 31
    stage.until("lost")
    stage.until("live")
    assert stage.sensor.opened == 2
    assert stage.sensor.closed == 1


def test_an_input_is_not_lost_while_it_is_still_being_connected_but_if_nothing_comes_then():
    stage = Stage()
    stage.clock.advance(60.0)  # stuck in its first `open`
    stage.feed.check()
    assert stage.feed.state == "waiting"
    stage.sensor.steps = ["nothing"] * 40
    stage.turn(31)
    assert stage.feed.state == "waiting"
    stage.turn(1)
    assert stage.story == ["lost"]


def test_a_new_connection_is_given_time_for_its_first_sample():
    stage = Stage()
    stage.turn(2)
    stage.sensor.steps = [SensorError("unplugged"), *["nothing"] * 20]
    stage.turn()
    stage.until("live")
    assert stage.sensor.opened == 2


def test_an_error_of_the_sensor_is_a_loss_with_its_reason():
    stage = Stage()
    stage.turn(2)
    stage.sensor.steps = [SensorError("unplugged")]
    stage.turn()
    assert stage.events[-1] == ("lost", "unplugged")
    stage.until("live")
    assert stage.story == ["live", "lost", "recovered"]


def test_a_driver_that_raises_anything_else_does_not_end_the_feed_and_tells_no_secrets():
    stage = Stage()
    stage.turn(2)
    stage.sensor.steps = [RuntimeError("rtsp://admin:s3cret@cam")]
    stage.turn()
    assert stage.events[-1] == ("lost", "a script: RuntimeError in its driver")
    stage.until("live")


def test_attempts_to_connect_are_spread_over_growing_delays_and_never_end():
    stage = Stage()
    stage.sensor.absent = True
    opened_at_s = []
    while len(opened_at_s) < 200:
        before = stage.sensor.opened
        stage.turn()
        if stage.sensor.opened > before:
            opened_at_s.append(stage.clock.now_ns() / 1e9)
    delays = np.diff(opened_at_s)
    for attempt, delay in enumerate(delays):
        assert 0 <= delay <= min(30.0, 0.5 * 2**attempt) + 1e-6
    assert 12 < delays[10:].mean() < 18  # full jitter: half of 30 s on average
    assert max(stage.waits) <= 0.1  # whoever stops it is heard soon
    stage.sensor.absent = False
    stage.until("live")
    assert stage.story == ["lost", "recovered"]


def test_a_connection_that_held_lets_the_next_loss_begin_with_short_delays():
    stage = Stage()
    stage.sensor.absent = True
    stage.turn(2000)
    stage.sensor.absent = False
    stage.until("live")
    stage.turn(60)
    stage.sensor.steps = [SensorError("unplugged")]
    stage.until("lost")
    lost_ns = stage.clock.now_ns()
    stage.until("live")
    assert (stage.clock.now_ns() - lost_ns) / 1e9 < 0.5 + 2 * FRAME_S


@pytest.mark.parametrize("pattern", [[5], [5, 6], [5, 6, 7, 8]])
def test_a_camera_that_repeats_itself_is_frozen_and_its_frames_are_held_back(pattern):
    stage = Stage()
    stage.turn(2)
    stage.sensor.steps = pattern * 40
    stage.turn(len(pattern) * 40)
    assert stage.feed.state == "frozen"
    assert len(stage.samples) == 1 + len(pattern) + 19  # for two seconds nobody can know
    held = stage.feed.drops()["frozen"]
    assert held + len(stage.samples) == 1 + len(pattern) * 40
    stage.turn()
    assert stage.story == ["live", "frozen", "recovered"]


def test_a_few_equal_frames_are_no_frozen_camera():
    stage = Stage()
    stage.turn(2)
    for number in range(10):
        stage.sensor.steps = [number] * 10
        stage.turn(10)
    assert stage.story == ["live"]
    assert stage.feed.drops() == {}


def test_a_frozen_camera_that_stops_altogether_is_late_and_lost():
    stage = Stage()
    stage.turn(2)
    stage.sensor.steps = [5] * 30 + ["nothing"] * 40
    stage.turn(65)
    assert stage.story == ["live", "frozen", "late", "lost"]


def test_a_camera_in_the_dark_is_told_and_stays_live_and_a_film_may_be_dark():
    stage = Stage()
    stage.sensor.steps = [3, 4, 5, 6, 7, 8] * 20
    stage.turn(120)
    assert [line for line in stage.notices if "is its lens covered" in line] == [
        "a script: dark for 5 s, with nothing but noise to be seen; is its lens covered, or the light off?"
    ]
    assert stage.story == ["live"]
    film = Stage()
    film.sensor.noisy, film.sensor.steps = False, [3, 4, 5, 6, 7, 8] * 20
    film.turn(120)
    assert film.notices == []


def test_a_source_that_may_repeat_itself_is_never_frozen():
    stage = Stage()
    stage.sensor.noisy = False
    stage.sensor.steps = [5] * 100
    stage.turn(101)
    assert stage.story == ["live"]


def test_the_end_of_a_recording_is_an_end_and_no_loss():
    stage = Stage()
    stage.turn(2)
    stage.sensor.steps = [StreamEnded("played")]
    stage.turn()
    assert stage.events[-1] == ("ended", "played")
    stage.clock.advance(100)
    stage.feed.check()
    assert stage.feed.state == "ended"


def test_what_is_not_paced_is_never_late():
    stage = Stage()
    stage.sensor.paced = False
    stage.turn(2)
    stage.clock.advance(100)
    stage.feed.check()
    assert stage.story == ["live"]


def test_words_are_never_late_and_an_idle_file_is_not_opened_again():
    stage = Stage(Text())
    stage.sensor.interval_s, stage.sensor.noisy, stage.sensor.reopens = None, False, False
    stage.turn(2)
    stage.sensor.steps = ["nothing"] * 100
    stage.turn(100)
    assert stage.story == ["live"]
    assert stage.sensor.opened == 1


def test_a_sink_that_raises_costs_one_sample_each_and_is_told_once():
    def refuse(name, sample):
        raise KeyError("full")

    stage = Stage(sink=refuse)
    stage.turn(4)
    assert stage.feed.state == "live"
    assert stage.feed.drops() == {"not taken": 3}
    assert stage.notices == ["a sample was not taken: KeyError: 'full'"]


def test_drops_of_the_sensor_and_what_it_tells_come_through():
    stage = Stage()
    stage.sensor.losses.count("torn", 2)
    stage.sensor.losses.tell("480 x 640 is cropped")
    stage.turn(2)
    assert stage.feed.drops() == {"torn": 2}
    assert stage.notices == ["480 x 640 is cropped"]


@pytest.mark.parametrize(
    ("modality", "interval_s", "late_s"),
    [
        (Image(height=4, width=4, max_age_s=0.5), 1 / 30, 0.5),
        (Image(height=4, width=4, max_age_s=0.5), 2.0, 3.0),
        (State(size=2, max_age_s=0.2), None, 0.2),
        (Audio(seconds=1.0), 0.02, 1.0),
        (Text(), None, None),
    ],
)
def test_patience_suits_the_input(modality, interval_s, late_s):
    patience = Patience.of(modality, interval_s)
    assert patience.late_s == late_s
    assert patience.lost_s == (late_s and 3 * late_s)


class Stuck(Script):
    """Its driver never comes back."""

    def __init__(self, clock, released):
        super().__init__(clock)
        self.released, self.entered = released, threading.Event()

    def read(self, timeout_s):
        self.entered.set()
        self.released.wait()


class Idle(Script):
    """Gives nothing, in its own time."""

    def __init__(self, clock):
        super().__init__(clock)
        self.woken = threading.Event()

    def read(self, timeout_s):
        self.woken.wait(timeout_s)

    def close(self):
        super().close()
        self.woken.set()


def feed_of(name, sensor):
    return Feed(name, CAMERA, sensor, clock=MonotonicClock(), sink=lambda *_: None, event=lambda *_: None)


def test_a_feed_stops_and_lets_go_of_its_sensor():
    sensor = Idle(ManualClock())
    feed = feed_of("camera", sensor)
    feed.start()
    assert feed.stop()
    assert sensor.closed >= 1


def test_one_that_is_stuck_is_left_behind_and_named_and_the_others_stop():
    released = threading.Event()
    stuck, idle = Stuck(ManualClock(), released), Idle(ManualClock())
    feeds = Feeds([feed_of("front", stuck), feed_of("wrist", idle)])
    with feeds:
        assert stuck.entered.wait(5)
        assert feeds.stop(timeout_s=0.3) == ["front"]
        released.set()


def test_two_sensors_under_one_name_are_refused():
    clock = ManualClock()
    with pytest.raises(UsageError, match="'camera': expected one sensor, got several"):
        Feeds([feed_of("camera", Script(clock)), feed_of("camera", Script(clock))])
