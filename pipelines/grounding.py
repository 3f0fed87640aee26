"""Where in a view the instructed objects are: what a demonstrator knows and a pupil has to learn to see.

Only training uses it, to point at what is meant while it shows what to do; a policy is never shown it.
"""

from typing import Any

import numpy as np

UNSEEN = 0
"""Minigrid's code of a cell that is out of sight."""
ELSEWHERE, OBJECT, PLACE = 0, 1, 2
"""A cell without an instructed object, with the one to go to, fetch or move, with the one to put it next to."""
MEANINGS = 3


def instructed_cells(game: Any, view: np.ndarray) -> np.ndarray:
    """Which cells of a partial view hold what the mission is about.

    Args:
        game: A `minigrid` BabyAI environment.
        view: Its view now, `(7, 7, 3)` symbols indexed [column, row].

    Returns:
        uint8 `(7, 7)`, indexed like the view: `ELSEWHERE`, `OBJECT` or `PLACE`; sequences of missions have none.
    """
    cells = np.zeros(view.shape[:2], np.uint8)
    for meaning, names in ((PLACE, ("desc_fixed",)), (OBJECT, ("desc", "desc_move"))):
        for name in names:
            for thing in getattr(getattr(game.instrs, name, None), "obj_set", ()):
                if thing is game.carrying:
                    cells[view.shape[0] // 2, view.shape[1] - 1] = meaning
                elif (cell := game.relative_coords(*thing.cur_pos)) and view[cell][0] != UNSEEN:
                    cells[cell] = meaning
    return cells
