"""Stock `lerobot` 0.4.4, in an environment of its own, reads what we record, and we read what it records."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot import LeRobotSource
from sensorimotor.pipelines.recorder import Recorder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

STOCK = "lerobot==0.4.4"
RATE = 10
FRONT, WRIST = "observation.images.front", "observation.images.wrist"

READ = """
import sys
import numpy as np, pyarrow.parquet as pq
from pathlib import Path
from lerobot.datasets.compute_stats import aggregate_stats
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.utils import unflatten_dict

root, out, backend = sys.argv[1:]
data = LeRobotDataset("local/set", root=root, video_backend=backend)
columns = {}
for row in range(len(data)):
    for name, value in data[row].items():
        columns.setdefault(name, []).append(value if isinstance(value, str) else value.numpy())

parts = []
for path in sorted(Path(root).glob("meta/episodes/*/*.parquet")):
    for row in pq.read_table(path).to_pylist():
        flat = {name[6:]: np.array(value) for name, value in row.items() if name.startswith("stats/")}
        parts.append(unflatten_dict(flat))
for name, stats in aggregate_stats(parts).items():
    for statistic, value in stats.items():
        assert np.allclose(value, data.meta.stats[name][statistic]), (name, statistic)

chunk = LeRobotDataset("local/set", root=root, video_backend=backend, delta_timestamps={"action": [0, 0.1, 0.2]})
assert chunk[0]["action"].shape[0] == 3
np.savez(out, **{name: np.array(values) for name, values in columns.items()})
print(data.num_episodes, data.num_frames)
"""

WRITE = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

root, videos, goes_on = sys.argv[1], sys.argv[2] == "video", sys.argv[3:] == ["goes on"]
features = {
    "observation.images.front": {"dtype": sys.argv[2], "shape": (48, 64, 3), "names": ["height", "width", "channels"]},
    "observation.state": {"dtype": "float32", "shape": (3,), "names": {"motors": ["pan", "lift", "grip"]}},
    "action": {"dtype": "float32", "shape": (2,), "names": ["dx", "dy"]},
    "next.done": {"dtype": "bool", "shape": (1,), "names": None},
    "map": {"dtype": "float32", "shape": (2, 3), "names": None},
    "reward": {"dtype": "float32", "shape": (1,), "names": None},
    "said": {"dtype": "string", "shape": (1,), "names": None},
}
data = LeRobotDataset.create("local/set", fps=10, features=features, root=root, use_videos=videos)
rng = np.random.default_rng(0)
for episode in range(3):
    for step in range(8 + episode):
        y, x = np.mgrid[:48, :64]
        picture = np.stack([x * 3 + step * 4, y * 4, x + y + episode * 30], -1).astype(np.uint8)
        data.add_frame({
            "observation.images.front": picture,
            "observation.state": rng.normal(size=3).astype(np.float32),
            "action": rng.normal(size=2).astype(np.float32),
            "next.done": np.array([step == 7 + episode]),
            "map": rng.normal(size=(2, 3)).astype(np.float32),
            "reward": np.array([step / 3], np.float32),
            "said": f"word {step}",
            "task": "push" if episode < 2 else "pull",
        })
    data.save_episode()
data.finalize()
"""

APPEND = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

data = LeRobotDataset("local/set", root=sys.argv[1], vcodec="h264", video_backend="pyav")
given = [name for name in data.features if name not in
         ("timestamp", "frame_index", "episode_index", "index", "task_index")]
for step in range(5):
    frame = {"task": "what stock LeRobot adds"}
    for name in given:
        what = data.features[name]
        frame[name] = "no words" if what["dtype"] == "string" else np.full(
            what["shape"], step, "uint8" if what["dtype"] == "video" else what["dtype"])
    data.add_frame(frame)
data.save_episode()
data.finalize()
"""


@pytest.fixture(scope="module")
def stock(request, tmp_path_factory):
    """Runs a script with stock LeRobot; its environment (8 GB) is made once and kept in pytest's cache."""
    folder = Path(request.config.cache.mkdir(STOCK.replace("==", "-")))
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", STOCK], check=True)
        (folder / "complete").touch()
    home = str(tmp_path_factory.mktemp("home"))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"HOME": home, "HF_HOME": home, "HF_HUB_OFFLINE": "1"}

    def run(script, *words):
        call = [str(python), "-c", script, *map(str, words)]
        done = subprocess.run(call, capture_output=True, text=True, check=False, env=env)
        if "Could not load libtorchcodec" in done.stderr:
            pytest.skip("torchcodec needs the libraries of FFmpeg")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def picture(episode, step, height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 3 + step * 4, y * 4, x + y + episode * 30], -1).astype(np.uint8)


RECORDED = {
    FRONT: Feature("image", (48, 64, 3)),
    WRIST: Feature("image", (35, 33, 3)),
    "observation.state": Feature("vector", (3,), ("x", "y", "angle"), ("m", "m", "rad")),
    "observation.force": Feature("vector", (1,)),
    "action": Feature("vector", (2,)),
    "label": Feature("choice"),
    "said": Feature("text"),
    "audio.mic": Feature("audio", (2,), rate_hz=16_000, stream=True),
}


def record(root, crf, episodes=3, features=RECORDED):
    rng = np.random.default_rng(0)
    with Recorder(root, features, RATE, crf=crf) as recorder:
        for episode in range(episodes):
            for step in range(12 + episode):
                time_s = 3.0 + step / RATE + rng.uniform(0, 0.02)
                values = {
                    FRONT: picture(episode, step, 48, 64),
                    WRIST: picture(episode, step, 35, 33),
                    "observation.state": rng.normal(size=3) if step % 5 else None,
                    "observation.force": [step],
                    "action": rng.normal(size=2),
                    "label": step % 4,
                    "said": f"word {step}",
                }
                recorder.add({name: value for name, value in values.items() if name in features}, time_s)
                recorder.add_sound("audio.mic", rng.uniform(-1, 1, (1600, 2)).astype(np.float32), time_s)
            recorder.commit("go" if episode < 2 else "stop")
    return root


def same(root, path):
    """Whether our reader finds what stock LeRobot found, value by value and pixel by pixel."""
    source, stock = LeRobotSource(root), np.load(path)
    at = 0
    for number in range(len(source)):
        episode = source.episode(number)
        steps = len(episode.times_s)
        rows = slice(at, at + steps)
        if "capture_time_s" in stock:  # torch makes 32 bits of it
            assert np.array_equal(stock["capture_time_s"][rows], episode.times_s.astype(np.float32))
        else:
            assert np.array_equal(stock["timestamp"][rows], episode.times_s.astype(np.float32))
        for name, feature in source.features.items():
            if feature.kind == "audio":
                continue
            track = episode.track(name)
            ours, theirs = track.read(range(len(track.times_s))), stock[name][rows]
            if name == "task":
                assert (theirs == ours[0]).all()
            elif feature.kind == "image":
                assert np.array_equal(np.rint(theirs * 255).transpose(0, 2, 3, 1), ours), (number, name)
            elif feature.kind == "vector":
                theirs = theirs.reshape(steps, -1)
                assert np.array_equal(theirs[np.isfinite(theirs).all(1)], ours), (number, name)
            else:
                assert list(theirs) == ours, (number, name)
        at += steps
    assert at == len(stock["index"])
    return source


@pytest.mark.parametrize("crf", [0, 18])
@pytest.mark.parametrize("backend", ["pyav", "torchcodec"])
def test_stock_lerobot_reads_what_we_record_frame_for_frame(stock, tmp_path, backend, crf):
    root = record(tmp_path / "set", crf)
    assert stock(READ, root, tmp_path / "read.npz", backend).splitlines()[-1] == "3 39"
    same(root, tmp_path / "read.npz")
    if crf == 0:
        frames = np.rint(np.load(tmp_path / "read.npz")[WRIST] * 255).transpose(0, 2, 3, 1)
        assert np.array_equal(frames, [picture(e, s, 35, 33) for e in range(3) for s in range(12 + e)])


@pytest.mark.parametrize("kind", ["video", "image"])
def test_we_read_what_stock_lerobot_records_frame_for_frame(stock, tmp_path, kind):
    root = tmp_path / "set"
    stock(WRITE, root, kind)
    assert stock(READ, root, tmp_path / "read.npz", "pyav").splitlines()[-1] == "3 27"
    source = same(root, tmp_path / "read.npz")
    assert source.features["observation.state"].names == ("pan", "lift", "grip")
    assert [source.episode(number).track("task").read([0]) for number in range(3)] == [["push"], ["push"], ["pull"]]
    if kind == "image":
        frames = source.episode(2).track(FRONT).read(range(10))
        assert np.array_equal(frames, [picture(2, step, 48, 64) for step in range(10)])


def test_a_recording_goes_on_after_stock_lerobot_has_added_to_it(stock, tmp_path):
    even = {name: feature for name, feature in RECORDED.items() if name != WRIST}  # it cannot write odd sizes itself
    root = record(tmp_path / "set", 18, 2, even)
    stock(APPEND, root)
    with Recorder(root, even, RATE) as recorder:
        assert (recorder.recovered, recorder.episodes) == (None, 3)
    record(root, 18, 1, even)
    assert stock(READ, root, tmp_path / "read.npz", "pyav").splitlines()[-1] == "4 42"
    source = LeRobotSource(root)
    assert source.episode(2).track("task").read([0]) == ["what stock LeRobot adds"]
    assert np.array_equal(source.episode(2).track("action").read([4]), [[4, 4]])
    assert len(source.episode(2).track(FRONT).read(range(5))) == 5
    assert len(source.episode(3).sound("audio.mic", 16_000).times_s) == 12
