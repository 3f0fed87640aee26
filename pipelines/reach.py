"""Reach: a hand in a 2-D arena must touch the disc that a written instruction names, as a task with a known answer.

Only camera, instruction and state together are enough: where the discs lie is only seen, which of them is meant is only
read, and touching a wrong one ends the episode, so that who does not read succeeds in one of three episodes at best.

    gymnasium.make("sensorimotor.pipelines.reach:sensorimotor/Reach-v0")
"""

from itertools import permutations
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from sensorimotor.actions.space import Box
from sensorimotor.errors import MissingExtraError, WorldError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Image, State, Text

ID = "sensorimotor/Reach-v0"
RATE_HZ = 10.0
MAX_STEPS = 60
MAX_SPEED = 0.5
"""Along each axis (m/s)."""
CAMERA_PIXELS, RENDER_PIXELS = 64, 384
"""Sides of what the policy and what people are shown; the arena is 1 m x 1 m."""

COLOURS = {
    "red": (225, 50, 50),
    "green": (60, 190, 75),
    "blue": (65, 105, 245),
    "yellow": (245, 215, 60),
    "purple": (165, 70, 205),
    "cyan": (70, 215, 220),
}
DISCS = 3
FLOOR, HAND = (34, 37, 44), (245, 245, 245)
PHRASES = ("reach the {} disc", "go to the {} disc", "touch the {} one", "move to the disc that is {}")

DISC_M, RING_M = 0.06, 0.045
"""Radii of a disc and of the ring that the hand is drawn as (m)."""
REACH_M = 0.04
"""The hand touches a disc when its middle comes this close to the disc's."""
EDGE_M, APART_M, CLEAR_M = 0.1, 0.2, 0.12
"""Nothing starts closer (m) to the edge, to each other, and to the straight ways from the hand to the discs."""
GAIN_HZ = 4.0
"""The expert's speed for each metre that is left (1/s): it slows down over the last 12 cm."""


class Reach(gymnasium.Env):
    """One hand, three discs of different colours, and an instruction that names one of them.

    An observation has `camera`, uint8 (64, 64, 3), the arena from above with x to the right and y up; `state`, float32
    (2,), where the hand is (m); and `instruction`. An action is a velocity (m/s), float32 (2,), held for 0.1 s. The
    reward is 1 for touching the disc that is meant; touching another one ends the episode too, and so do 60 steps.

    Args:
        control_noise: Standard deviation (m/s) of what is added to each velocity that is carried out: an expert that
            is disturbed demonstrates how to recover.
        render_mode: `rgb_array` or None; `render` gives a picture either way.

    Raises:
        WorldError: The noise is no finite number from 0 on, or there is no such render mode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": RATE_HZ}  # noqa: RUF012 (Gymnasium's own)
    observation_space: spaces.Dict
    action_space: spaces.Box

    def __init__(self, *, control_noise: float = 0.0, render_mode: str | None = None):
        if not 0 <= control_noise < np.inf:
            raise WorldError(f"control_noise is a speed of 0 m/s or more, not {control_noise}")
        if render_mode not in (None, "rgb_array"):
            raise WorldError(f"Reach has no render mode {render_mode!r}; it has rgb_array")
        self.control_noise, self.render_mode = control_noise, render_mode
        letters = "abcdefghijklmnopqrstuvwxyz "
        self.observation_space = spaces.Dict(
            {
                "camera": spaces.Box(0, 255, (CAMERA_PIXELS, CAMERA_PIXELS, 3), np.uint8),
                "state": spaces.Box(0.0, 1.0, (2,), np.float32),
                "instruction": spaces.Text(max_length=64, charset=letters),
            }
        )
        self.action_space = spaces.Box(-MAX_SPEED, MAX_SPEED, (2,), np.float32)
        self.hand = np.full(2, 0.5)
        """Where the hand is, float64 (2,), in metres."""
        self.discs: dict[str, np.ndarray] = {}
        """Colour → where the middle of that disc is, float64 (2,), in metres."""
        self.target, self.mission = "", ""
        """Colour of the disc that is meant, and the instruction that says so."""
        self._steps_left = 0

    @staticmethod
    def signature(horizon: int = 1) -> Signature:
        """What a policy for Reach sees, feels and reads, and what it can do.

        Args:
            horizon: Actions that a decision plans.
        """
        return Signature(
            inputs={
                "camera": Image(height=CAMERA_PIXELS, width=CAMERA_PIXELS, critical=True),
                "state": State(size=2, names=("x", "y"), units=("m", "m")),
                "instruction": Text(max_tokens=16),
            },
            action_space=Box([-MAX_SPEED] * 2, [MAX_SPEED] * 2, ("x", "y"), ("m/s", "m/s")),
            safe_action=Constant([0.0, 0.0]),
            rate_hz=RATE_HZ,
            horizon=horizon,
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict]:
        """Begin an episode."""
        super().reset(seed=seed)
        colours = [str(one) for one in self.np_random.choice(list(COLOURS), DISCS, replace=False)]
        places = self._places()
        self.hand, self.discs = places[0], dict(zip(colours, places[1:], strict=True))
        self.target = colours[int(self.np_random.integers(DISCS))]
        self.mission = PHRASES[int(self.np_random.integers(len(PHRASES)))].format(self.target)
        self._steps_left = MAX_STEPS
        return self._observe(), {"mission": self.mission}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Move for 0.1 s; `info["success"]` says whether the right disc is touched, `info["touched"]` which one is.

        Raises:
            WorldError: The action is no velocity, or the episode is over or has not begun.
        """
        if not self._steps_left:
            raise WorldError("the episode is over, or none has begun: call reset() first")
        velocity = np.asarray(action, np.float64)
        if velocity.shape != (2,) or not np.isfinite(velocity).all():
            raise WorldError(f"an action of Reach is two finite velocities (m/s), not {action!r}")
        velocity = np.clip(velocity, -MAX_SPEED, MAX_SPEED)
        if self.control_noise:
            velocity = velocity + self.np_random.normal(0.0, self.control_noise, 2)
        before, self.hand = self.hand, np.clip(self.hand + velocity / RATE_HZ, 0.0, 1.0)
        self._steps_left -= 1
        # All of the way counts: at full speed a step is nearly as long as what can be touched is wide.
        near = {colour: _distance(before, self.hand, middle) for colour, middle in self.discs.items()}
        closest = min(near, key=near.__getitem__)
        touched = closest if near[closest] <= REACH_M else None
        success, truncated = touched == self.target, touched is None and not self._steps_left
        if touched:
            self._steps_left = 0
        return self._observe(), float(success), touched is not None, truncated, {"success": success, "touched": touched}

    def expert_action(self, colour: str | None = None) -> np.ndarray:
        """What to do next to touch a disc: straight towards it, slower when near, within the limits; float32 (2,), m/s.

        Args:
            colour: Of the disc; None: the one that is meant.

        Raises:
            WorldError: There is no disc of this colour.
        """
        colour = self.target if colour is None else colour
        if colour not in self.discs:
            raise WorldError(f"there is no {colour or 'named'} disc here; there are {', '.join(self.discs) or 'none'}")
        velocity = GAIN_HZ * (self.discs[colour] - self.hand)
        velocity /= max(1.0, float(np.abs(velocity).max()) / MAX_SPEED)  # both axes alike: the way stays straight
        return velocity.astype(np.float32)

    def render(self) -> np.ndarray:
        """The arena from above for people, uint8 (384, 384, 3)."""
        return self._draw(RENDER_PIXELS)

    def _observe(self) -> dict[str, Any]:
        state = self.hand.astype(np.float32)
        return {"camera": self._draw(CAMERA_PIXELS), "state": state, "instruction": self.mission}

    def _places(self) -> np.ndarray:
        """Where hand and discs start, float64 `(1 + DISCS, 2)`: no disc is in the way to another one."""
        while True:
            places = self.np_random.uniform(EDGE_M, 1 - EDGE_M, (1 + DISCS, 2))
            gaps = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.eye(1 + DISCS)
            if gaps.min() < APART_M:
                continue
            pairs = permutations(places[1:], 2)
            if min(_distance(places[0], end, other) for end, other in pairs) >= CLEAR_M:
                return places

    def _draw(self, side: int) -> np.ndarray:
        try:
            import cv2
        except ImportError as error:
            raise MissingExtraError("opencv-python-headless", ("data", "sim"), f"the environment {ID}") from error
        picture = np.empty((side, side, 3), np.uint8)
        picture[:] = FLOOR
        fine = 4  # bits behind the point: OpenCV takes sixteenths of a pixel

        def circle(middle: np.ndarray, radius_m: float, colour: tuple[int, int, int], thickness: int) -> None:
            x, y = (round(float(at) * 2**fine) for at in pixel(middle, side))
            cv2.circle(picture, (x, y), round(radius_m * side * 2**fine), colour, thickness, cv2.LINE_AA, fine)

        for colour, middle in self.discs.items():
            circle(middle, DISC_M, COLOURS[colour], cv2.FILLED)
        circle(self.hand, RING_M, HAND, max(1, side // 64))  # a ring: the disc below it stays to be seen
        return picture


def pixel(place: np.ndarray, side: int) -> np.ndarray:
    """Column and row of a place (m) in a picture of `side` pixels; the middle of the first pixel is (0, 0).

    >>> pixel(np.array([0.5, 0.75]), 64)
    array([31.5, 15.5])
    """
    return np.array([place[0], 1 - place[1]]) * side - 0.5


def _distance(start: np.ndarray, end: np.ndarray, place: np.ndarray) -> float:
    """How far a place is from the straight way from `start` to `end` (m)."""
    way = end - start
    length = float(way @ way)
    along = min(1.0, max(0.0, float((place - start) @ way) / length)) if length else 0.0
    return float(np.linalg.norm(start + along * way - place))


# Gymnasium finds the environments of other packages by importing the module that registers them.
gymnasium.register(ID, f"{__name__}:Reach")
