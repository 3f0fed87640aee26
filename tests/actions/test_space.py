import json

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.actions.space import ActionSpace, Box, Discrete, MultiBinary
from sensorimotor.errors import SignatureError

DOOR = Discrete(3, ("wait", "open", "close"))
ARM = Box([-1.0, -np.inf], [1.0, np.inf], labels=("grip", "turn"), units=("m", "rad"))
LAMPS = MultiBinary(2, ("left", "right"))


def names(size: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.just(()) | st.lists(st.text(max_size=8), min_size=size, max_size=size, unique=True).map(tuple)


@st.composite
def boxes(draw, widths: tuple[int, ...] = (8, 16, 32, 64)) -> ActionSpace:
    size = draw(st.integers(1, 5))
    if draw(st.booleans()):
        width = draw(st.sampled_from(widths))
        info = np.iinfo(f"int{width}")
        bound, dtype = st.integers(int(info.min), int(info.max)), np.dtype(f"int{width}")
    else:
        bound, dtype = st.floats(width=32, allow_nan=False).map(lambda x: x + 0.0), np.dtype("float32")  # no -0.0
    limits = [sorted(draw(st.tuples(bound, bound))) for _ in range(size)]
    low, high = np.array(limits, dtype).T
    units = draw(names(size))
    if dtype.kind == "f":  # the lowest limit cannot be +inf, nor the highest -inf
        low, high = np.where(low == np.inf, -np.inf, low), np.where(high == -np.inf, np.inf, high)
    return ActionSpace(spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype), draw(names(size)), units)


def switches(kind) -> st.SearchStrategy[ActionSpace]:
    return st.integers(1, 12).flatmap(lambda n: names(n).map(lambda labels: kind(n, labels)))


action_spaces = boxes() | switches(Discrete) | switches(MultiBinary)


@given(action_spaces)
def test_any_action_space_comes_back_from_its_json_form(space):
    form = json.loads(json.dumps(space.to_json(), allow_nan=False))
    again = ActionSpace.from_json(form)
    assert again == space
    assert again.to_json() == space.to_json()
    assert again.space.dtype == space.space.dtype


# Gymnasium cannot sample integers beyond 2**53.
@given(space=boxes(widths=(8, 16, 32)) | switches(Discrete) | switches(MultiBinary), seed=st.integers(0, 2**31))
def test_whatever_the_gymnasium_space_samples_is_an_action(space, seed):
    space.space.seed(seed)
    action = space.space.sample()
    assert np.array_equal(space.check(action), action)
    assert space.space.contains(space.check(np.asarray(action).tolist()))


@pytest.mark.parametrize(("space", "size"), [(DOOR, 3), (ARM, 2), (LAMPS, 2), (Box([[0, 0]] * 3, [[1, 1]] * 3), 6)])
def test_the_size_counts_choices_switches_or_dimensions(space, size):
    assert space.size == size


def test_labels_name_choices_and_numbers_stand_in_for_them():
    assert [DOOR.label(i) for i in range(3)] == ["wait", "open", "close"]
    assert Discrete(2).label(1) == "1"


@pytest.mark.parametrize(("action", "checked"), [("open", 1), (1, 1), (np.int64(2), 2), (np.array(0), 0)])
def test_a_choice_is_given_by_number_or_by_label(action, checked):
    assert DOOR.check(action) == checked
    assert type(DOOR.check(action)) is int


@pytest.mark.parametrize(
    "action",
    [
        3,
        -1,
        "shut",
        "",
        "1",
        1.0,
        2.9,
        float("nan"),
        float("inf"),
        None,
        [1],
        np.array([1]),
        np.array([0, 1]),
        {},
        object(),
    ],
)
def test_what_is_no_choice_is_refused_with_the_choices(action):
    with pytest.raises(SignatureError, match=r"is not in Discrete\(3\) \(wait, open, close\)"):
        DOOR.check(action)


def test_a_vector_becomes_the_type_of_its_box():
    checked = ARM.check([1, -1e6])
    assert checked.dtype == np.float32
    assert checked.tolist() == [1.0, -1e6]


@pytest.mark.parametrize(
    "action",
    [
        [1.1, 0],
        [0],
        [0, 0, 0],
        [[0, 0]],
        0.0,
        "grip",
        ["a", "b"],
        None,
        [0, np.nan],
        [0, np.inf],
        [0, 1e39],
        [[0], [0, 1]],
    ],
)
def test_a_vector_beyond_its_limits_of_another_size_or_not_finite_is_refused(action):
    with pytest.raises(SignatureError, match="is not in Box"):
        ARM.check(action)


@pytest.mark.parametrize("action", [[1, 0], [True, False], np.array([1, 0], np.int8), np.array([1.0, 0.0])])
def test_switches_are_on_or_off(action):
    assert LAMPS.check(action).tolist() == [1, 0]
    assert LAMPS.check(action).dtype == np.int8


@pytest.mark.parametrize("action", [[2, 0], [0.5, 1], [300, 0], [-1, 0], [1], [1, 0, 0], "on", None, [np.nan, 0]])
def test_what_is_neither_on_nor_off_is_refused(action):
    with pytest.raises(SignatureError, match="is not in MultiBinary"):
        LAMPS.check(action)


def test_a_refusal_says_what_the_action_was_for():
    with pytest.raises(SignatureError, match="^safe_action 7 is not in"):
        DOOR.check(7, "safe_action")


def test_an_action_that_was_checked_does_not_change_with_the_array_it_came_from():
    vector = np.array([0.25, 0.5], np.float32)
    checked = ARM.check(vector)
    vector[:] = 1.0
    assert checked.tolist() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Discrete(3, ("a", "b")), "3 entries but 2 labels"),
        (lambda: Discrete(3, ("go", "stop", "go")), "not unique: go, stop, go"),
        (lambda: Box([0], [1], units=("m", "m")), "1 entries but 2 units"),
        (lambda: ActionSpace(spaces.Discrete(2), (), ("m", "m")), "units belong to the dimensions of a Box"),
        (lambda: ActionSpace(spaces.MultiBinary(2), (), ("m", "m")), "units belong to the dimensions of a Box"),
        (lambda: ActionSpace(spaces.MultiDiscrete([2, 2])), "no action space like MultiDiscrete"),
        (lambda: ActionSpace(spaces.MultiBinary([2, 2])), "no action space like MultiBinary"),
        (lambda: ActionSpace(spaces.Text(5)), "no action space like Text"),
        (lambda: ActionSpace(spaces.Dict({"a": spaces.Discrete(2)})), "no action space like Dict"),
        (lambda: ActionSpace(spaces.Discrete(3, start=1)), "choices are counted from 0"),
    ],
)
def test_an_action_space_that_contradicts_itself_is_refused(make, complaint):
    with pytest.raises(SignatureError, match=complaint):
        make()


@pytest.mark.parametrize(
    "form",
    [
        None,
        [],
        "discrete",
        {},
        {"kind": "discrete"},
        {"kind": "discrete", "n": None},
        {"kind": "discrete", "n": 0},
        {"kind": "discrete", "n": "many"},
        {"kind": "discrete", "n": float("inf")},
        {"kind": "discrete", "n": 10**30},
        {"kind": "discrete", "n": 2, "labels": 3},
        {"kind": "discrete", "n": 2, "labels": [[], []]},
        {"kind": "multi_binary", "n": -1},
        {"kind": "box", "low": [0], "high": [1]},
        {"kind": "box", "low": [0], "dtype": "float32"},
        {"kind": "box", "low": [1], "high": [0], "dtype": "float32"},
        {"kind": "box", "low": [0], "high": [1, 2], "dtype": "float32"},
        {"kind": "box", "low": [[0], [1, 2]], "high": [1, 2], "dtype": "float32"},
        {"kind": "box", "low": ["a"], "high": ["b"], "dtype": "float32"},
        {"kind": "box", "low": [0], "high": [1], "dtype": "object"},
        {"kind": "box", "low": [0], "high": [1], "dtype": "no type"},
        {"kind": "box", "low": [None], "high": [None], "dtype": "int32"},
        {"kind": "box", "low": [0], "high": [300], "dtype": "uint8"},
    ],
)
def test_what_is_no_form_of_an_action_space_is_refused(form):
    with pytest.raises(SignatureError, match="this is no action space"):
        ActionSpace.from_json(form)


@pytest.mark.parametrize("kind", ["continuous", None, ["box"], 3])
def test_an_unknown_kind_of_action_space_is_named(kind):
    with pytest.raises(SignatureError, match="no kind of action space is called"):
        ActionSpace.from_json({"kind": kind, "n": 2})
