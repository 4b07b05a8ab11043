"""torchvision's COCO weights in a network of ours."""

from __future__ import annotations

from torch import nn
from torchvision.models import get_model_weights

from pipeline.errors import ArtefactError
from pipeline.settings import DetectorSettings

COCO_WEIGHTS = {
    ("retinanet", "torchvision:resnet50"): "retinanet_resnet50_fpn",
    ("fcos", "torchvision:resnet50"): "fcos_resnet50_fpn",
    ("faster_rcnn", "torchvision:resnet50"): "fasterrcnn_resnet50_fpn",
    ("faster_rcnn", "torchvision:mobilenet_v3_large"): "fasterrcnn_mobilenet_v3_large_320_fpn",
}
"""torchvision's model by architecture and backbone."""


def load_coco(network: nn.Module, settings: DetectorSettings) -> None:
    """Load torchvision's COCO weights into all but the layers that name classes.

    Args:
        network: Built for one of `COCO_WEIGHTS`.
        settings: Names architecture and backbone.

    Raises:
        ArtefactError: The weights do not fit the network.
    """
    weights = get_model_weights(COCO_WEIGHTS[settings.architecture, settings.backbone]).DEFAULT
    offered, wanted = weights.get_state_dict(progress=True, check_hash=True), network.state_dict()
    fitting = {key: value for key, value in offered.items() if key in wanted and wanted[key].shape == value.shape}
    left_random = sorted(wanted.keys() - fitting.keys())
    if any("cls" not in key and "predictor" not in key for key in left_random):
        raise ArtefactError(f"Expected COCO weights for all but the class layers, found none for {left_random[:5]}")
    network.load_state_dict(fitting, strict=False)
