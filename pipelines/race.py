"""Which of several ways of doing a thing is the cheapest: those that do badly are measured less (successive halving).

All take turns, so that whatever else the machine does meets each of them alike. After every round the dearer half of
the challengers is out, and the rest is measured twice as long (Jamieson and Talwalkar 2016, arXiv:1502.07943).
"""

from collections.abc import Callable, Sequence

from sensorimotor.pipelines.paired import FEWEST, Gain, gain

Measure = Callable[[str, int], float]
"""What one turn costs: of whom, and which turn it is. Equal turns do equal work."""


def race(
    champion: str, challengers: Sequence[str], measure: Measure, going: Callable[[], bool] = lambda: True
) -> dict[str, Gain]:
    """Measure until one challenger is left, or the time is over.

    Args:
        champion: What is to be beaten; it takes part in every turn.
        challengers: Different names.
        measure: Runs one turn.
        going: Whether there is time left; asked after each turn of all, once there are enough to say anything.

    Returns:
        Challenger → its gain over the champion.
    """
    costs: dict[str, list[float]] = {name: [] for name in (champion, *challengers)}

    def gains() -> dict[str, Gain]:
        return {name: gain(costs[champion], costs[name]) for name in challengers}

    left, turn, turns = list(challengers), 0, FEWEST
    while left:
        for _ in range(turns):
            take_turns([champion, *left], turn, measure, costs)
            turn += 1
            if turn >= FEWEST and not going():
                return gains()
        if len(left) == 1 and turn > FEWEST:
            break
        known = gains()
        left = sorted(left, key=lambda name: -known[name].ratio)[: (len(left) + 1) // 2]
        turns *= 2
    return gains()


def take_turns(names: Sequence[str], turn: int, measure: Measure, costs: dict[str, list[float]]) -> None:
    """Measure one turn of each; odd turns go the other way round, so that nobody always comes after the same one."""
    for name in names if turn % 2 == 0 else reversed(names):
        costs[name].append(measure(name, turn))


def winner(gains: dict[str, Gain]) -> str | None:
    """The challenger with the largest gain, of those whose gain is beyond noise."""
    better = {name: one.ratio for name, one in gains.items() if one.beyond_noise}
    return max(better, key=better.__getitem__, default=None)
