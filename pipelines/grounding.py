"""Which things in a view fit what a mission says of them: what a demonstrator knows and a pupil has to learn to see.

Only training uses it, to point at what is meant while it shows what to do; a policy is never shown it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sensorimotor.fusion.aspects import ASPECTS, ROLES

UNSEEN = 0
"""Minigrid's code of a cell that is out of sight."""
DESCRIPTIONS = (("desc", "desc_move"), ("desc_fixed",))
"""How BabyAI's missions call the descriptions of each role: what to go to, fetch or move; what to put it next to."""
THINGS = ("ball", "box", "key", "door")


class Grounding:
    """What a mission says of the things in its room, found out at the start, when "on your left" means the left.

    Args:
        game: A `minigrid` BabyAI environment, just reset. Sequences of missions say nothing of anything.
    """

    def __init__(self, game: Any):
        self._game = game
        self._things = [thing for thing in game.grid.grid if thing is not None and thing.type in THINGS]
        fits = np.zeros((len(self._things), ROLES, ASPECTS), bool)
        for role, names in enumerate(DESCRIPTIONS):
            for description in (getattr(game.instrs, name) for name in names if hasattr(game.instrs, name)):
                fits[:, role] = _fits(self._things, description, game)
        self._codes = np.packbits(fits.reshape(len(fits), -1), axis=1, bitorder="little")[:, 0]

    def look(self, view: np.ndarray) -> np.ndarray:
        """What fits where in a partial view.

        Args:
            view: The view now, `(7, 7, 3)` symbols indexed [column, row].

        Returns:
            uint8 `(7, 7)`, indexed like the view: bit `ASPECTS * role + aspect` is set where a thing is that fits in
            this role and aspect, or of which the mission leaves it open. What is carried is where the agent is.
        """
        cells = np.zeros(view.shape[:2], np.uint8)
        for thing, code in zip(self._things, self._codes, strict=True):
            if thing is self._game.carrying:
                cells[view.shape[0] // 2, view.shape[1] - 1] = code
            elif (cell := self._game.relative_coords(*thing.cur_pos)) and view[cell][0] != UNSEEN:
                cells[cell] = code
        return cells


def unpacked(cells: np.ndarray) -> np.ndarray:
    """What `Grounding.look` says, bit by bit: uint8 `(...)` → bool `(..., ROLES, ASPECTS)`."""
    bits = np.unpackbits(cells[..., None], axis=-1, count=ROLES * ASPECTS, bitorder="little")
    return bits.reshape(*cells.shape, ROLES, ASPECTS).astype(bool)


def _fits(things: Sequence[Any], description: Any, game: Any) -> list[tuple[bool, bool, bool]]:
    """Whether each thing has the colour, the kind and the direction of a description."""
    from minigrid.envs.babyai.core.verifier import ObjDesc

    there, _ = ObjDesc(None, None, description.loc).find_matching_objs(game)
    return [
        (
            description.color in (None, thing.color),
            description.type in (None, thing.type),
            any(thing is other for other in there),
        )
        for thing in things
    ]
