"""What the tests of pipelines share: the tiny recipe's demonstrations and speech, and small rooms built by hand."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def material(trained, tiny_recipe, tiny_cache, one_thread):
    """What the tiny recipe learns from, read from the cache that its training filled."""
    from sensorimotor.pipelines.material import gather

    return gather(tiny_recipe, tiny_cache, 1, lambda *_: None)


@pytest.fixture(scope="session")
def profiled(sensorimotor, tiny_bundle, tmp_path_factory):
    """`sensorimotor profile`: what it printed, and the page that it drew."""
    page = tmp_path_factory.mktemp("profiles") / "new" / "tiny.html"
    words = ("--rate", 30, "--batch", "4,1,2", "--decisions", 300, "--html", page, "--json")
    done = sensorimotor("profile", tiny_bundle, *words)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(page=page, done=done, report=json.loads(done.stdout))


@pytest.fixture
def room():
    """Builds a room of 8 x 8 with the agent at (3, 3) looking right: `room({(4, 3): "red ball"}, "red ball")`."""
    from minigrid.core.world_object import Ball, Box, Key
    from minigrid.envs.babyai.core.verifier import GoToInstr, ObjDesc

    from sensorimotor.pipelines.babyai import make_level, quietly

    kinds = {"ball": Ball, "box": Box, "key": Key}

    def build(objects, asked, agent=(3, 3), direction=0):
        game = make_level("BabyAI-GoToLocal-v0")
        with quietly():
            game.reset(seed=0)
        for x in range(1, 7):
            for y in range(1, 7):
                game.grid.set(x, y, None)
        for place, described in objects.items():
            color, kind = described.split()
            game.grid.set(*place, kinds[kind](color))
            game.grid.get(*place).cur_pos = place
        game.agent_pos, game.agent_dir = agent, direction
        color, kind = asked.split()
        game.instrs = GoToInstr(ObjDesc(kind, color))
        game.instrs.reset_verifier(game)
        return game

    return build


class MemoryTrack:
    def __init__(self, times_s, values):
        self.times_s, self.values = np.asarray(times_s, np.float64), values

    def read(self, samples):
        return [self.values[number] for number in samples]


class MemorySound:
    def __init__(self, times_s, chunks):
        self.times_s = np.asarray(times_s, np.float64)
        self.ends = np.cumsum([len(chunk) for chunk in chunks])
        self.whole = np.concatenate(chunks)

    def read(self, start, stop):
        return self.whole[start:stop]


@dataclass
class MemoryEpisode:
    name: str
    times_s: np.ndarray
    tracks: dict

    def track(self, feature, sample_rate=None):
        return self.tracks[feature]

    def sound(self, feature, sample_rate):
        return self.tracks[feature]


@dataclass
class MemorySource:
    """A source whose episodes are in memory."""

    features: dict
    episodes: list
    rate_hz: float | None = 10.0
    fingerprint: str = "memory"

    def __len__(self):
        return len(self.episodes)

    def episode(self, index):
        return self.episodes[index]


@pytest.fixture(scope="session")
def memory():
    """What sources in memory are made of."""
    return SimpleNamespace(Track=MemoryTrack, Sound=MemorySound, Episode=MemoryEpisode, Source=MemorySource)


@pytest.fixture(scope="session")
def drives(memory):
    """Builds a source in memory: `drives([3, 5])` has an episode of three steps and one of five, at 10 Hz.

    A `camera` whose brightness counts the steps, `speed` (two values), a `task` that is said at the beginning, and an
    `action`: `kind` is `text`, `choice`, `switches` or `vector`.
    """
    from sensorimotor.pipelines.episodes import Feature

    actions = {
        "text": (Feature("text"), lambda e, s: ("left", "right")[(e + s) % 2]),
        "choice": (Feature("choice"), lambda e, s: (e + s) % 3),
        "switches": (Feature("vector", (2,)), lambda e, s: np.array([e % 2, s % 2], np.float32)),
        "vector": (Feature("vector", (2,), ("x", "y"), ("m", "m")), lambda e, s: np.array([s, -e], np.float32)),
    }

    def build(lengths, kind="vector", rate_hz=10.0, without=()):
        feature, act = actions[kind]
        features = {
            "camera": Feature("image", (8, 8, 3), rate_hz=rate_hz),
            "speed": Feature("vector", (2,), ("v", "w"), ("m/s", "rad/s")),
            "task": Feature("text"),
            "action": feature,
        }
        episodes = []
        for e, steps in enumerate(lengths):
            times_s = np.arange(steps) / rate_hz
            tracks = {
                "camera": memory.Track(
                    times_s, [np.full((8, 8, 3), (10 * e + s) % 256, np.uint8) for s in range(steps)]
                ),
                "speed": memory.Track(times_s, [np.array([s, 2 * e], np.float32) for s in range(steps)]),
                "task": memory.Track(times_s[:1], [f"drive number {e}"]),
                "action": memory.Track(times_s, [act(e, s) for s in range(steps)]),
            }
            tracks |= {name: memory.Track([], []) for name in without}
            episodes.append(memory.Episode(f"episode {e}", times_s, tracks))
        return memory.Source(features, episodes, rate_hz)

    return build


@pytest.fixture(scope="session")
def bound(drives):
    """Binds such a source: `bound(drives([3]))`."""
    from sensorimotor.pipelines.contract import bind
    from sensorimotor.pipelines.episode_recipe import Contract
    from sensorimotor.pipelines.examples import acted

    def build(source, inputs=("camera", "speed", "task"), **contract):
        stated = {"inputs": {name: {"max_tokens": 8} if name == "task" else {} for name in inputs}, **contract}
        done = [one for i in range(len(source)) for one in acted(source.episode(i), "action")[1]]
        return bind(Contract.model_validate(stated), source, done)

    return build


@pytest.fixture(scope="session")
def logged():
    """Reads what was logged for Rerun, with its own reader: entity → rows in order, `{timeline or component: value}`.

    Times are in ns. What has one value has it itself, without the list around it.
    """
    import pyarrow as pa
    from rerun.chunk import RrdReader

    def columns(batch):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if "RowId" not in name and name != "log_time":
                column = column.cast(pa.int64()) if pa.types.is_duration(column.type) else column
                yield name, [one[0] if isinstance(one, list) and len(one) == 1 else one for one in column.to_pylist()]

    def read(path):
        found = {}
        for chunk in RrdReader(path).stream():
            batch = chunk.to_record_batch()
            given = dict(columns(batch))
            rows = [{name: values[row] for name, values in given.items()} for row in range(batch.num_rows)]
            found.setdefault(chunk.entity_path.strip("/"), []).extend(rows)
        return {entity: sorted(rows, key=lambda row: row.get("time", -1)) for entity, rows in found.items()}

    return read


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A second of video, and of speech-like sound, as options of `sensorimotor run`."""
    import wave

    from sensorimotor.pipelines.video import VideoWriter

    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    video = VideoWriter(folder / "clip.mp4", 20, 56, 56)
    for _ in range(20):
        video.write(np.repeat(np.repeat(rng.integers(0, 256, (7, 7, 3), np.uint8), 8, 0), 8, 1))
    video.close()
    loud = np.where(np.arange(16_000) % 16_000 < 8_000, 0.3, 1e-3) * rng.uniform(-1, 1, 16_000)
    with wave.open(str(folder / "clip.wav"), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(np.int16(np.roll(loud, 3_000) * 32767).tobytes())
    return (
        "--input", f"camera={folder / 'clip.mp4'}", "--input", f"mic={folder / 'clip.wav'}",
        "--input", "instruction=go to the red ball",
    )  # fmt: skip
