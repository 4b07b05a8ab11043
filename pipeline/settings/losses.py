"""Settings of `detector/`: what a mistake costs."""

from typing import Literal

from pydantic import Field

from pipeline.settings.base import Section

Classification = Literal["quality_focal", "focal", "ohem", "cross_entropy"]
Assigner = Literal["iou", "atss", "task_aligned"]
BoxIouLoss = Literal["giou", "diou", "ciou"]
BoxLoss = Literal["l1", "giou", "diou", "ciou"]


class FocalSettings(Section):
    """Focal loss of the one-stage detectors (arXiv 1708.02002); faster_rcnn does not apply it."""

    alpha: float = Field(default=0.25, ge=0.0, le=1.0, description="weight of positives; negatives get 1 - alpha")
    gamma: float = Field(default=2.0, ge=0.0, le=10.0, description="how strongly easy examples fade")


class OhemSettings(Section):
    """Online hard-example mining: cross-entropy of objects and of the background that costs most (arXiv 1604.03540)."""

    negatives_per_object: float = Field(default=3.0, gt=0.0, le=100.0, description="background kept for each object")


class RepulsionSettings(Section):
    """Repulsion loss of the one-stage detectors for crowds (arXiv 1711.07752); beside the loss of boxes."""

    enabled: bool = False
    objects: float = Field(default=0.5, ge=0.0, le=100.0, description="weight of keeping away from other objects")
    boxes: float = Field(default=0.5, ge=0.0, le=100.0, description="weight of keeping away from their boxes")
    sigma_objects: float = Field(default=0.9, ge=0.0, lt=1.0, description="the smaller, the less outliers cost")
    sigma_boxes: float = Field(default=0.0, ge=0.0, lt=1.0, description="the same for boxes")


class BottleneckSettings(Section):
    """Sparse object prior of the one-stage detectors against false positives (BiDet, arXiv 2003.03961)."""

    enabled: bool = False
    weight: float = Field(default=0.2, ge=0.0, le=100.0)


class GroupableSettings(Section):
    """Weights of pointwise convolutions of the backbone that fit `crosscheck models export --groups` (2002.08127)."""

    weight: float = Field(
        default=0.0, ge=0.0, le=10_000.0, description="how fast what lies outside the groups shrinks: each step by "
        "learning rate x weight of the layer's root mean square; 0: off"
    )  # fmt: skip
    groups: int = Field(default=2, ge=2, le=64, description="that channels are dealt out to")


class TripletSettings(Section):
    """Triplet loss on box embeddings."""

    enabled: bool = True
    weight: float = Field(default=0.1, ge=0.0, le=100.0)
    margin: float = Field(default=0.3, ge=0.0, le=2.0)
    mining: Literal["batch_hard", "batch_all", "semi_hard"] = "batch_hard"
    classes: int = Field(default=0, ge=0, le=10_000, description="P of a P x K sample of a batch's boxes; 0: all")
    boxes_per_class: int = Field(default=0, ge=0, le=10_000, description="K of a P x K sample; 0: all")
    background_negatives: int = Field(
        default=0, ge=0, le=1000, description="background an image that looks most like an object, as hard negatives"
    )
