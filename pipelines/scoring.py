"""How good imitation is: losses, agreement, and errors in the units of the actions, each with an interval."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from sensorimotor.actions.head import Head
from sensorimotor.actions.space import ActionSpace
from sensorimotor.pipelines.evaluate import wilson

RESAMPLES = 1000
BINS = 20


@dataclass(frozen=True)
class Done:
    """What a network does on episodes that it did not learn from, and what should have been done.

    Attributes:
        parameters: What its head gave, `(steps, …)`.
        actions: What should have been done; see `EpisodeBatch`.
        weights: 0 where it is not known.
        episode: Which episode each step belongs to.
    """

    parameters: Tensor
    actions: Tensor
    weights: Tensor
    episode: np.ndarray

    def chosen(self, space: ActionSpace) -> dict[str, np.ndarray]:
        """Label → what it does at every step; of a `Discrete`, one row of choices."""
        match space.space:
            case spaces.Discrete():
                return {"choice": self.parameters.argmax(1).numpy()}
            case spaces.MultiBinary():
                return {space.label(i): (self.parameters[:, i] > 0).numpy() for i in range(space.size)}
        return {space.label(i): self.parameters[:, 0, i].numpy() for i in range(space.size)}

    def instead(self, space: ActionSpace, learnt: np.ndarray) -> "Done":
        """The same steps, if it had not looked at anything: the share of each choice, or the mean action.

        Args:
            space: What can be done.
            learnt: Every action that was learnt from.
        """
        count = len(self.parameters)
        match space.space:
            case spaces.Discrete():
                share = np.bincount(learnt, minlength=space.size) + 1e-6
                row = torch.from_numpy(np.log(share / share.sum()).astype(np.float32))
            case spaces.MultiBinary():
                on = learnt.mean(0).clip(1e-6, 1 - 1e-6)
                row = torch.from_numpy(np.log(on / (1 - on)).astype(np.float32))
            case _:
                row = torch.from_numpy(learnt.mean(0).astype(np.float32)).expand(self.parameters.shape[1:])
        return replace(self, parameters=row.expand(count, *row.shape))


def scored(space: ActionSpace, head: Head, done: Done) -> dict[str, Any]:
    """The loss, and for choices and switches `accuracy` with a Wilson interval; for vectors `error` per dimension.

    An error is the mean absolute one of the action for now, in the unit of its dimension, with a 95 % interval from
    resampling whole episodes: steps of one episode are alike.
    """
    known = done.weights.reshape(len(done.weights), -1)[:, 0] > 0
    if space.plans:
        loss = head.loss(done.parameters, done.actions, done.weights)
        wrong = (done.parameters[known, 0] - done.actions[known, 0]).abs().numpy()
        intervals = _intervals(wrong, done.episode[known.numpy()])
        error = {
            space.label(i): {
                "mean": float(wrong[:, i].mean()),
                "ci95": intervals[i],
                "unit": space.units[i] if space.units else "",
            }
            for i in range(space.size)
        }
        return {"loss": float(loss), "error": error}
    parameters, actions = done.parameters[known], done.actions[known]
    loss = head.loss(parameters, actions)
    right = parameters.argmax(1) == actions if actions.ndim == 1 else ((parameters > 0) == (actions > 0)).all(1)
    hits = int(right.sum())
    return {"loss": float(loss), "accuracy": hits / len(right), "ci95": list(wilson(hits, len(right)))}


def _intervals(wrong: np.ndarray, episode: np.ndarray) -> list[list[float]]:
    """The 95 % interval of each column's mean, by resampling episodes."""
    _, which = np.unique(episode, return_inverse=True)
    sums = np.stack([np.bincount(which, column) for column in wrong.T])
    counts = np.bincount(which)
    drawn = np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, len(counts)))
    means = sums[:, drawn].sum(2) / counts[drawn].sum(1)
    return [[float(low), float(high)] for low, high in np.percentile(means, [2.5, 97.5], axis=1).T]


def histograms(space: ActionSpace, actions: np.ndarray) -> dict[str, Any]:
    """How often what is done: label → count, or per dimension its moments and a histogram of 20 bins."""
    match space.space:
        case spaces.Discrete():
            counts = np.bincount(actions, minlength=space.size)
            return {space.label(i): int(count) for i, count in enumerate(counts)}
        case spaces.MultiBinary():
            return {space.label(i): int(actions[:, i].sum()) for i in range(space.size)}
    found = {}
    for i in range(space.size):
        column = actions[:, i].astype(np.float64)
        counts, edges = np.histogram(column, BINS)
        found[space.label(i)] = {
            "mean": float(column.mean()),
            "std": float(column.std()),
            "min": float(edges[0]),
            "max": float(edges[-1]),
            "histogram": counts.tolist(),
        }
    return found
