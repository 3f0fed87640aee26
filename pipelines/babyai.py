"""BabyAI rooms as a world that is seen, heard and read: pixels of a partial view, a spoken mission, a written mission.

Levels and rules are those of `minigrid` (BabyAI, Chevalier-Boisvert et al., ICLR 2019). The world is turn-based: its
clock stands still while the mission is spoken, so that steps and time-outs stay BabyAI's own.
"""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import MissingExtraError, WorldError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.sound import SAMPLE_RATE
from sensorimotor.pipelines.speech import Speaker

ACTIONS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
DONE = ACTIONS.index("done")
"""Does nothing in these levels: the safe action."""
VIEW_TILES, TILE_PIXELS = 7, 8
RATE_HZ = 10.0
EVALUATION_SEED = 1_000_000_000
"""Seeds from here on are for evaluation (BabyAI's protocol); training stays below."""

NOISE_DB = (-70.0, -55.0)
"""Level of the noise in the simulated microphone (dB of full scale)."""
LEAD_IN_S = (0.3, 1.2)
"""The mission is spoken this long after the stream begins ..."""
TAIL_S = 0.7
"""... and the first step is taken this long after the speaker has stopped."""


def signature(utterance_s: float | None = 4.0, max_tokens: int = 16) -> Signature:
    """What a policy for BabyAI sees, hears and reads, and what it can do.

    Args:
        utterance_s: The longest spoken mission that it takes in (s); None: it has no microphone.
        max_tokens: Of a written mission.
    """
    side = VIEW_TILES * TILE_PIXELS
    inputs: dict[str, Image | Audio | Text | State] = {"camera": Image(height=side, width=side, critical=True)}
    if utterance_s is not None:
        inputs["mic"] = Audio(sample_rate=SAMPLE_RATE, seconds=utterance_s, mode="utterance")
    inputs["instruction"] = Text(max_tokens=max_tokens)
    return Signature(
        inputs=inputs,
        action_space=Discrete(len(ACTIONS), ACTIONS),
        safe_action=Constant("done"),
        rate_hz=RATE_HZ,
    )


def quietly() -> contextlib.redirect_stdout[io.StringIO]:
    """Keep minigrid from printing: it reports rejected rooms on standard output."""
    return contextlib.redirect_stdout(io.StringIO())


def make_level(level: str) -> Any:
    """The bare `minigrid` environment of a level.

    Raises:
        WorldError: There is no such level.
        MissingExtraError: minigrid is not installed.
    """
    try:
        import minigrid  # noqa: F401  (registers the levels)
    except ImportError as error:
        raise MissingExtraError("minigrid", "sim", f"the environment {level}") from error
    known = [name for name in gymnasium.registry if name.startswith("BabyAI-")]
    if level not in known:
        import difflib

        near = difflib.get_close_matches(level, known, 3) or ["BabyAI-GoToLocal-v0"]
        raise WorldError(f"there is no BabyAI level {level!r}; did you mean {' or '.join(near)}?")
    with quietly():
        return gymnasium.make(level, disable_env_checker=True).unwrapped


class BabyAIWorld(gymnasium.Env):
    """One BabyAI level with a camera, a microphone and a written instruction.

    An observation has `camera`, uint8 (56, 56, 3); `mic`, float32 (samples, 1), the sound since the last observation at
    16 kHz; and `instruction`, the mission. A channel that is switched off is missing.

    Args:
        level: A `BabyAI-*-v0` id.
        speakers: Who speaks; one is drawn for each episode. None: nobody speaks and there is no microphone.
        written: Whether the mission is also given in writing.
        swap_mission: Give, and score, the mission of another object of the same room ("go to" levels only).

    Raises:
        WorldError: No such level, or it has no missions that can be swapped.
    """

    observation_space: spaces.Dict
    action_space: spaces.Discrete

    def __init__(
        self, level: str, *, speakers: Sequence[Speaker] = (), written: bool = True, swap_mission: bool = False
    ):
        self.level = level
        self.game = make_level(level)
        self.speakers, self.written, self.swap_mission = speakers, written, swap_mission
        sound = spaces.Box(-1.0, 1.0, (round(SAMPLE_RATE / RATE_HZ), 1), np.float32)
        full = {**signature().observation_space().spaces, "mic": sound}
        shown = ["camera", *(["mic"] if speakers else []), *(["instruction"] if written else [])]
        self.observation_space = spaces.Dict({name: full[name] for name in shown})
        self.action_space = spaces.Discrete(len(ACTIONS))
        self._rng = np.random.default_rng()
        self.spoken = np.zeros((0, 1), np.float32)
        """The sound that this episode began with, float32 `(samples, 1)`."""

    @property
    def mission(self) -> str:
        """The instruction that the world scores."""
        return str(self.game.mission)

    @property
    def max_steps(self) -> int:
        """BabyAI's time-out for this episode (steps)."""
        return int(self.game.max_steps)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict]:
        """Begin an episode; the first observation's sound holds the whole spoken mission, as a stream."""
        with quietly():
            self.game.reset(seed=seed)
        # Its own stream of randomness: how the mission is spoken must not change the room.
        self._rng = np.random.default_rng(None if seed is None else [seed, 1])
        self._noise_level = 10 ** (self._rng.uniform(*NOISE_DB) / 20)
        if self.swap_mission:
            self._swap()
        self._gaze = Gaze(self.game)
        observation = self._observe()
        if self.speakers:
            self.spoken = observation["mic"] = self._spoken_mission()
        return observation, {"mission": self.mission}

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Act once; `info["success"]` says whether the mission is fulfilled.

        `info["first_object_correct"]`: whether an object was turned to by now, the first one being an instructed one;
        None where this is no "go to" level.
        """
        with quietly():
            _, reward, terminated, truncated, _ = self.game.step(int(action))
        self._gaze.look()
        observation = self._observe()
        if self.speakers:
            observation["mic"] = self._noise(round(SAMPLE_RATE / RATE_HZ))
        info = {"success": reward > 0, "first_object_correct": self._gaze.verdict}
        return observation, float(reward), bool(terminated), bool(truncated), info

    def room(self, tile_pixels: int = 24) -> np.ndarray:
        """The whole room from above, uint8 (height, width, 3): for people, never for the policy."""
        return self.game.get_full_render(highlight=True, tile_size=tile_pixels)

    def frame(self) -> np.ndarray:
        """What the camera sees now, uint8 (56, 56, 3)."""
        return np.asarray(self.game.get_frame(tile_size=TILE_PIXELS, agent_pov=True), np.uint8)

    def _observe(self) -> dict[str, Any]:
        return {"camera": self.frame(), **({"instruction": self.mission} if self.written else {})}

    def _spoken_mission(self) -> np.ndarray:
        chosen = self.speakers[int(self._rng.integers(len(self.speakers)))]
        speech = chosen.say(self.mission)[:, None]
        start = round(self._rng.uniform(*LEAD_IN_S) * SAMPLE_RATE)
        stream = self._noise(start + len(speech) + round(TAIL_S * SAMPLE_RATE))
        stream[start : start + len(speech)] += speech
        return np.clip(stream, -1.0, 1.0)

    def _noise(self, samples: int) -> np.ndarray:
        return self._rng.standard_normal((samples, 1), np.float32) * np.float32(self._noise_level)

    def _swap(self) -> None:
        from minigrid.envs.babyai.core.verifier import GoToInstr, ObjDesc

        if not isinstance(self.game.instrs, GoToInstr):
            raise WorldError(f"{self.level}: only 'go to' missions can be swapped, not {self.mission!r}")
        asked = self.game.instrs.desc
        others = sorted({(o.color, o.type) for o in self.game.grid.grid if o and o.type in ("ball", "box", "key")})
        others = [other for other in others if other != (asked.color, asked.type)]
        if not others:
            raise WorldError(f"{self.level}: there is no other object in the room to swap the mission to")
        color, kind = others[int(self._rng.integers(len(others)))]
        self.game.instrs = GoToInstr(ObjDesc(kind, color))
        self.game.instrs.reset_verifier(self.game)
        self.game.surface = self.game.mission = self.game.instrs.surface(self.game)


class Gaze:
    """Which object the agent turned to first: what came to be in the cell in front of it.

    What it faced when the episode began was not its choice, and counts only if it is an instructed one.
    """

    def __init__(self, game: Any):
        from minigrid.envs.babyai.core.verifier import GoToInstr

        self._game = game
        self.scored = isinstance(game.instrs, GoToInstr)
        self._start = self._object_in_front()
        self.first_object_correct: bool | None = None

    @property
    def verdict(self) -> bool | None:
        """Whether an object was turned to, the first one being an instructed one; None where that is not scored."""
        return bool(self.first_object_correct) if self.scored else None

    def _object_in_front(self) -> Any:
        faced = self._game.grid.get(*self._game.front_pos)
        return faced if faced is not None and faced.type in ("ball", "box", "key", "door") else None

    def look(self) -> None:
        """Note what is in front after a step."""
        faced = self._object_in_front()
        if faced is not self._start:
            self._start = None  # what it faced at the start counts once it has looked away
        if not self.scored or self.first_object_correct is not None or faced is None:
            return
        correct = any(faced is asked for asked in self._game.instrs.desc.obj_set)
        if correct or faced is not self._start:
            self.first_object_correct = correct
