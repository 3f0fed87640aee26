from typing import NamedTuple

import numpy as np
import pytest
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from sensorimotor.pipelines.babyai import ACTIONS, make_level
from sensorimotor.pipelines.expert import Lesson
from sensorimotor.pipelines.frames import FrameTable
from sensorimotor.pipelines.grounding import Grounding, unpacked

PICKUP, DROP = ACTIONS.index("pickup"), ACTIONS.index("drop")
OWN = (3, 6)
"""Where the agent itself is in its view, and what it carries."""
LOCAL, PICK, PUT_NEXT = "BabyAI-GoToLocal-v0", "BabyAI-PickupLoc-v0", "BabyAI-PutNextLocal-v0"


OBJECT, PLACE = 0, 1
"""Roles: what to go to, fetch or move; what to put it next to."""
COLOR, KIND, DIRECTION = range(3)


class Moment(NamedTuple):
    game: object
    view: np.ndarray
    cells: np.ndarray


def moments(level, seeds):
    """Every step of the expert's episodes, one at a time; the game moves on with it."""
    game = make_level(level)
    for seed in seeds:
        game.reset(seed=seed)
        lesson, ended = Lesson(game), False
        while not ended:
            action = lesson.advise()
            yield Moment(game, lesson.views[-1], lesson.cells[-1])
            ended = lesson.act(action)


def marked(cells, role):
    """The cells with what fits a role in every aspect."""
    return fitting(unpacked(cells)[..., role, :].all(-1))


def fitting(cells):
    return [tuple(map(int, cell)) for cell in np.argwhere(cells)]


def look(game):
    """What fits in the view of a game that has just begun."""
    return Grounding(game).look(game.gen_obs()["image"])


def is_what(symbol, description):
    """Whether a cell of a view shows what a description (`ObjDesc`) asks for."""
    kind, color, _ = map(int, symbol)
    return description.type in (None, "object") or (
        kind == OBJECT_TO_IDX[description.type]
        and (description.color is None or color == COLOR_TO_IDX[description.color])
    )


@pytest.mark.parametrize("level", [LOCAL, PICK, "BabyAI-GoToObj-v0"])
def test_a_marked_cell_shows_an_object_as_the_mission_names_it(level):
    seen = 0
    for game, view, cells in moments(level, range(15)):
        assert cells.shape == (7, 7)
        assert cells.dtype == np.uint8
        assert marked(cells, PLACE) == []
        assert all(is_what(view[cell], game.instrs.desc) for cell in marked(cells, OBJECT))
        seen += len(marked(cells, OBJECT))
    assert seen > 30


def test_every_object_in_sight_that_is_meant_is_marked():
    counts = set()
    for game, view, cells in moments(LOCAL, range(30)):
        wanted = {(x, y) for x in range(7) for y in range(7) if (x, y) != OWN and is_what(view[x, y], game.instrs.desc)}
        assert set(marked(cells, OBJECT)) == wanted
        counts.add(len(wanted))
    assert counts >= {0, 1, 2}


def test_where_a_place_is_meant_only_what_lies_there_is_marked():
    """Two alike of which one is meant: "the ball on your left"."""
    for game, view, cells in moments(PICK, range(60)):
        alike = [(x, y) for x in range(7) for y in range(7) if is_what(view[x, y], game.instrs.desc)]
        if game.instrs.desc.loc and len(game.instrs.desc.obj_set) == 1 and len(alike) > 1:
            assert len(marked(cells, OBJECT)) <= 1
            break
    else:
        pytest.fail("there were never two alike")


def test_marks_lie_where_the_camera_shows_the_object(room):
    game = room({(5, 2): "red ball", (4, 4): "blue key"}, "red ball")
    view = game.gen_obs()["image"]
    ((column, row),) = marked(Grounding(game).look(view), OBJECT)
    frame = FrameTable().render(view[None])[0].astype(int)
    redness = (frame[..., 0] - frame[..., 1]).reshape(7, 8, 7, 8).sum((1, 3))
    assert np.unravel_index(redness.argmax(), redness.shape) == (row, column)
    assert (row, column) == (4, 2)  # two ahead and one to the left, which looks the other way round if turned over


def test_what_is_behind_or_hidden_is_not_marked(room):
    assert not look(room({(1, 3): "red ball"}, "red ball")).any()
    game = room({(6, 3): "red ball"}, "red ball")
    view, grounding = game.gen_obs()["image"].copy(), Grounding(game)
    ((column, row),) = marked(grounding.look(view), OBJECT)
    view[column, row] = 0  # as behind a closed door
    assert not grounding.look(view).any()


def test_what_fits_in_one_aspect_only_is_said_to_fit_in_that(room):
    game = room({(6, 3): "red ball", (5, 2): "red key", (5, 4): "blue ball", (4, 4): "grey box"}, "red ball")
    fits = unpacked(look(game))[..., OBJECT, :]
    # two columns ahead are two rows up, and what lies at a smaller y lies on the left
    assert fitting(fits[..., COLOR]) == [(2, 4), (3, 3)]
    assert fitting(fits[..., KIND]) == [(3, 3), (4, 4)]
    assert fitting(fits[..., DIRECTION]) == [(2, 4), (3, 3), (4, 4), (4, 5)]  # none is named: all are where they may be


def test_a_direction_means_where_things_were_at_the_start():
    """ "The ball on your left" is still meant when it is no longer on the left."""
    turned = 0
    for seed in range(60):
        game = make_level(PICK)
        game.reset(seed=seed)
        if game.instrs.desc.loc not in ("left", "right"):
            continue
        grounding = Grounding(game)
        meant = game.instrs.desc.obj_set
        for _ in range(4):
            game.step(ACTIONS.index("left"))
            view = game.gen_obs()["image"]
            assert set(marked(grounding.look(view), OBJECT)) == {
                cell for thing in meant if (cell := game.relative_coords(*thing.cur_pos)) and view[cell][0]
            }
            turned += bool(marked(grounding.look(view), OBJECT))
    assert turned > 10


def test_putting_next_marks_what_to_move_and_what_to_put_it_next_to():
    moved, fixed, carried = 0, 0, 0
    for game, view, cells in moments(PUT_NEXT, range(15)):
        for cell in marked(cells, OBJECT):
            assert is_what(view[cell], game.instrs.desc_move)
        for cell in marked(cells, PLACE):
            assert is_what(view[cell], game.instrs.desc_fixed)
        moved, fixed = moved + len(marked(cells, OBJECT)), fixed + len(marked(cells, PLACE))
        if game.carrying is not None and game.carrying in game.instrs.desc_move.obj_set:
            assert OWN in marked(cells, OBJECT)
            carried += 1
    assert min(moved, fixed, carried) > 15


def test_what_is_carried_is_marked_where_the_agent_stands_and_only_while_it_is_carried(room):
    game = room({(4, 3): "red ball"}, "red ball")
    grounding = Grounding(game)

    def now():
        return marked(grounding.look(game.gen_obs()["image"]), OBJECT)

    assert now() == [(3, 5)]
    game.step(PICKUP)
    assert game.carrying is not None
    assert now() == [OWN]
    game.step(DROP)
    assert now() == [(3, 5)]


def test_something_else_that_is_carried_is_not_marked(room):
    game = room({(4, 3): "blue key", (3, 1): "red ball"}, "red ball")
    grounding = Grounding(game)
    game.step(PICKUP)
    assert game.carrying.type == "key"
    assert OWN not in marked(grounding.look(game.gen_obs()["image"]), OBJECT)


def test_a_sequence_of_missions_has_nothing_marked():
    game = make_level("BabyAI-GoToSeq-v0")
    for seed in range(3):
        game.reset(seed=seed)
        assert not look(game).any()
