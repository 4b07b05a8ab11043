"""The three torchvision detectors over a backbone of ours, with our heads."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from pipeline.detector.models.assign import Answers, assign
from pipeline.detector.models.backbones import TORCHVISION_PREFIX
from pipeline.detector.models.bodies.inputs import Normalization
from pipeline.detector.models.bodies.strides import PYRAMID_STRIDES
from pipeline.detector.models.bodies.torchvision_family import MOBILENET
from pipeline.detector.models.cascade_heads import CascadeRoIHeads
from pipeline.detector.models.one_stage import WeightedFCOSHead
from pipeline.detector.models.retinanet_head import WeightedRetinaNetHead
from pipeline.detector.models.targets import Target
from pipeline.detector.models.two_stage import IgnoringRPN, WeightedRoIHeads
from pipeline.settings import DetectorSettings, TrainingSettings

ASPECT_RATIOS = (0.5, 1.0, 2.0)
COCO_SIDES = (32, 64, 128, 256, 512)
"""Anchor sides of torchvision's Faster R-CNN, pixels: one per level, or all on each of few levels."""
OCTAVES = 3
"""Sizes per level of nine anchors per place; the aspect ratios make the rest."""


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


class DetectionNetwork(nn.Module):
    """What a detector needs of each of the three: a network that takes Tensor[B, 3, H, W] uint8."""

    backbone: Any
    transform: BatchNormalize

    @property
    def predictors(self) -> list[nn.Module]:
        """What gives class scores and box coordinates."""
        raise NotImplementedError

    @property
    def hard_background(self) -> tuple[Tensor, ...]:
        """After a training pass, Tensor[N, 4] per image of what looks most like an object and is none."""
        raise NotImplementedError

    @property
    def reporting(self) -> Any:
        """What holds `detections_per_img`, the most detections that are reported of an image."""
        return self


class _OneStageNetwork(DetectionNetwork):
    """One of torchvision's two, beside which it is inherited.

    Args:
        settings: Its size, anchors and reported detections.
        backbone: Gives a feature pyramid and has `out_channels`.
        transform: Normalises its input.
        num_classes: Background included.
        training: What its losses look like.
    """

    HEAD: ClassVar[type[WeightedRetinaNetHead | WeightedFCOSHead]]
    head: WeightedRetinaNetHead | WeightedFCOSHead

    def __init__(
        self,
        settings: DetectorSettings,
        backbone: Any,
        transform: BatchNormalize,
        num_classes: int,
        training: TrainingSettings,
    ) -> None:
        super().__init__(
            backbone,
            num_classes,
            anchor_generator=self._anchors(settings),
            head=self.HEAD(backbone.out_channels, num_classes, settings, training),
            score_thresh=settings.score_floor,
            nms_thresh=settings.nms_iou,
            detections_per_img=settings.max_detections,
        )
        self.transform = transform

    def _anchors(self, _settings: DetectorSettings) -> AnchorGenerator | None:
        """None for torchvision's own."""
        return None

    @property
    def predictors(self) -> list[nn.Module]:
        return [self.head]

    @property
    def hard_background(self) -> tuple[Tensor, ...]:
        return self.head.hard_background


class WeightedRetinaNet(_OneStageNetwork, RetinaNet):  # type: ignore[misc]
    """RetinaNet (arXiv 1708.02002), whose anchors learn what the assigner of the settings says.

    With one anchor per place and an assigner that adapts, nothing is lost (arXiv 1912.02424) and most of the work of
    the last layers is saved.
    """

    HEAD = WeightedRetinaNetHead

    def _anchors(self, settings: DetectorSettings) -> AnchorGenerator | None:
        return retinanet_anchors(settings)

    def compute_loss(
        self, targets: list[Target], head_outputs: dict[str, Tensor], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        """Losses of a batch; as torchvision's, but for the assigner."""
        scores, offsets = head_outputs["cls_logits"].detach().sigmoid(), head_outputs["bbox_regression"].detach()
        boxes = [self.head.decode(*pair) for pair in zip(offsets, anchors, strict=True)]
        answers = [Answers(*row) for row in zip(anchors, boxes, scores, strict=True)]
        assigner, matcher = self.head.settings.assigner, self.proposal_matcher
        assigned = [assign(assigner, *row, matcher) for row in zip(answers, targets, strict=True)]
        return self.head.assigned_loss(targets, head_outputs, anchors, assigned)


class WeightedFCOS(_OneStageNetwork, FCOS):  # type: ignore[misc]
    """FCOS (arXiv 1904.01355)."""

    HEAD = WeightedFCOSHead


class WeightedFasterRCNN(DetectionNetwork, GeneralizedRCNN):  # type: ignore[misc]
    """Faster R-CNN (arXiv 1506.01497) with torchvision's numbers; arguments as of one stage.

    It is put together here because torchvision's own constructor takes no RoI heads.
    """

    rpn: IgnoringRPN
    roi_heads: WeightedRoIHeads

    def __init__(
        self,
        settings: DetectorSettings,
        backbone: Any,
        transform: BatchNormalize,
        num_classes: int,
        training: TrainingSettings,
    ) -> None:
        rpn = IgnoringRPN(_faster_rcnn_anchors(settings), backbone.out_channels, settings.roi_proposals)
        levels = ["0", "1", "2", "3"] if _is_torchvision(settings) else ["0", "1", "2"]
        heads = CascadeRoIHeads if settings.box_stages > 1 else WeightedRoIHeads
        roi_heads = heads(levels, backbone.out_channels, num_classes, settings, training)
        super().__init__(backbone, rpn, roi_heads, transform)

    @property
    def predictors(self) -> list[nn.Module]:
        """Those of both stages."""
        return [self.rpn.head, *self.roi_heads.predictors]

    @property
    def reporting(self) -> Any:
        """The second stage."""
        return self.roi_heads

    @property
    def hard_background(self) -> tuple[Tensor, ...]:
        """That of the second stage."""
        return self.roi_heads.hard_background


_NETWORKS = {"retinanet": WeightedRetinaNet, "fcos": WeightedFCOS, "faster_rcnn": WeightedFasterRCNN}


def build_network(
    settings: DetectorSettings,
    backbone: Any,
    normalization: Normalization,
    num_classes: int,
    training: TrainingSettings,
) -> DetectionNetwork:
    """Assemble a torchvision detector.

    Args:
        settings: Names the architecture.
        backbone: Gives a feature pyramid and has `out_channels`.
        normalization: What the backbone expects.
        num_classes: Background included.
        training: What the losses look like.

    Returns:
        The network; what it reports is float32, whatever it computes in.
    """
    # Sizes mean nothing here: the loader has resized.
    transform = BatchNormalize(1, 1, list(normalization.mean), list(normalization.std))
    network: DetectionNetwork = _NETWORKS[settings.architecture](settings, backbone, transform, num_classes, training)
    _answer_in_float32(backbone, *network.predictors)
    return network


def retinanet_anchors(settings: DetectorSettings) -> AnchorGenerator | None:
    """One or nine anchors per place; None for torchvision's own nine."""
    if settings.anchors_per_place == 1:
        return _anchors(settings, ratios=(1.0,))
    return None if _is_torchvision(settings) else _anchors(settings, OCTAVES)


def _faster_rcnn_anchors(settings: DetectorSettings) -> AnchorGenerator:
    if settings.backbone == f"{TORCHVISION_PREFIX}{MOBILENET}":
        return AnchorGenerator((COCO_SIDES,) * 3, (ASPECT_RATIOS,) * 3)
    if _is_torchvision(settings):
        return AnchorGenerator(tuple((side,) for side in COCO_SIDES), (ASPECT_RATIOS,) * len(COCO_SIDES))
    return _anchors(settings)


def _answer_in_float32(*modules: nn.Module) -> None:
    """Let modules compute in half precision but answer in full.

    torchvision makes anchors and boxes in the precision of what it is given, and bfloat16 holds 8 bits: beyond
    256 pixels a corner would come to lie on every second pixel.
    """
    for module in modules:
        module.register_forward_hook(_in_float32)


def _in_float32(_module: nn.Module, _inputs: Any, outputs: Any) -> Any:
    return tree_map(Tensor.float, outputs)


def _is_torchvision(settings: DetectorSettings) -> bool:
    return settings.backbone.startswith(TORCHVISION_PREFIX)


def _anchors(
    settings: DetectorSettings, octaves: int = 1, ratios: tuple[float, ...] = ASPECT_RATIOS
) -> AnchorGenerator:
    """Anchors whose smallest side is `anchor_scale` strides of their level."""
    sizes = tuple(
        tuple(settings.anchor_scale * stride * 2 ** (octave / octaves) for octave in range(octaves))
        for stride in PYRAMID_STRIDES
    )
    return AnchorGenerator(sizes, (ratios,) * len(sizes))
