import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from sensorimotor.actions.decision import Decision, GuardVerdict, InputReport
from sensorimotor.clock import ManualClock
from sensorimotor.pipelines import live_console
from sensorimotor.pipelines.health import Health
from sensorimotor.pipelines.tally import Tally

NAMES = ("camera", "mic", "instruction")


@pytest.fixture
def running():
    """What a screen looks at: twenty decisions at 10 Hz, one of them held, and nothing connected to `mic`."""
    clock = ManualClock()
    tally, health = Tally(NAMES, clock, 10.0), Health(clock, 0.1)
    for number in range(20):
        clock.advance(0.1)
        inputs = {"camera": InputReport(True, 0.0334), "instruction": InputReport(True, 0.0), "mic": InputReport(False)}
        verdicts = () if number else (GuardVerdict("critical", "hold", "camera is missing"),)
        tally.turned(
            Decision("f00d", "main", number, 0, 0, "go", None, None, None, inputs, verdicts, {"total": 0.87}), 0.9
        )
        health.decided()
    return SimpleNamespace(
        tally=tally,
        health=health,
        inputs=lambda: {"camera": "live", "instruction": "live"},
        drops=lambda: {"camera": {"torn": 3}},
    )


def screen(width=200):
    file = io.StringIO()
    return live_console._Screen(Console(file=file, force_terminal=True, width=width)), file


def test_the_line_says_how_it_is_and_nothing_of_inputs_that_are_not_connected(running):
    assert live_console.status_line(running) == (
        "running · 10.0/10 Hz · camera 33 ms · instruction 0 ms · holds: critical 1 · drops: camera torn 3 "
        "· p50 0.87 p99 0.87 ms"
    )


@pytest.mark.parametrize("width", [80, 40, 10])
def test_a_line_that_does_not_fit_is_cut_where_one_can_see_it(running, width):
    shown, file = screen(width)
    shown.show(running)
    line = file.getvalue().lstrip("\r")
    assert len(line) == width - 1
    assert line.endswith("…")
    assert live_console.status_line(running).startswith(line[:-1])


def test_what_comes_from_a_network_gives_no_orders_to_a_terminal(running):
    shown, file = screen()
    shown.tell("actuator lost: \x1b]0;title\x07\x9b2J refused\r\n")
    assert file.getvalue().endswith(" actuator lost: \\x1b]0;title\\x07\\x9b2J refused\\r\\n\n")
    running.drops = lambda: {"camera": {"\x1b[2J": 1}}
    shown.show(running)
    assert "\x1b" not in file.getvalue()


@pytest.fixture
def summary(running):
    health = {"state": "running", "reasons": ["\x1b[2J"]}
    return {
        **running.tally.to_json(missed=1, drops=running.drops()),
        "warm_up_ms": None,
        "inputs": {"camera": "live", "instruction": "live"},
        "actuator": {"sent": 20, "failed": 0},
        "recording": {"episodes": 1, "steps": 1200, "path": "runs", "lost": 0, "ended": ""},
        "health": health,
    }


def test_the_table_at_the_end_counts_in_words(summary, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    summary["absent"]["camera"] = 1
    live_console.summary_table(summary)
    out, err = capsys.readouterr()
    rows = {line[:11].strip(): line[11:].strip() for line in err.splitlines()}
    assert out == ""
    assert rows["rate"] == "10.00 Hz of 10 asked for, 1 deadline missed"
    assert rows["camera"].endswith("ms; missing from 1 decision; 3 torn")
    assert rows["mic"] == "not connected"
    assert rows["recording"] == "1 episode, 1,200 steps in runs"
    assert rows["at the end"] == r"running: \x1b[2J"
