"""The three torchvision detectors over a backbone of ours, with our heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torchvision.models import get_model_weights
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from pipeline.detector.models.backbones import PYRAMID_STRIDES, TORCHVISION_PREFIX, Normalization
from pipeline.detector.models.heads import (
    IgnoringRPN,
    Target,
    WeightedFCOSHead,
    WeightedRetinaNetHead,
    WeightedRoIHeads,
)
from pipeline.errors import ArtefactError
from pipeline.settings import DetectorSettings, TrainingSettings

COCO_WEIGHTS = {
    "retinanet": "retinanet_resnet50_fpn",
    "fcos": "fcos_resnet50_fpn",
    "faster_rcnn": "fasterrcnn_resnet50_fpn",
}


class BatchNormalize(GeneralizedRCNNTransform):  # type: ignore[misc]
    """torchvision's input transform for a batch that the loader has already brought to one size."""

    def forward(self, images: Tensor, targets: list[Target] | None = None) -> tuple[ImageList, list[Target] | None]:
        """Normalise Tensor[B, 3, H, W] uint8 to float."""
        mean, std = (torch.tensor(x, device=images.device).view(1, 3, 1, 1) for x in (self.image_mean, self.image_std))
        pixels = (images.float() / 255 - mean) / std
        size = (int(images.shape[-2]), int(images.shape[-1]))
        return ImageList(pixels.contiguous(memory_format=torch.channels_last), [size] * len(images)), targets

    def postprocess(
        self, result: list[Target], image_shapes: list[tuple[int, int]], original_image_sizes: list[tuple[int, int]]
    ) -> list[Target]:
        """Leave detections in the pixels of the batch."""
        del image_shapes, original_image_sizes
        return result


def build_network(
    settings: DetectorSettings,
    backbone: Any,
    normalization: Normalization,
    num_classes: int,
    training: TrainingSettings,
) -> nn.Module:
    """Assemble a torchvision detector.

    Args:
        settings: Names the architecture.
        backbone: Gives a feature pyramid and has `out_channels`.
        normalization: What the backbone expects.
        num_classes: Background included.
        training: What the losses look like.

    Returns:
        A network that takes Tensor[B, 3, H, W] uint8.
    """
    builders = {"retinanet": _retinanet, "fcos": _fcos, "faster_rcnn": _faster_rcnn}
    network: nn.Module = builders[settings.architecture](settings, backbone, num_classes, training)
    _answer_in_float32(backbone, *_predictors(network))
    # Sizes mean nothing here: the loader has resized.
    network.transform = BatchNormalize(1, 1, list(normalization.mean), list(normalization.std))
    return network


def _retinanet(settings: DetectorSettings, backbone: Any, num_classes: int, training: TrainingSettings) -> RetinaNet:
    head = WeightedRetinaNetHead(backbone.out_channels, 9, num_classes)
    for part in (head.classification_head, head.regression_head):
        part.conv = part.conv[: settings.head_convs]
    head.training_settings = training
    return RetinaNet(backbone, num_classes, anchor_generator=retinanet_anchors(settings), head=head, **_after(settings))


def retinanet_anchors(settings: DetectorSettings) -> AnchorGenerator | None:
    """Nine anchors a place; None for torchvision's own."""
    return None if _is_torchvision(settings) else _anchors(settings, octaves=3)


def _fcos(settings: DetectorSettings, backbone: Any, num_classes: int, training: TrainingSettings) -> FCOS:
    head = WeightedFCOSHead(backbone.out_channels, 1, num_classes, settings.head_convs)
    head.training_settings = training
    return FCOS(backbone, num_classes, head=head, **_after(settings))


def _faster_rcnn(
    settings: DetectorSettings, backbone: Any, num_classes: int, training: TrainingSettings
) -> GeneralizedRCNN:
    """Faster R-CNN with torchvision's numbers; built by hand because its own constructor takes no RoI heads."""
    anchors = (
        AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)
        if _is_torchvision(settings)
        else _anchors(settings)
    )
    rpn = IgnoringRPN(
        anchors,
        RPNHead(backbone.out_channels, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2000, "testing": 1000},
        post_nms_top_n={"training": 2000, "testing": 1000},
        nms_thresh=0.7,
    )
    levels = ["0", "1", "2", "3"] if _is_torchvision(settings) else ["0", "1", "2"]
    roi_heads = WeightedRoIHeads(
        MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2),
        TwoMLPHead(backbone.out_channels * 7**2, 1024),
        FastRCNNPredictor(1024, num_classes),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=512,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        **_after(settings),
    )
    roi_heads.training_settings = training
    return GeneralizedRCNN(backbone, rpn, roi_heads, transform=None)


def _predictors(network: Any) -> list[nn.Module]:
    """What gives class scores and box coordinates."""
    if isinstance(network, (RetinaNet, FCOS)):
        return [network.head]
    return [network.rpn.head, network.roi_heads.box_predictor]


def _answer_in_float32(*modules: nn.Module) -> None:
    """Let modules compute in half precision but answer in full.

    torchvision makes anchors and boxes in the precision of what it is given, and bfloat16 holds 8 bits: beyond
    256 pixels a corner would come to lie on every second pixel.
    """
    for module in modules:
        module.register_forward_hook(_in_float32)


def _in_float32(_module: nn.Module, _inputs: Any, outputs: Any) -> Any:
    return tree_map(Tensor.float, outputs)


def _after(settings: DetectorSettings) -> dict[str, float]:
    """What happens to boxes after the network."""
    return {
        "score_thresh": settings.score_floor,
        "nms_thresh": settings.nms_iou,
        "detections_per_img": settings.max_detections,
    }


def _is_torchvision(settings: DetectorSettings) -> bool:
    return settings.backbone.startswith(TORCHVISION_PREFIX)


def _anchors(settings: DetectorSettings, octaves: int = 1) -> AnchorGenerator:
    """Anchors whose smallest side is `anchor_scale` strides of their level."""
    sizes = tuple(
        tuple(settings.anchor_scale * stride * 2 ** (octave / octaves) for octave in range(octaves))
        for stride in PYRAMID_STRIDES
    )
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))


def load_coco(network: nn.Module, settings: DetectorSettings) -> None:
    """Load torchvision's COCO weights into all but the layers that name classes.

    Args:
        network: Built for `torchvision:resnet50`.
        settings: Names the architecture.

    Raises:
        ArtefactError: The weights do not fit the network.
    """
    weights = get_model_weights(COCO_WEIGHTS[settings.architecture]).DEFAULT
    offered, wanted = weights.get_state_dict(progress=True, check_hash=True), network.state_dict()
    fitting = {key: value for key, value in offered.items() if key in wanted and wanted[key].shape == value.shape}
    left_random = sorted(wanted.keys() - fitting.keys())
    if any("cls" not in key and "predictor" not in key for key in left_random):
        raise ArtefactError(f"Expected COCO weights for all but the class layers, found none for {left_random[:5]}")
    network.load_state_dict(fitting, strict=False)
