"""Tables and recordings opened for a policy: ids, and what feeds what."""

import cv2
import numpy as np
import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import DataError, UsageError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.fit import Fit
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.batch_input import InputSpec, open_input

CAMERA = Image(height=8, width=8)
CRITICAL = CAMERA.model_copy(update={"critical": True})
JOINTS = State(size=2, names=("x", "y"))
ALL = {"camera": CAMERA, "joints": JOINTS, "instruction": Text()}


def signature(inputs, rate_hz=10.0):
    return Signature(inputs, Discrete(3), Constant(0), rate_hz)


def opened(where, inputs=ALL, rate_hz=10.0, **spec):
    return open_input(InputSpec(str(where), **spec), signature(inputs, rate_hz))


def equal(one, other):
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def picture(path, value, height=8, width=8):
    pixels = np.random.default_rng(value).integers(0, 256, (height, width, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return pixels[:, :, ::-1]


def table(path, text):
    path.write_text(text)
    return path


def test_rows_of_a_table_are_single_steps_under_their_ids(tmp_path):
    pixels = picture(tmp_path / "0.png", 0)
    large = picture(tmp_path / "1.png", 1, 12, 20)
    rows = "id,camera,instruction,x,y\nb7,0.png,go,1,2\na1,1.png,,1.5,\n3,,stop,0,1\n"
    found = opened(table(tmp_path / "rows.csv", rows))
    assert list(found.ids) == ["b7", "a1", "3"]
    assert found.alone
    assert found.fed == {"camera": "camera", "joints": "x,y", "instruction": "instruction"}
    one, two, three = found.samples([0, 1, 2])
    assert equal(one.seen.observation["camera"], pixels)
    assert one.seen.observation["instruction"] == "go"
    assert one.seen.observation["joints"].tolist() == [1, 2]
    assert equal(two.seen.observation["camera"], Fit(CAMERA)(large))  # of another size: as live
    assert set(two.seen.observation) == {"camera"}
    assert set(three.seen.observation) == {"instruction", "joints"}


def test_ids_are_as_they_are_written(tmp_path):
    assert list(opened(table(tmp_path / "rows.csv", "id,instruction\n007,go\n7,go\n")).ids) == ["007", "7"]
    rows = "episode,time,instruction\n007,0,go\n7,0,stop\n"
    assert list(opened(table(tmp_path / "steps.csv", rows)).ids) == ["007", "7"]


def test_rows_without_ids_go_by_their_numbers(tmp_path):
    rows = "instruction\ngo\nstop\n"
    assert list(opened(table(tmp_path / "rows.csv", rows)).ids) == ["row 1", "row 2"]


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ("id,instruction\na,go\nb,go\na,go\n", "row 3: 'id' is 'a', as in row 1"),
        ("id,instruction\n7,go\n8,go\n7,go\n", "row 3: 'id' is '7', as in row 1"),
        ("id,instruction\na,go\n,go\n", "row 2: 'id' is empty"),
    ],
)
def test_two_rows_with_one_id_are_refused(tmp_path, rows, word):
    with pytest.raises(DataError, match=word):
        opened(table(tmp_path / "rows.csv", rows))


def test_an_id_of_rows_that_are_steps_is_a_column_like_any_other(tmp_path):
    rows = "episode,time,id,instruction\n0,0,a,go\n0,0.1,a,\n1,0,a,go\n"
    assert list(opened(table(tmp_path / "rows.csv", rows)).ids) == ["0", "1"]


HEARD = {"camera": CAMERA, "mic": Audio(seconds=1.0)}
ROWS = "id,camera,instruction,x,y,speed\na,0.png,go,1,2,3\n"


@pytest.mark.parametrize(
    ("inputs", "spec", "error", "word"),
    [
        ({"kamera": CRITICAL}, {}, DataError, "no column 'kamera'; did you mean 'camera'"),
        ({"camera": CAMERA}, {"bind": {"camera": "camra"}}, DataError, "no column 'camra'; did you mean 'camera'"),
        ({"weather": Text()}, {}, DataError, "nothing of it feeds the policy: --bind weather="),
        ({"camera": CAMERA}, {"bind": {"camera": "speed"}}, DataError, "'camera' is an image, .*; 'speed' is"),
        ({"speed": State(size=2)}, {}, DataError, r"a state, float32 \(2,\); 'speed' is vector of shape \(1,\)"),
        (HEARD, {"bind": {"mic": "camera"}}, UsageError, "for different things"),
        ({"camera": CAMERA}, {"bind": {"lidar": "x"}}, UsageError, "no input 'lidar'; it has camera"),
        (
            {"camera": CAMERA, "instruction": Text()},
            {"bind": {"instruction": "x"}, "constants": {"instruction": "go"}},
            UsageError,
            "leave out one",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_what_would(tmp_path, inputs, spec, error, word):
    picture(tmp_path / "0.png", 0)
    with pytest.raises(error, match=word):
        opened(table(tmp_path / "rows.csv", ROWS), inputs, **spec)


def test_an_input_that_nothing_feeds_is_absent_and_said_of_once(tmp_path):
    picture(tmp_path / "0.png", 0)
    found = opened(table(tmp_path / "rows.csv", ROWS), {**ALL, "mic": Audio(seconds=1.0)})
    assert found.absent == ("mic",)
    assert [line for line in found.losses.told() if "mic" in line] == [
        f"{tmp_path / 'rows.csv'} has nothing for mic, which is absent in every step"
    ]
    assert found.losses.told() == []


def test_a_state_may_be_put_together_from_columns(tmp_path):
    path = table(tmp_path / "rows.csv", ROWS)
    (step,) = opened(path, {"joints": State(size=3)}, bind={"joints": "speed,x,y"}).samples([0])
    assert step.seen.observation["joints"].tolist() == [3, 1, 2]
    with pytest.raises(DataError, match="no column 'speed,z'"):
        opened(path, {"joints": State(size=2)}, bind={"joints": "speed,z"})


def test_a_constant_is_told_in_every_step(tmp_path):
    path = table(tmp_path / "rows.csv", ROWS)
    (step,) = opened(path, {"instruction": Text(), "speed": State(size=1)}, constants={"instruction": "halt"}).samples(
        [0]
    )
    assert step.seen.observation["instruction"] == "halt"
    assert step.seen.ages_s == {"instruction": 0, "speed": 0}
