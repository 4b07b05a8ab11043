"""Settings of `detector/`: one run of fine-tuning."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.settings.base import Name, Section, Share
from pipeline.settings.detector import Precision
from pipeline.settings.losses import (
    Assigner,
    BottleneckSettings,
    BoxLoss,
    Classification,
    FocalSettings,
    GroupableSettings,
    OhemSettings,
    RepulsionSettings,
    TripletSettings,
)
from pipeline.settings.views import (
    AugmentSettings,
    CopyPasteSettings,
    MixupSettings,
    MosaicSettings,
    MultiscaleSettings,
)


class PlateauSettings(Section):
    """How long a run is: until mAP on held-back images, smoothed, no longer rises; then the learning rate falls."""

    enabled: bool = Field(default=True, description="off: the run has all of training.steps")
    every_steps: int = Field(
        default=50, ge=1, le=1_000_000, description="steps between two looks, ever more of them later"
    )
    max_images: int = Field(default=64, ge=1, le=1_000_000, description="held-back images that are looked at, at most")
    smoothing: int = Field(default=3, ge=1, le=100, description="looks that are averaged")
    least_rise: float = Field(
        default=0.005, gt=0.0, le=1.0, description="mAP by which the average must be higher to count as higher"
    )
    patience: Share = Field(
        default=0.4, description="share of the steps so far without a higher average after which the rate falls"
    )
    min_steps: int = Field(default=300, ge=1, le=1_000_000, description="the rate falls no sooner")
    min_first_steps: int = Field(
        default=2250, ge=1, le=1_000_000, description="where a committee says when, the rate falls no sooner in the "
        "first run of the champion: each member looks at too few images"
    )  # fmt: skip
    fallback_steps: int = Field(
        default=600, ge=1, le=1_000_000, description="length of a run without held-back images to look at"
    )


class TeacherSettings(Section):
    """The averaged weights look at each pseudo-labelled image (the weak view) before the student learns from it."""

    enabled: bool = False
    ignore_score: float = Field(
        default=0.3, gt=0.0, le=1.0, description="what it finds where no box is costs nothing from this score on"
    )
    box_score: float = Field(
        default=1.0, gt=0.0, le=1.0, description="and from this score on is learnt as a box of that weight; 1: never"
    )

    @model_validator(mode="after")
    def _order(self) -> "TeacherSettings":
        if self.ignore_score > self.box_score:
            raise ValueError(f"expected ignore_score <= box_score, got {self.ignore_score} > {self.box_score}")
        return self


class RecoverySettings(Section):
    """What happens when a loss or gradient is not finite, or the loss leaps: back to the last good step, and slower."""

    max_rollbacks: int = Field(default=3, ge=0, le=100, description="after so many the run ends with the cause")
    learning_rate_factor: float = Field(default=0.5, gt=0.0, lt=1.0, description="slower by so much each time")
    divergence: float = Field(
        default=20.0,
        gt=1.0,
        le=1e6,
        description="a loss that stays so many times higher than shortly before has diverged",
    )


class PseudoBoxSettings(Section):
    """Bounds on pseudo-boxes; the least certain ones beyond them become ignore regions and are counted."""

    per_image: int = Field(default=100, ge=1, le=100_000, description="most pseudo-boxes an image")
    per_labeled_box: float = Field(
        default=100.0, gt=0.0, le=1e6, description="most pseudo-boxes of a class for each box that people drew of it"
    )
    skew: float = Field(
        default=10.0, ge=1.0, le=1e6, description="a class's share of pseudo-boxes is at most so many times its share "
        "of people's boxes"
    )  # fmt: skip


class RepeatFactorSettings(Section):
    """Images with rare classes are shown more often (LVIS, arXiv 1908.03195)."""

    enabled: bool = False
    threshold: float = Field(
        default=0.1, gt=0.0, le=1.0, description="classes in a smaller share of the images are rare"
    )


class TrainingSettings(Section):
    """Fine-tuning from the champion."""

    steps: int = Field(
        default=3000, ge=1, le=1_000_000, description="at most, see plateau; shares of a run are shares of its length"
    )
    batch_size: int = Field(default=4, ge=1, le=1024, description="images a step")
    accumulate: int = Field(default=1, ge=1, le=1024, description="a batch is worked off in so many parts, for memory")
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    backbone_factor: float = Field(default=0.3, ge=0.0, le=1.0, description="the backbone learns this much slower")
    weight_decay: float = Field(default=1e-4, ge=0.0, le=1.0)
    warmup_steps: int = Field(default=50, ge=0, le=1_000_000, description="steps with a rising learning rate")
    decay: float = Field(
        default=0.25, ge=0.0, lt=1.0, description="share of the steps, the last, with a falling learning rate"
    )
    clip_norm: float = Field(default=10.0, gt=0.0, le=1e6, description="largest gradient norm")
    ema_decay: float = Field(default=0.99, ge=0.0, lt=1.0, description="0 keeps the last weights instead of an average")
    frozen_stages: int = Field(default=2, ge=0, le=5, description="how many backbone stages, from the stem, stay fixed")
    frozen_depthwise: bool = Field(
        default=True, description="depthwise kernels of the backbone stay fixed; their gradients are dear on CPUs"
    )
    precision: Precision | Literal["auto"] = Field(
        default="auto", description="auto: half precision where the device has units for it"
    )
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(default=1, ge=1, le=1024, description="processes a machine, each on a share of every batch")
    nodes: int = Field(
        default=1, ge=1, le=1024, description="machines; with more than one, start the trainer by torchrun on each"
    )
    workers: int = Field(default=0, ge=0, le=64, description="processes that prepare batches; 0: the main one does")
    cache_mb: int = Field(default=2048, ge=0, le=10_000_000, description="memory for decoded training images")
    checkpoint_every_steps: int = Field(default=100, ge=1, le=1_000_000)
    gate_tolerance: Share = Field(
        default=0.02, description="a new champion may be worse on val by so much mAP, as long as that is not sure"
    )
    burn_in_steps: int = Field(default=100, ge=0, le=1_000_000, description="first steps, on people's labels alone")
    pseudo_share: Share = Field(default=0.5, description="most of a batch that pseudo-labelled images may fill")
    soft_weights: bool = Field(default=True, description="a pseudo-box weighs its p(correct); off: 1")
    ignore_regions: bool = Field(
        default=True,
        description="unsure boxes of pseudo-labelled images cost nothing; off: they are background",
    )
    pseudo_boxes: PseudoBoxSettings = PseudoBoxSettings()
    teacher: TeacherSettings = TeacherSettings()
    classification: Classification = Field(
        default="quality_focal", description="loss of the one-stage detectors. faster_rcnn does not apply focal loss: "
        "its classifier has softmax cross-entropy, whatever is set here; ohem selects its background as well"
    )  # fmt: skip
    assigner: Assigner = Field(
        default="task_aligned", description="which anchors of RetinaNet learn an object: iou: a fixed overlap; atss: "
        "one that follows from its neighbourhood; task_aligned: those that already answer best"
    )  # fmt: skip
    box_loss: BoxLoss = Field(default="giou", description="of RetinaNet: distance of encoded boxes, or by overlap")
    box_weight: float = Field(default=2.0, gt=0.0, le=100.0, description="of that loss, beside classification")
    label_smoothing: float = Field(
        default=0.05, ge=0.0, lt=0.5, description="softened classes; under a sigmoid only those of anchors on objects"
    )
    focal: FocalSettings = FocalSettings()
    ohem: OhemSettings = OhemSettings()
    repulsion: RepulsionSettings = RepulsionSettings()
    bottleneck: BottleneckSettings = BottleneckSettings()
    triplet: TripletSettings = TripletSettings()
    groupable: GroupableSettings = GroupableSettings()
    augment: AugmentSettings = AugmentSettings()
    mixup: MixupSettings = MixupSettings()
    mosaic: MosaicSettings = MosaicSettings()
    multiscale: MultiscaleSettings = MultiscaleSettings()
    copy_paste: CopyPasteSettings = CopyPasteSettings()
    repeat_factor: RepeatFactorSettings = RepeatFactorSettings()
    boosting: float = Field(
        default=0.0, ge=0.0, le=100.0, description="labelled images that the champion gets wrong are drawn more often: "
        "1 + boosting times their error, 1 - F1 at IoU 0.5; 0: all equally often"
    )  # fmt: skip
    start_from: Name | None = Field(
        default=None, description="folder or URI of a model of another project, `WORKSPACE/models/ID`, that a first "
        "training starts from in place of pretrained weights, whatever its classes; its detector must be the same"
    )  # fmt: skip
    label_map: dict[Name, Name] = Field(
        default={}, description="which class of that model is which class here, where names differ: `there: here`"
    )
    plateau: PlateauSettings = PlateauSettings()
    recovery: RecoverySettings = RecoverySettings()

    @model_validator(mode="before")
    @classmethod
    def _focal_was_a_switch(cls, values: Any) -> Any:
        """Read settings and model cards from before `classification`, where `focal.enabled` chose the loss."""
        focal = values.get("focal") if isinstance(values, Mapping) else None
        if not isinstance(focal, Mapping) or "enabled" not in focal:
            return values
        rest = {key: value for key, value in focal.items() if key != "enabled"}
        chosen = {"classification": "focal" if focal["enabled"] else "cross_entropy"}
        return {**chosen, **values, "focal": rest}

    @model_validator(mode="after")
    def _windows(self) -> "TrainingSettings":
        for name, window in (("mixup", self.mixup), ("mosaic", self.mosaic), ("multiscale", self.multiscale)):
            if window.start > window.end:
                raise ValueError(f"expected {name}.start <= {name}.end, got {window.start} > {window.end}")
        return self

    @model_validator(mode="after")
    def _batch_has_equal_parts(self) -> "TrainingSettings":
        parts = self.accumulate * self.devices * self.nodes
        if self.batch_size % parts:
            raise ValueError(
                f"expected batch_size to be a multiple of accumulate x devices x nodes = {parts}, got {self.batch_size}"
            )
        return self

    @model_validator(mode="after")
    def _teacher_is_an_average(self) -> "TrainingSettings":
        if self.teacher.enabled and self.ema_decay == 0:
            raise ValueError("teacher.enabled expects ema_decay above 0: the teacher is the average of the weights")
        return self
