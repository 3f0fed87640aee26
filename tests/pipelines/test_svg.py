from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.pipelines.svg import Canvas, decades, linear, logarithmic, round_steps


def test_a_drawing_is_well_formed_whatever_is_written_on_it():
    canvas = Canvas(100, 50, 'a "label" <of> & more')
    canvas.line(0, 0, 1, 1, "grid")
    canvas.bar(0, 0, 10, 5, "core", "<script>alert(1)</script>")
    canvas.dot(1, 1, 3, "core")
    canvas.path([(0, 0), (1, 1)], "core", closed=True)
    canvas.text(1, 2, "a < b & c", "label", "end", degrees=-30)
    drawn = ElementTree.fromstring(str(canvas))
    assert [one.tag for one in drawn] == ["line", "rect", "circle", "path", "text"]
    assert drawn[1][0].text == "<script>alert(1)</script>"
    assert drawn[4].text == "a < b & c"


def test_scales_put_ends_on_ends():
    assert [linear((2, 4), (0, 100))(value) for value in (2, 3, 4)] == [0, 50, 100]
    assert [logarithmic((1, 100), (100, 0))(value) for value in (1, 10, 100)] == [100, 50, 0]
    assert logarithmic((1, 100), (0, 10))(0) == 0


def test_a_scale_of_a_single_value_is_still_a_scale():
    assert linear((3, 3), (0, 100))(3) == 0


@given(st.floats(1e-9, 1e12))
def test_steps_are_few_round_and_within(highest):
    steps = round_steps(highest)
    assert steps[0] == 0
    assert 2 <= len(steps) <= 6
    assert steps[-1] <= highest * 1.001


@given(st.floats(1e-6, 1e6), st.floats(2, 1e6))
def test_ticks_of_a_logarithmic_scale_are_within_it(low, factor):
    ticks = decades(low, low * factor)
    assert ticks == sorted(ticks)
    assert all(low <= tick <= low * factor for tick in ticks)
    assert 0 < len(ticks) <= 14


@pytest.mark.parametrize("highest", [0, -1])
def test_of_nothing_there_is_one_step(highest):
    assert round_steps(highest) == [0.0]
