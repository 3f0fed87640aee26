"""Pixels of a partial view from its symbols: what is stored is small, what a policy is shown is what a camera sees."""

import numpy as np

from sensorimotor.pipelines.babyai import TILE_PIXELS, VIEW_TILES


class FrameTable:
    """Renders partial views from symbols by looking up tiles of 8 x 8 pixels: the very pixels of the camera, faster."""

    STATES, COLORS, TYPES = 4, 8, 16

    def __init__(self) -> None:
        tiles = VIEW_TILES * VIEW_TILES
        keys = 2 * self.TYPES * self.COLORS * self.STATES
        self._tiles = np.zeros((keys, TILE_PIXELS, TILE_PIXELS, 3), np.uint8)
        self._drawn = np.zeros(keys, bool)
        agent = np.zeros(tiles, np.int64)
        # symbols are indexed [column, row]; the agent stands in the middle of the last row
        agent[(VIEW_TILES // 2) * VIEW_TILES + VIEW_TILES - 1] = 1
        self._agent_offset = agent * (keys // 2)

    def render(self, symbols: np.ndarray) -> np.ndarray:
        """uint8 `(n, 7, 7, 3)` symbols → uint8 `(n, 56, 56, 3)` frames."""
        cells = symbols.reshape(len(symbols), VIEW_TILES * VIEW_TILES, 3).astype(np.int64)
        keys = (cells[..., 0] * self.COLORS + cells[..., 1]) * self.STATES + cells[..., 2] + self._agent_offset
        for key in np.unique(keys[~self._drawn[keys]]):
            self._draw(int(key))
        frames = self._tiles[keys].reshape(len(symbols), VIEW_TILES, VIEW_TILES, TILE_PIXELS, TILE_PIXELS, 3)
        return frames.transpose(0, 2, 3, 1, 4, 5).reshape(
            len(symbols), VIEW_TILES * TILE_PIXELS, VIEW_TILES * TILE_PIXELS, 3
        )

    def _draw(self, key: int) -> None:
        from minigrid.core.constants import IDX_TO_OBJECT
        from minigrid.core.grid import Grid
        from minigrid.core.world_object import WorldObj

        half = len(self._tiles) // 2
        kind, rest = divmod(key % half, self.COLORS * self.STATES)
        color, state = divmod(rest, self.STATES)
        seen = IDX_TO_OBJECT[kind] != "unseen"
        thing = WorldObj.decode(kind, color, state) if seen and IDX_TO_OBJECT[kind] != "empty" else None
        agent_dir = 3 if key >= half else None
        self._tiles[key] = Grid.render_tile(thing, agent_dir=agent_dir, highlight=seen, tile_size=TILE_PIXELS)
        self._drawn[key] = True
