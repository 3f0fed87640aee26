"""Drawing for the web in plain SVG: a canvas, and scales that put values on it. Colours are classes of the page."""

import math
from collections.abc import Callable, Sequence
from html import escape

Scale = Callable[[float], float]
"""A value → where it is on the canvas."""


def number(value: float) -> str:
    """A coordinate, short.

    >>> number(12.0), number(0.1234)
    ('12', '0.12')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


class Canvas:
    """A drawing of a fixed size that a page may scale; what is drawn later lies on top.

    Args:
        width: In the unit of its coordinates.
        height: The same.
        label: What it shows, for those who cannot see it.

    >>> canvas = Canvas(100, 50, "a line")
    >>> canvas.line(0, 0, 100, 50, "grid")
    >>> "<line" in str(canvas)
    True
    """

    def __init__(self, width: float, height: float, label: str):
        self.width, self.height, self._label = width, height, label
        self._parts: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
        self._parts.append(f'<line class="{kind}" {ends}/>')

    def bar(self, x: float, y: float, width: float, height: float, kind: str, tip: str = "", radius: float = 2) -> None:
        """A rectangle with round corners; `tip` is shown where a pointer rests on it."""
        radius = min(radius, width / 2, height / 2)
        place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
        self._add("rect", f'{place} rx="{number(radius)}"', kind, tip)

    def dot(self, x: float, y: float, radius: float, kind: str, tip: str = "") -> None:
        """A circle."""
        self._add("circle", f'cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"', kind, tip)

    def path(self, points: Sequence[tuple[float, float]], kind: str, tip: str = "", *, closed: bool = False) -> None:
        """A line through points, or the area within them."""
        through = " L".join(f"{number(x)} {number(y)}" for x, y in points)
        self._add("path", f'd="M{through}{" Z" if closed else ""}"', kind, tip)

    def text(
        self, x: float, y: float, said: str, kind: str = "label", anchor: str = "start", degrees: float = 0
    ) -> None:
        """A line of text, turned about `x`, `y`; `anchor` says which end of it is there: start, middle or end."""
        place = f'x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"'
        if degrees:
            place += f' transform="rotate({number(degrees)} {number(x)} {number(y)})"'
        self._parts.append(f'<text class="{kind}" {place}>{escape(said)}</text>')

    def _add(self, tag: str, attributes: str, kind: str, tip: str) -> None:
        inside = f"<title>{escape(tip)}</title>" if tip else ""
        self._parts.append(f'<{tag} class="{kind}" {attributes}>{inside}</{tag}>')

    def __str__(self) -> str:
        size = f'viewBox="0 0 {number(self.width)} {number(self.height)}"'
        drawn = "\n".join(self._parts)
        return f'<svg {size} role="img" aria-label="{escape(self._label, quote=True)}">\n{drawn}\n</svg>'


def linear(domain: tuple[float, float], span: tuple[float, float]) -> Scale:
    """Equal steps.

    >>> linear((0, 10), (100, 200))(5)
    150.0
    """
    (low, high), (start, stop) = domain, span
    return lambda value: start + (value - low) / ((high - low) or 1.0) * (stop - start)


def logarithmic(domain: tuple[float, float], span: tuple[float, float]) -> Scale:
    """Equal factors; nothing lies below the least value.

    >>> logarithmic((1, 100), (0, 200))(10)
    100.0
    """
    scale = linear((math.log10(domain[0]), math.log10(domain[1])), span)
    return lambda value: scale(math.log10(max(value, domain[0])))


def round_steps(highest: float, most: int = 5) -> list[float]:
    """Round values from 0 to about the highest.

    >>> round_steps(23)
    [0.0, 5.0, 10.0, 15.0, 20.0]
    """
    if highest <= 0:
        return [0.0]
    rough = highest / most
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * factor for factor in (1, 2, 2.5, 5, 10) if scale * factor >= rough * 0.999)
    return [step * i for i in range(int(highest / step * 1.0001) + 1)]


def decades(low: float, high: float) -> list[float]:
    """The powers of ten between two values; where they are few, also their doubles and halves, or all their multiples.

    >>> decades(0.05, 200), decades(3, 30)
    ([0.1, 1.0, 10.0, 100.0], [5.0, 10.0, 20.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks: list[float] = []
    for factors in ((1,), (1, 2, 5), range(1, 10)):
        every = (factor * 10.0**power for power in range(first, last + 1) for factor in factors)
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) > 2:
            break
    return ticks
