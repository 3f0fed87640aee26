"""Low-rank adapters (LoRA: Hu et al., ICLR 2022): a pretrained tower learns a little, and its own weights stay.

Adapters belong to training. For an export they are merged into the weights, and the plain architecture is back.
"""

import re
from typing import Any

from torch import nn

from sensorimotor.errors import EncoderError
from sensorimotor.perception.pretrained import encoder_library

SCALE = 2
"""What an adapter adds is multiplied by this, whatever its rank."""
PACKED = "in_proj_weight"
"""Queries, keys and values of an attention in one parameter, as `nn.MultiheadAttention` and open_clip have them."""


def adapt(tower: nn.Module, rank: int) -> None:
    """Put adapters beside all linear layers of a tower; nothing else in it learns from now on.

    They change nothing before they have learnt something.

    Args:
        tower: Changed in place.
        rank: Of the adapters.

    Raises:
        EncoderError: The tower has no linear layers.
        MissingExtraError: `peft` is not installed.
    """
    peft = encoder_library("peft", "peft")
    packed = [name for name, module in tower.named_modules() if isinstance(getattr(module, PACKED, None), nn.Parameter)]
    # peft has an adapter for nn.MultiheadAttention too, but it adds what the output layer has learnt twice, and leaves
    # rounding errors in the weights at every call (0.21). The output layer is left alone instead: torch reads its
    # weight and never calls it, so that an adapter beside it would do nothing.
    unused = {
        f"{name}.out_proj".lstrip(".")
        for name, module in tower.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    linear = [name for name, module in tower.named_modules() if isinstance(module, nn.Linear) and name not in unused]
    if not linear and not packed:
        raise EncoderError(f"training = 'lora' adapts linear layers, and {type(tower).__name__} has none")
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=SCALE * rank,
        target_modules="|".join(map(re.escape, linear)) if linear else [],
        target_parameters=[f"{name}.{PACKED}" for name in packed] or None,
    )
    peft.inject_adapter_in_model(config, tower)


def merge(tower: nn.Module) -> None:
    """Add to the weights of a tower what its adapters have learnt, and take the adapters away, in place."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted: list[tuple[str, Any]] = [
        (name, module) for name, module in tower.named_modules() if isinstance(module, BaseTunerLayer)
    ]
    for name, module in adapted:
        module.merge()
        tower.set_submodule(name, module.get_base_layer())
    del tower.peft_config  # left there by peft
