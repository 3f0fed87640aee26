"""Heads: an embedding becomes the parameters of an action, and how far those are from what should have been done."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from sensorimotor.actions.space import ActionSpace
from sensorimotor.errors import SignatureError


def _layers(dim: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, outputs))


class DiscreteHead(nn.Module):
    """One logit a choice, divided by a temperature that makes the probabilities honest on held-out data.

    Args:
        choices: How many there are.
        dim: Width of the embedding.
    """

    temperature: Tensor

    def __init__(self, choices: int, dim: int):
        super().__init__()
        self.layers = _layers(dim, choices)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, embedding: Tensor) -> Tensor:
        """`(batch, dim)` → calibrated logits `(batch, choices)`."""
        return self.layers(embedding) / self.temperature

    def loss(self, logits: Tensor, actions: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean cross-entropy (nats) of `actions`, int64 `(batch,)`; `weights` float32 `(choices,)`."""
        return F.cross_entropy(logits, actions, weights)


class MultiBinaryHead(DiscreteHead):
    """One logit a switch, divided by a temperature.

    Args:
        choices: How many switches there are.
        dim: Width of the embedding.
    """

    def loss(self, logits: Tensor, actions: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean cross-entropy (nats) of `actions`, int64 0 or 1 `(batch, switches)`; `weights` of those on."""
        return F.binary_cross_entropy_with_logits(logits, actions.float(), pos_weight=weights)


class BoxHead(nn.Module):
    """A plan of vectors by regression: un-normalised and clamped to the limits inside the graph.

    Args:
        space: Limits of a vector; all must be finite.
        dim: Width of the embedding.
        horizon: Vectors in a plan.
        mean: Of each dimension over the training data, in its own unit.
        std: Standard deviation of each dimension; dimensions that never change may have 0.

    Raises:
        SignatureError: A limit is infinite, or the statistics are not finite.
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        space: ActionSpace,
        dim: int,
        horizon: int = 1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        box = space.space
        assert isinstance(box, spaces.Box)
        low, high = box.low.ravel(), box.high.ravel()
        if endless := [space.label(int(i)) for i in np.flatnonzero(~np.isfinite(low) | ~np.isfinite(high))]:
            raise SignatureError(
                f"the action space has no limits for {', '.join(endless)}: actions are clamped, so state finite ones"
            )
        middle, reach = (low + high) / 2, (high - low) / 4
        centre = np.array(middle if mean is None else mean, np.float32)
        scale = np.array(reach if std is None else std, np.float32)
        if wrong := [space.label(int(i)) for i in np.flatnonzero(~np.isfinite(centre) | ~np.isfinite(scale))]:
            raise SignatureError(f"the mean or the standard deviation of {', '.join(wrong)} is no finite number")
        self.horizon, self.size = horizon, space.size
        self.layers = _layers(dim, horizon * space.size)
        for name, values in (("low", low), ("high", high), ("mean", centre), ("std", np.where(scale > 0, scale, 1.0))):
            self.register_buffer(name, torch.tensor(np.asarray(values, np.float32)))

    def forward(self, embedding: Tensor) -> Tensor:
        """`(batch, dim)` → plans `(batch, horizon, size)` in the units of the action space."""
        plan = self.layers(embedding).unflatten(-1, (self.horizon, self.size)) * self.std + self.mean
        # Clamped when it acts and not while it learns: beyond a limit a clamp has no gradient.
        return plan if self.training else torch.minimum(torch.maximum(plan, self.low), self.high)

    def loss(self, plan: Tensor, actions: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean absolute error in standard deviations.

        Args:
            plan: `(batch, horizon, size)`.
            actions: What should have been done, `(batch, horizon, size)`.
            weights: Of each action of a plan, `(batch, horizon)`: 0 behind the end of an episode.
        """
        error = ((plan - actions).abs() / self.std).mean(-1)
        return error.mean() if weights is None else (error * weights).sum() / weights.sum().clamp(min=1)


Head = DiscreteHead | MultiBinaryHead | BoxHead


def head_for(
    action_space: ActionSpace,
    dim: int,
    horizon: int = 1,
    statistics: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Head:
    """The head that gives actions of this space.

    Args:
        action_space: What can be done.
        dim: Width of the embedding.
        horizon: Actions in a plan; more than one only for `Box`.
        statistics: Mean and standard deviation of each dimension of a `Box` over the training data.

    Raises:
        SignatureError: A plan of choices is asked for, or see `BoxHead`.
    """
    if isinstance(action_space.space, spaces.Box):
        return BoxHead(action_space, dim, horizon, *(statistics or (None, None)))
    if horizon != 1:
        raise SignatureError(f"plans of {horizon} actions are for Box; {action_space.space} is decided anew every time")
    kind = DiscreteHead if isinstance(action_space.space, spaces.Discrete) else MultiBinaryHead
    return kind(action_space.size, dim)
