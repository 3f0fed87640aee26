"""Who takes turns in `batch.py`: this library, a loop in torch as one would write it, and OpenCV alone.

The loop in torch is a `DataLoader` whose workers decode with OpenCV, and the same network with the same weights, eager,
in inference mode. On episodes it encodes all frames of one at once and the mission once; the core goes step by step.
"""

import csv
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sensorimotor.memory import keep_memory

BATCH = 32
SIZE = (56, 56)
"""Of the bundled policy's camera: height and width."""


def ours(job: dict[str, Any]) -> dict[str, Any]:
    """`sensorimotor batch`."""
    import pyarrow.dataset as dataset

    from sensorimotor.models.execution import Execution
    from sensorimotor.pipelines.batch import run_batch
    from sensorimotor.pipelines.batch_input import InputSpec
    from sensorimotor.pipelines.batch_job import BatchJob

    with TemporaryDirectory() as folder:
        spec = InputSpec(job["input"], constants=job["constants"])
        execution = Execution(threads=job["threads"])
        out = Path(folder) / "out"
        began = time.perf_counter()
        report = run_batch(
            BatchJob(job["policy"], spec, out, workers=job["workers"], batch_size=BATCH, execution=execution)
        )
        took_s = time.perf_counter() - began
        rows = dataset.dataset(str(out / "shards") if (out / "shards").is_dir() else sorted(out.glob("part-*.parquet")))
        actions = rows.to_table(columns=["action"]).column("action").to_pylist()
        return {"rows": report["rows"], "s": took_s, "actions": actions}


def in_torch(job: dict[str, Any]) -> dict[str, Any]:
    """A `DataLoader` and a loop."""
    import torch
    from torch.utils.data import DataLoader

    from sensorimotor.models.bundle import Bundle
    from sensorimotor.models.torch_backend import TorchBackend

    torch.set_num_threads(job["threads"])
    bundle = Bundle.load(job["policy"])
    network, tokenizer = TorchBackend.from_bundle(bundle).network.eval(), bundle.tokenizer()
    size = tuple(bundle.signature.inputs["camera"].shape[:2])
    table = Path(job["input"])
    episodic = table.suffix == ".csv"
    data: Any = Episodes(table) if episodic else Photos(sorted(table.glob("*.jpg")), size)
    began = time.perf_counter()
    loader = DataLoader(
        data, batch_size=None if episodic else BATCH, num_workers=job["workers"], multiprocessing_context="fork"
    )
    told = job["constants"].get("instruction")
    actions: list[int] = []
    with torch.inference_mode():
        for batch in loader:
            frames, mission = batch if episodic else (batch, told)
            actions += _decided(torch, network, bundle, tokenizer, frames, mission, episodic)
    return {"rows": len(actions), "s": time.perf_counter() - began, "actions": actions}


def _decided(
    torch: Any, network: Any, bundle: Any, tokenizer: Any, frames: Any, mission: str | None, episodic: bool
) -> list[int]:
    """What the network chooses for some frames: one after another, or each by itself."""
    names, count = list(bundle.signature.names), len(frames)
    found = {"camera": network.encoders["camera"](frames)}
    if mission is not None:
        found["instruction"] = network.encoders["instruction"](torch.from_numpy(tokenizer.encode(mission))[None])
    present = torch.tensor([[name in found for name in names]])
    age = torch.zeros(1, len(names))
    memory = torch.zeros(1, bundle.memory_size)
    steps = [slice(i, i + 1) for i in range(count)] if episodic else [slice(0, count)]
    actions: list[int] = []
    for step in steps:
        rows = step.stop - step.start
        tokens, masks = [], []
        for name in names:
            some = found.get(name)
            if some is None:
                dim = bundle.config["encoders"][name]["dim"]
                tokens.append(torch.zeros(rows, 1, dim))
                masks.append(torch.zeros(rows, 1, dtype=torch.bool))
            else:
                own = [one[step] if len(one) == count else one.expand(rows, *one.shape[1:]) for one in some]
                tokens.append(own[0])
                masks.append(own[1])
        parameters, _, after = network.core(
            tokens, masks, present.expand(rows, -1), age.expand(rows, -1), memory.expand(rows, -1)
        )
        if episodic:
            memory = after
        actions += parameters.argmax(-1).tolist()
    return actions


class Photos:
    """Pictures by path, cut to the shape of the camera and made as large."""

    def __init__(self, paths: list[Path], size: tuple[int, int]):
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        return photo(self.paths[index], self.size)


class Episodes:
    """The pictures of each episode, and its mission."""

    def __init__(self, table: Path):
        found: dict[str, list[dict[str, str]]] = {}
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["episode"], []).append(row)
        self.rows, self.folder = list(found.values()), table.parent

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, str]:
        import cv2

        rows = self.rows[index]
        frames = [cv2.imread(str(self.folder / row["camera"]))[:, :, ::-1] for row in rows]
        return np.stack(frames), rows[0]["instruction"]


def photo(path: Path, size: tuple[int, int]) -> np.ndarray:
    """One picture as the policy takes it: RGB, cut in the middle, resized by area."""
    import cv2

    frame = cv2.imread(str(path))
    height, width = frame.shape[:2]
    if (height, width) != size:
        wide = min(width, round(height * size[1] / size[0]))
        left = (width - wide) // 2
        frame = cv2.resize(frame[:, left : left + wide], size[::-1], interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(frame[:, :, ::-1])


def decode(job: dict[str, Any]) -> dict[str, Any]:
    """OpenCV alone, in some processes, from when all of them are ready until the last is done: the ceiling.

    Each keeps the memory of one picture for the next, as ours do: without that it is a third slower.
    """
    paths, context = sorted(Path(job["input"]).glob("*.jpg")), get_context("spawn")
    ready, done = context.Barrier(job["workers"] + 1), context.Barrier(job["workers"] + 1)
    for first in range(job["workers"]):
        part = paths[first :: job["workers"]]
        context.Process(target=_decode_all, args=(part, ready, done), daemon=True).start()
    ready.wait()
    began = time.perf_counter()
    done.wait()
    return {"rows": len(paths), "s": time.perf_counter() - began, "actions": None}


def _decode_all(paths: list[Path], ready: Any, done: Any) -> None:
    keep_memory()
    photo(paths[0], SIZE)
    ready.wait()
    for path in paths:
        photo(path, SIZE)
    done.wait()


CONTENDERS = {"sensorimotor batch": ours, "torch DataLoader": in_torch, "OpenCV": decode}
