"""Settings of `detector/`: the network and how it is trained."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.settings.base import Section, Share

Precision = Literal["fp32", "bf16", "fp16"]


class DetectorSettings(Section):
    """The network: a torchvision detector over a timm or torchvision backbone with a feature pyramid."""

    architecture: Literal["retinanet", "fcos", "faster_rcnn"] = "retinanet"
    backbone: str = Field(default="tf_efficientnet_lite0", description="a timm model name, or `torchvision:resnet50`")
    weights: Literal["packaged", "imagenet", "coco", "none"] = Field(
        default="packaged",
        description="packaged: ImageNet weights of tf_efficientnet_lite0 that come inside a Python package; "
        "imagenet: downloaded by timm or torchvision; coco: torchvision's detector (needs torchvision:resnet50)",
    )
    image_size_px: int = Field(default=320, ge=64, le=4096, description="longest side of the network's input")
    fpn_channels: int = Field(default=96, ge=16, le=512)
    head_convs: int = Field(default=2, ge=1, le=4, description="convolutions of a one-stage head; torchvision's have 4")
    anchor_scale: float = Field(
        default=3.0, gt=0.5, le=16.0, description="smallest anchor side, in strides of its level"
    )
    embedding_dim: int = Field(default=64, ge=8, le=1024, description="length of a box embedding")
    score_floor: Share = Field(default=0.05, description="detections below are not reported")
    nms_iou: Share = Field(default=0.5, description="of two boxes of one class that overlap more, the better stays")
    max_detections: int = Field(default=100, ge=1, le=1000, description="most detections an image")

    @model_validator(mode="after")
    def _coco_has_a_shape(self) -> "DetectorSettings":
        if self.weights == "coco" and (self.backbone != "torchvision:resnet50" or self.head_convs != 4):
            raise ValueError(
                "weights 'coco' expect backbone 'torchvision:resnet50' and head_convs 4, "
                f"got {self.backbone!r} and {self.head_convs}"
            )
        return self

    @model_validator(mode="after")
    def _fcos_groups_channels(self) -> "DetectorSettings":
        of_torchvision = self.backbone.startswith("torchvision:")  # has 256, whatever is set
        if self.architecture == "fcos" and not of_torchvision and (self.fpn_channels % 32 or self.fpn_channels < 64):
            raise ValueError(
                f"fcos normalises in 32 groups: expected fpn_channels 64, 96, ..., got {self.fpn_channels}"
            )
        return self


class MixupSettings(Section):
    """Mixup for detection: two images blended, boxes joined and weighted by their share."""

    enabled: bool = True
    alpha: float = Field(default=1.5, gt=0.0, le=32.0, description="Beta(alpha, alpha) of the blend")
    probability: Share = Field(default=0.5, description="share of images that are blended")
    start: Share = Field(default=0.2, description="off before this share of the run (burn-in)")
    end: Share = Field(default=0.8, description="off after this share of the run")


class FocalSettings(Section):
    """Focal loss of the one-stage detectors; the two-stage classifier has softmax cross-entropy."""

    enabled: bool = Field(default=True, description="off: plain cross-entropy (gamma 0, no alpha)")
    alpha: float = Field(default=0.25, ge=0.0, le=1.0, description="weight of positives; negatives get 1 - alpha")
    gamma: float = Field(default=2.0, ge=0.0, le=10.0, description="how strongly easy examples fade")


class TripletSettings(Section):
    """Triplet loss on box embeddings."""

    enabled: bool = True
    weight: float = Field(default=0.1, ge=0.0, le=100.0)
    margin: float = Field(default=0.3, ge=0.0, le=2.0)
    mining: Literal["batch_hard", "batch_all"] = "batch_hard"


class AugmentSettings(Section):
    """Random changes to training images, each box-safe."""

    enabled: bool = True
    horizontal_flip: Share = 0.5
    vertical_flip: Share = 0.0
    scale_min: float = Field(default=0.8, gt=0.1, le=1.0)
    scale_max: float = Field(default=1.25, ge=1.0, le=4.0)
    color: Share = Field(default=0.5, description="probability of a change of brightness, contrast or hue")
    blur: Share = 0.1


class EarlyStopSettings(Section):
    """Stop when validation AP no longer rises."""

    enabled: bool = False
    every_steps: int = Field(default=100, ge=1, le=1_000_000)
    patience: int = Field(default=3, ge=1, le=1000, description="evaluations without a better AP before the run ends")


class TrainingSettings(Section):
    """Fine-tuning from the champion."""

    steps: int = Field(default=300, ge=1, le=1_000_000)
    batch_size: int = Field(default=8, ge=1, le=1024)
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    backbone_factor: float = Field(default=0.3, ge=0.0, le=1.0, description="the backbone learns this much slower")
    weight_decay: float = Field(default=1e-4, ge=0.0, le=1.0)
    warmup: Share = Field(default=0.1, description="share of the steps with a rising learning rate; then cosine")
    clip_norm: float = Field(default=10.0, gt=0.0, le=1e6, description="largest gradient norm")
    ema_decay: float = Field(default=0.99, ge=0.0, lt=1.0, description="0 keeps the last weights instead of an average")
    frozen_stages: int = Field(default=2, ge=0, le=5, description="how many backbone stages, from the stem, stay fixed")
    precision: Precision = "fp32"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = Field(default=0, ge=0, le=64, description="processes that prepare batches; 0: the main one does")
    cache_mb: int = Field(default=2048, ge=0, le=10_000_000, description="memory for decoded training images")
    checkpoint_every_steps: int = Field(default=100, ge=1, le=1_000_000)
    pseudo_share: Share = Field(default=0.5, description="most of a batch that pseudo-labelled images may fill")
    gate_tolerance: Share = Field(default=0.01, description="a new champion may be worse on val by so much mAP")
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=0.5)
    mixup: MixupSettings = MixupSettings()
    focal: FocalSettings = FocalSettings()
    triplet: TripletSettings = TripletSettings()
    augment: AugmentSettings = AugmentSettings()
    early_stop: EarlyStopSettings = EarlyStopSettings()

    @model_validator(mode="after")
    def _mixup_window(self) -> "TrainingSettings":
        if self.mixup.start > self.mixup.end:
            raise ValueError(f"expected mixup.start <= mixup.end, got {self.mixup.start} > {self.mixup.end}")
        return self
