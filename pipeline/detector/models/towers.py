"""What lies between the feature pyramid and the predictions of RetinaNet's head."""

from __future__ import annotations

from torch import nn

from pipeline.settings import DetectorSettings

GROUPS = 8
"""Of group normalisation, few enough for narrow heads."""


def build_tower(channels: int, settings: DetectorSettings) -> nn.Sequential:
    """Make the convolutions of a head, each followed by a rectifier; weights are named as torchvision's.

    They are drawn as arXiv 1502.01852 has it: with RetinaNet's deviation of 0.01 and no normalisation, every further
    convolution shrinks what comes through to a fifth, which a short run never makes up for.

    Args:
        channels: Of the feature pyramid.
        settings: How many, and whether they are normalised.

    Returns:
        Tensor[B, channels, H, W] to the same shape.
    """
    return nn.Sequential(*(_block(channels, settings.head_norm == "group") for _ in range(settings.head_convs)))


def _block(channels: int, normalised: bool) -> nn.Sequential:
    layer = nn.Conv2d(channels, channels, 3, padding=1, bias=not normalised)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if normalised:
        return nn.Sequential(layer, nn.GroupNorm(GROUPS, channels), nn.ReLU(inplace=True))
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(layer, nn.ReLU(inplace=True))
