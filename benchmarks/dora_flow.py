"""The same jobs as data flows of dora-rs: a camera node and a policy node, each a process of its own.

Run by the Python of an environment that has dora-rs, numpy and OpenCV; this file is also what its nodes run.

    python dora_flow.py camera URL                      a node: every frame of a stream, as soon as it is there
    python dora_flow.py frames RATE HEIGHT WIDTH        a node: frames without a camera, stamped when they are made
    python dora_flow.py policy SECONDS ROWS OUT         a node: works on each frame that it is given, and acts
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from busy_work import ONE_THREAD, InNumpy


def run_flow(python: Path, camera: list[str], seconds: float, rows: int, queue_size: int | None) -> list[Any]:
    """Run the flow and return what its policy node measured: `[stamp of the frame, time of the action]`, both in ns.

    Args:
        python: Of the environment with dora-rs.
        camera: Arguments of the camera node, `frames` or `camera` first.
        seconds: From the first frame on (s).
        rows: How much the policy computes for each frame (see `InNumpy`).
        queue_size: Of the policy's input; None: dora's default.
    """
    queue = "" if queue_size is None else f"\n        queue_size: {queue_size}"
    with TemporaryDirectory() as folder:
        out, flow = Path(folder) / "out.json", Path(folder) / "flow.yml"
        here = Path(__file__).resolve()
        flow.write_text(
            f"""nodes:
  - id: camera
    path: {python}
    args: {here} {" ".join(camera)}
    outputs: [image]
  - id: policy
    path: {python}
    args: {here} policy {seconds} {rows} {out}
    inputs:
      image:
        source: camera/image{queue}
"""
        )
        command = [str(python.with_name("dora")), "run", str(flow), "--stop-after", f"{seconds + 8:.0f}s"]
        env = {**os.environ, **ONE_THREAD}
        env.pop("PYTHONPATH", None)  # the nodes have an environment of their own
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=seconds + 60, check=False, env=env
        )
        if not out.exists():
            sys.exit(f"dora measured nothing:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return json.loads(out.read_text())


def camera_node(url: str) -> None:
    import cv2
    import pyarrow as pa
    from dora import Node

    node = Node()
    film = cv2.VideoCapture(url)
    while True:
        there, frame = film.read()
        if not there:
            return
        node.send_output("image", pa.array(frame.ravel()), {"height": frame.shape[0], "width": frame.shape[1]})


def frames_node(rate_hz: float, height: int, width: int) -> None:
    import numpy as np
    import pyarrow as pa
    from dora import Node

    node = Node()
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    due_s = time.monotonic()
    while True:
        due_s = max(due_s + 1 / rate_hz, time.monotonic() - 1)
        time.sleep(max(0.0, due_s - time.monotonic()))
        frame = frame + 1  # noqa: PLR6104 (memory of its own, as a camera's would be)
        stamp_ns = time.monotonic_ns()
        node.send_output("image", pa.array(frame.ravel()), {"height": height, "width": width, "stamp_ns": stamp_ns})


def policy_node(seconds: float, rows: int, out: Path) -> None:
    from dora import Node

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "perception"))
    from mjpeg_camera import read_stamp

    compute = InNumpy(rows) if rows else lambda: None
    node, until_ns, seen = Node(), None, []
    for event in node:
        if event["type"] != "INPUT":
            if event["type"] == "STOP":
                break
            continue
        metadata = event["metadata"]
        frame = event["value"].to_numpy(zero_copy_only=True).reshape(metadata["height"], metadata["width"], 3)
        compute()
        acted_ns = time.monotonic_ns()
        seen.append((metadata.get("stamp_ns") or frame[:60].copy(), acted_ns))
        until_ns = until_ns or acted_ns + round(seconds * 1e9)
        if acted_ns >= until_ns:
            break
    stamps = [(one if isinstance(one, int) else read_stamp(one), acted_ns) for one, acted_ns in seen]
    out.write_text(json.dumps(stamps))


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "camera":
        camera_node(words[0])
    elif what == "frames":
        frames_node(float(words[0]), int(words[1]), int(words[2]))
    else:
        policy_node(float(words[0]), int(words[1]), Path(words[2]))
