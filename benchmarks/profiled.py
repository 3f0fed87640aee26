"""Where the milliseconds of the bundled policy go, as `sensorimotor profile` finds out; its page is drawn in docs/.

    python benchmarks/profiled.py                # measures, and writes benchmarks/results/profile.json
    python benchmarks/profiled.py --picture      # draws docs/profile.png of that, with Chromium

A few minutes, most of them for `torch.compile`.
"""

import argparse
import json
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from sensorimotor.files import write_atomically
from sensorimotor.models.execution import Execution
from sensorimotor.pipelines.profile import profile
from sensorimotor.pipelines.profile_report import html_report

ROOT = Path(__file__).parents[1]
RESULTS, PICTURE = ROOT / "benchmarks" / "results" / "profile.json", ROOT / "docs" / "profile.png"
BATCHES = (1, 2, 4, 8, 16, 32, 64)
RATE_HZ = 30.0
WIDTH, HEIGHT, SHOWN = 1060, 2056, 760
"""Of the page down to the limits, and of the picture in docs/ (pixels)."""


def measure() -> None:
    """Profile the bundled policy; where it was on this machine is nobody's business."""
    report = profile(
        "default",
        execution=Execution(),
        batches=BATCHES,
        rate_hz=RATE_HZ,
        with_torch=True,
        told=lambda told: print(told),
    )
    del report["policy"]["path"]
    write_atomically(RESULTS, json.dumps(report) + "\n")


def draw() -> None:
    """Take a picture of the page."""
    import cv2

    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), "chromium")
    with TemporaryDirectory() as folder:
        page, picture = Path(folder) / "profile.html", Path(folder) / "profile.png"
        page.write_text(html_report(json.loads(RESULTS.read_text())))
        look = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}")
        subprocess.run([browser, *look, f"--screenshot={picture}", page.as_uri()], check=True)
        seen = cv2.imread(str(picture))
    small = cv2.resize(seen, (SHOWN, HEIGHT * SHOWN // WIDTH), interpolation=cv2.INTER_AREA)
    write_atomically(PICTURE, cv2.imencode(".png", small, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())


def main() -> None:
    """Measure or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", action="store_true", help="draw what was measured before")
    if parser.parse_args().picture:
        draw()
    else:
        measure()


if __name__ == "__main__":
    main()
