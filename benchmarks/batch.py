"""`sensorimotor batch` against what one would write in torch, and against the machine: rows a second.

    python benchmarks/batch.py

Three jobs, whose contenders take turns on the same files, each in a process of its own:

- `vit`: ViT-B/32 of open_clip with random weights on 2,000 JPEGs of 640 x 480
- `default`: the bundled policy on recorded episodes (a table of PNGs of 56 x 56 and missions, each episode four times),
  memory carried along
- `decode`: the bundled policy on the same JPEGs, eight times over: nearly all of it is decoding

The clock of the loop in torch starts when the network is there and before the first worker is; that of `sensorimotor
batch` before the policy is loaded, and stops when all files are durable. The ceiling of decoding is OpenCV alone, in as
many processes, with nothing else at work: what two of them gain over one is what a second core is worth. What both
decide is compared. Writes `benchmarks/results/batch.json`.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from batch_contenders import BATCH, CONTENDERS

from sensorimotor.files import write_atomically
from sensorimotor.pipelines.hardware import describe_machine, today, versions

RESULTS = Path(__file__).resolve().parent / "results" / "batch.json"
HEIGHT, WIDTH, QUALITY = 480, 640, 90
REPEATED, PLAYED_BACK = 8, 4
INSTRUCTION = "go to the red ball"
LABELS = ("left", "right", "forward", "wait")


def make_photos(folder: Path, count: int) -> None:
    """JPEGs with as much in them as photographs have: smooth shapes, edges and noise, some 100 KB each."""
    import cv2

    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        few = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        coarse = cv2.resize(few, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        for _ in range(12):
            corner = rng.integers(0, (WIDTH, HEIGHT))
            colour = [int(one) for one in rng.integers(0, 256, 3)]
            cv2.circle(coarse, [int(one) for one in corner], int(rng.integers(8, 90)), colour, -1)
        noisy = coarse.astype(np.int16) + rng.normal(0, 6, coarse.shape).astype(np.int16)
        frame = np.clip(noisy, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:05}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def repeat(photos: Path, folder: Path, times: int) -> None:
    """The same pictures several times, without a second copy."""
    folder.mkdir()
    for number in range(times):
        for photo in photos.iterdir():
            os.link(photo, folder / f"{number}-{photo.name}")


def make_episodes(folder: Path, episodes: int) -> None:
    """The bundled policy plays; what it sees becomes a table of pictures."""
    import cv2

    from sensorimotor.models.policy import Policy
    from sensorimotor.pipelines.worlds import make_world

    folder.mkdir()
    policy, world = Policy.load("default"), make_world("BabyAI-GoToLocal-v0")
    with (folder / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["episode", "time", "camera", "instruction"])
        for episode in range(episodes):
            rows: list[tuple[float, str, str]] = []
            observation, _ = world.reset(seed=episode)
            policy.reset()
            over, step = False, 0
            while not over:
                shown = {name: observation[name] for name in ("camera", "instruction")}
                name = f"{episode:04}-{step:03}.png"
                cv2.imwrite(str(folder / name), shown["camera"][:, :, ::-1])
                rows.append((step / 10, name, shown["instruction"]))
                observation, _, ended, cut, _ = world.step(policy.act(shown).executed)
                over, step = ended or cut, step + 1
            for copy in range(PLAYED_BACK):
                table.writerows([copy * episodes + episode, *row] for row in rows)


def make_policy(folder: Path) -> None:
    """ViT-B/32 and a choice of four, with random weights."""
    import torch

    from sensorimotor.actions.space import Discrete
    from sensorimotor.models.export import write_unproven
    from sensorimotor.models.network import Network, NetworkSpec
    from sensorimotor.models.signature import Constant, Signature
    from sensorimotor.perception.architectures import known_architecture
    from sensorimotor.perception.clip import ClipSpec
    from sensorimotor.perception.modality import Image

    folder.mkdir()
    torch.manual_seed(0)
    clip = ClipSpec(model="ViT-B-32", pretrained="laion2b_s34b_b79k")
    clip = clip.model_copy(update={"architecture": known_architecture(clip)})
    signature = Signature(
        {"camera": Image(height=HEIGHT, width=WIDTH)}, Discrete(len(LABELS), LABELS), Constant(len(LABELS) - 1), 10.0
    )
    network = Network(signature, NetworkSpec(encoders={"camera": clip}))
    stated = {"name": "vit", "description": "For a measurement.", "metrics": {}, "provenance": {}, "weights": []}
    write_unproven(network, folder, stated)


def turn(contender: str, job: dict[str, Any]) -> dict[str, Any]:
    """One contender's turn, in a process of its own."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--contender", contender, json.dumps(job)],
        stdout=subprocess.PIPE, text=True, check=True, timeout=3600,
    )  # fmt: skip
    answer = json.loads(done.stdout.splitlines()[-1])
    return {**answer, "process_s": time.perf_counter() - began}


def main() -> None:
    """Have all of them take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=["default", "decode", "vit"])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder / "photos", arguments.photos)
        make_episodes(folder / "episodes", arguments.episodes)
        if "vit" in arguments.only:
            make_policy(folder / "vit")
        repeat(folder / "photos", folder / "many", REPEATED)
        photos, table = str(folder / "photos"), str(folder / "episodes" / "table.csv")
        told = {"instruction": INSTRUCTION}
        base = {"constants": {}, "workers": 1, "threads": 1}
        rivals = ("sensorimotor batch", "torch DataLoader")
        vit = {**base, "policy": str(folder / "vit"), "input": photos}
        default = {**base, "policy": "default", "input": table}
        decoding = {**base, "policy": "default", "input": str(folder / "many"), "constants": told}
        plan: list[tuple[str, str, dict[str, Any], int]] = []
        for who in rivals:
            plan.append(("default", who, default, arguments.turns))
            plan += [("decode", who, {**decoding, "workers": workers}, arguments.turns) for workers in (1, 2)]
            plan += [("vit", who, {**vit, "threads": threads}, 1) for threads in (1, 2)]
        plan += [("decode", "OpenCV", {**decoding, "workers": workers}, arguments.turns) for workers in (1, 2)]
        rows: dict[str, dict[str, Any]] = {}
        decided: dict[str, Any] = {}
        for number in range(arguments.turns):
            for job_name, who, job, turns in plan:
                if number >= turns or job_name not in arguments.only:
                    continue
                done = turn(who, job)
                key = f"{job_name} / {who} / {job['workers']} decoding / {job['threads']} computing"
                row = rows.setdefault(key, {"rows": done["rows"], "s": [], "process_s": [], "agree": None})
                row["s"].append(done["s"])
                row["process_s"].append(done["process_s"])
                if done["actions"] is not None:
                    first = decided.setdefault(job_name, done["actions"])
                    row["agree"] = float(np.mean(np.array(first) == np.array(done["actions"])))
                print(key, round(done["rows"] / done["s"], 1), "rows/s", row["agree"], flush=True)
    report = {
        "jobs": rows,
        "photos": {"count": arguments.photos, "height": HEIGHT, "width": WIDTH, "quality": QUALITY},
        "episodes": arguments.episodes * PLAYED_BACK,
        "batch": BATCH,
        "turns": arguments.turns,
        "load_before": round(load, 2),
        "nice": os.nice(0),
        "real_time": os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR),
        "date": today(),
        "hardware": describe_machine(),
        "versions": versions("onnxruntime", "torch", "opencv-python-headless", "pyarrow", "numpy"),
    }
    write_atomically(arguments.out, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        print(json.dumps(CONTENDERS[sys.argv[2]](json.loads(sys.argv[3]))))
    else:
        main()
