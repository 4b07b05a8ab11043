"""ShuffleNet v2 (arXiv 1807.11164) and SqueezeNet (arXiv 1602.07360) by torchvision's feature extractor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models._utils import IntermediateLayerGetter


@dataclass(frozen=True, slots=True)
class Stages:
    """Where the stages of a network end.

    Attributes:
        stages: The last module of each in `LightBody`, from the stem.
        maps: Layers that give the maps, at strides 8, 16 and 32; the last may be missing.
    """

    stages: tuple[str, ...]
    maps: tuple[str, ...]


def _stages(layers: str, maps: str) -> Stages:
    return Stages(tuple(f"layers.{layer}" for layer in layers.split()), tuple(maps.split()))


_SHUFFLENET = _stages("maxpool stage2 stage3 stage4", "stage2 stage3 stage4")
LIGHT = {
    **{f"shufflenet_v2_{width}": _SHUFFLENET for width in ("x0_5", "x1_0", "x1_5", "x2_0")},
    "squeezenet1_0": _stages("2 5 10 12", "10 12"),
    "squeezenet1_1": _stages("2 4 7 12", "7 12"),
}


class LightBody(nn.Module):
    """The maps of a light network.

    SqueezeNet ends at stride 16, so its last map, halved by a maximum, stands at stride 32; and its first convolution
    is padded here, which torchvision's is not, so that no pixel is lost at the edges and anchors lie where they should.

    Args:
        name: One of `LIGHT`.
        weights: torchvision's, or None.

    Attributes:
        channels: Of the maps.
    """

    def __init__(self, name: str, weights: Any) -> None:
        super().__init__()
        network: Any = get_model(name, weights=weights)
        network = getattr(network, "features", network)
        if isinstance(network, nn.Sequential):
            first: Any = network[0]
            first.padding = tuple(side // 2 for side in first.kernel_size)
        wanted = LIGHT[name].maps
        self.layers = IntermediateLayerGetter(network, {layer: layer for layer in wanted})
        self.halve = nn.MaxPool2d(3, 2, padding=1) if len(wanted) == 2 else None
        with torch.no_grad():
            training = self.training
            self.channels = [level.shape[1] for level in self.eval()(torch.zeros(1, 3, 64, 64))]
            self.train(training)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Three maps of Tensor[B, 3, H, W]."""
        maps: list[Tensor] = list(self.layers(images).values())
        return maps if self.halve is None else [*maps, self.halve(maps[-1])]
