"""At which strides the maps of a body lie, as a forward pass shows it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

PYRAMID_STRIDES = (8, 16, 32, 64, 128)
BODY_STRIDES = PYRAMID_STRIDES[:3]
_MEASURED_PX = 256
"""Side of the image that strides are measured on."""


def strides_up_to(output_stride: int) -> list[int]:
    """Strides of a body's three maps, whose last ones are dilated so that none is coarser than `output_stride`."""
    return [min(stride, output_stride) for stride in BODY_STRIDES]


def require_strides(body: nn.Module, name: str, output_stride: int) -> None:
    """Refuse a body whose maps are not where their strides say: anchors would lie at the wrong places.

    A body without padding loses pixels at the edges, and is refused too.

    Raises:
        ValueError: They are not.
    """
    training = body.training
    with torch.no_grad():
        answer: Any = body.eval()(torch.zeros(1, 3, _MEASURED_PX, _MEASURED_PX))
    body.train(training)
    maps: list[Tensor] = list(answer.values()) if isinstance(answer, dict) else answer
    strides, sides = strides_up_to(output_stride), [tuple(level.shape[-2:]) for level in maps]
    if sides != [(_MEASURED_PX // stride,) * 2 for stride in strides]:
        raise ValueError(
            f"Expected a backbone with feature maps at strides {', '.join(map(str, strides[:-1]))} and {strides[-1]}, "
            f"{name!r} gives maps of {[side for _, side in sides]} pixels for {_MEASURED_PX}"
        )
