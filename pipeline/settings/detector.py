"""Settings of `detector/`: the network. How it is trained is in `training.py`, `losses.py` and `views.py`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.settings.base import Section, Share

Precision = Literal["fp32", "bf16", "fp16"]
BatchNormKind = Literal["frozen", "synchronised", "group", "layer", "instance", "switchable", "moving_average"]

STAGE_BLOCKS = (2, 2, 3, 3, 4, 1)
"""Inverted residuals of the stages of EfficientNet-Lite0."""
Depth = Annotated[int, Field(ge=1, le=max(STAGE_BLOCKS))]
Width = Annotated[float, Field(ge=0.25, le=1.0)]


class PathSettings(Section):
    """A part of the default backbone, by its six stages of inverted residuals."""

    depths: tuple[Depth, ...] = Field(
        default=STAGE_BLOCKS, description="blocks of each stage that stay, the first ones; 1 to 2, 2, 3, 3, 4 and 1"
    )
    widths: tuple[Width, ...] = Field(
        default=(1.0,) * len(STAGE_BLOCKS), description="share of the channels inside the blocks of each stage"
    )

    @model_validator(mode="after")
    def _fits(self) -> "PathSettings":
        stages = len(STAGE_BLOCKS)
        if len(self.depths) != stages or any(map(int.__gt__, self.depths, STAGE_BLOCKS)):
            raise ValueError(f"expected depths of at most {list(STAGE_BLOCKS)}, got {list(self.depths)}")
        if len(self.widths) != stages:
            raise ValueError(f"expected {stages} widths, got {list(self.widths)}")
        return self


class DetectorSettings(Section):
    """The network: a torchvision detector over a timm or torchvision backbone with a feature pyramid."""

    architecture: Literal["retinanet", "fcos", "faster_rcnn"] = "retinanet"
    backbone: str = Field(
        default="tf_efficientnet_lite0",
        description="a timm model name, `torchvision:resnet50`, or `own:scnet50`; docs/catalogue.md",
    )
    weights: Literal["packaged", "imagenet", "coco", "none"] = Field(
        default="packaged",
        description="packaged: ImageNet weights of tf_efficientnet_lite0 that come inside a Python package; "
        "imagenet: downloaded by timm or torchvision; coco: torchvision's detector (needs torchvision:resnet50, or "
        "faster_rcnn with torchvision:mobilenet_v3_large, which is small)",
    )
    image_size_px: int = Field(default=320, ge=64, le=4096, description="longest side of the network's input")
    path: PathSettings | None = Field(
        default=None,
        description="a narrower and shallower part of the default backbone, such as `crosscheck models search` finds",
    )
    output_stride: Literal[8, 16, 32] = Field(
        default=32, description="below 32 the last maps of the backbone are dilated and lie closer; dearer"
    )
    drop_path: float = Field(
        default=0.0,
        ge=0.0,
        le=0.9,
        description="how likely the last path of the backbone is left out at the end of a run; rises from 0",
    )
    fpn_channels: int = Field(default=96, ge=16, le=512)
    strip_pooling: bool = Field(default=False, description="context along rows and columns, for long, thin objects")
    head_convs: int = Field(default=2, ge=1, le=4, description="convolutions of a one-stage head; torchvision's have 4")
    head_norm: Literal["none", "group"] = Field(default="group", description="normalisation in RetinaNet's head")
    head_shared: bool = Field(default=True, description="RetinaNet's head answers class and place from one tower")
    visible_box: bool = Field(
        default=False,
        description="a second branch learns which part of a box is seen, where the COCO files of data.sources have "
        "visible boxes; p(correct) then knows the visible share",
    )
    box_stages: Literal[1, 3] = Field(
        default=1, description="of Faster R-CNN; 3: a cascade of box heads, each for boxes that fit more closely"
    )
    roi_features: int = Field(
        default=1024, ge=16, le=4096, description="of Faster R-CNN: features of a proposal in its second stage"
    )
    roi_proposals: int = Field(
        default=1000,
        ge=10,
        le=2000,
        description="of Faster R-CNN: most proposals of an image that its second stage looks at; it learns from "
        "twice as many, up to 512",
    )
    masks: bool = Field(
        default=False,
        description="of Faster R-CNN: a branch learns masks beside the boxes, where the COCO files of data.sources "
        "have them; it is at work while training alone",
    )
    anchors_per_place: Literal[1, 9] = Field(
        default=1, description="of RetinaNet; 9: three sizes by three shapes, for training.assigner iou"
    )
    anchor_scale: float = Field(
        default=3.0, gt=0.5, le=16.0, description="smallest anchor side, in strides of its level"
    )
    batch_norm: BatchNormKind = Field(
        default="frozen",
        description="of the backbone; frozen: fixed, and folded where it can be; group, layer, instance: of each "
        "image, for training from scratch; synchronised: learns with the statistics of the batch, over all GPUs, wants "
        "many images a step; switchable: learns its mixture of three; moving_average: of many small batches",
    )
    embedding_dim: int = Field(default=64, ge=8, le=1024, description="length of a box embedding")
    score_floor: Share = Field(default=0.05, description="detections below are not reported")
    nms_iou: Share = Field(default=0.5, description="of two boxes of one class that overlap more, the better stays")
    max_detections: int = Field(default=100, ge=1, le=1000, description="most detections an image")

    @model_validator(mode="after")
    def _path_of_the_default_body(self) -> "DetectorSettings":
        if self.path and (self.backbone, self.batch_norm) != ("tf_efficientnet_lite0", "frozen"):
            raise ValueError(
                "path expects backbone 'tf_efficientnet_lite0' with batch_norm 'frozen', "
                f"got {self.backbone!r} with {self.batch_norm!r}"
            )
        return self

    @model_validator(mode="after")
    def _coco_has_a_shape(self) -> "DetectorSettings":
        small = self.architecture == "faster_rcnn" and self.backbone == "torchvision:mobilenet_v3_large"
        expected: dict[str, object] = {
            "backbone": self.backbone if small else "torchvision:resnet50",
            "head_convs": 4,
            "batch_norm": "frozen",
            "strip_pooling": False,
        }
        if self.architecture == "faster_rcnn":
            expected |= {"box_stages": 1, "roi_features": 1024}
        if self.architecture == "retinanet":
            expected |= {"anchors_per_place": 9, "head_norm": "none", "head_shared": False}
        other = {name: getattr(self, name) for name, value in expected.items() if getattr(self, name) != value}
        if self.weights == "coco" and other:
            wanted = ", ".join(f"{name} {expected[name]!r}" for name in other)
            found = ", ".join(repr(value) for value in other.values())
            raise ValueError(f"weights 'coco' are of torchvision's own network and expect {wanted}, got {found}")
        return self

    @model_validator(mode="after")
    def _heads_group_channels(self) -> "DetectorSettings":
        if self.architecture == "retinanet" and self.head_norm == "group" and self.fpn_channels % 8:
            raise ValueError(
                f"head_norm 'group' has 8 groups: expected fpn_channels 16, 24, ..., got {self.fpn_channels}"
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
