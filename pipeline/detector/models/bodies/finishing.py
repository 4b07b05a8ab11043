"""What is done to every body once it is built: strides, frozen stages, normalisation, depthwise kernels, drop path."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from pipeline.detector.models.bodies.freezing import freeze_stages
from pipeline.detector.models.bodies.strides import require_strides
from pipeline.detector.models.depthwise import use_depthwise
from pipeline.detector.models.drop_path import schedule_drop_path
from pipeline.detector.models.norms import set_normalisation
from pipeline.settings import DetectorSettings


def finish(body: nn.Module, stages: Sequence[str], settings: DetectorSettings, frozen_stages: int) -> None:
    """Make a body what the settings say, in place.

    Args:
        body: Takes Tensor[B, 3, H, W] and gives three maps.
        stages: The last module of every stage, from the stem.
        settings: The network.
        frozen_stages: How many stages do not learn.

    Raises:
        ValueError: Its strides are others, its stages cannot be frozen, or it has no paths to drop.
    """
    name = settings.backbone
    require_strides(body, name, settings.output_stride)
    freeze_stages(body, stages, frozen_stages, name)
    set_normalisation(body, settings.batch_norm)
    use_depthwise(body)
    if settings.drop_path:
        schedule_drop_path(body, settings.drop_path, name)
