"""What a detector says of boxes that people drew: a logit of each class, before any threshold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from pipeline.detector.models.detector import Detector
from pipeline.detector.models.networks import WeightedFasterRCNN


@torch.no_grad()
def box_logits(detector: Detector, image: Tensor, boxes: Tensor) -> Tensor:
    """Logits of boxes.

    A one-stage detector answers where its own box overlaps the drawn one most, a two-stage detector for the drawn box
    as a proposal; of a cascade, its first head.

    Args:
        detector: In evaluation mode.
        image (Tensor[1, 3, H, W]): uint8 RGB.
        boxes (Tensor[N, 4]): `(x1, y1, x2, y2)`, pixels of the input.

    Returns:
        Tensor[N, K]: float32, of K classes without background; `Tensor[0, K]` for no boxes.
    """
    network: Any = detector.network
    batch, _ = network.transform(image)
    features: dict[str, Tensor] = network.backbone(batch.tensors)
    if isinstance(network, WeightedFasterRCNN):
        heads = network.roi_heads
        logits, _ = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, [boxes], batch.image_sizes)))
    else:
        logits = _where_boxes_fit(network, features, batch, boxes)
    answers: Tensor = logits[:, 1:].float()
    return answers


def _where_boxes_fit(network: Any, features: dict[str, Tensor], batch: ImageList, boxes: Tensor) -> Tensor:
    levels = list(features.values())
    outputs, (anchors,) = network.head(levels), network.anchor_generator(batch, levels)
    own = network.head.decode(outputs["bbox_regression"][0], anchors)
    logits: Tensor = outputs["cls_logits"][0, box_iou(boxes, own).argmax(1)]
    return logits
