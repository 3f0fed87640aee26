"""Makes the animated picture of the README from the film of a demonstration.

python docs/gif.py demo-out/demo.mp4 --start 0 --seconds 9
"""

import argparse
from pathlib import Path

import av

from sensorimotor.pipelines.film import write_gif

FPS = 5
"""Every fifth picture of the film's 25 a second."""


def main() -> None:
    """Cut a piece out of the film."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("film", type=Path)
    parser.add_argument("--start", type=float, default=0.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=9.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "demo.gif")
    arguments = parser.parse_args()
    stop = arguments.start + arguments.seconds
    with av.open(str(arguments.film)) as film:
        pictures = [
            frame.to_ndarray(format="rgb24")
            for number, frame in enumerate(film.decode(video=0))
            if number % 5 == 0 and arguments.start <= (frame.time or 0.0) < stop
        ]
    write_gif(arguments.out, pictures, FPS)


if __name__ == "__main__":
    main()
