"""Settings of `selection/`: calibration, certificates and what people are asked."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.settings.base import Section, Share

SMALLEST_STACKED = 4
"""Members of two pairs: with one pair there would be no fold that a member may learn."""


class QuerySettings(Section):
    """The budget for people and how it is spent."""

    images: int = Field(default=10, ge=0, le=100_000, description="most images that wait for an answer")
    boxes: int | None = Field(
        default=None, ge=1, le=10_000_000, description="most machine boxes in one push; none: no limit"
    )
    blind_share: Share = Field(
        default=0.05,
        description="share of images that is shown without boxes, to measure rubber-stamping; what is under one image "
        "is carried over to the next cycle",
    )
    review_share: Share = Field(
        default=0.0,
        description="share of each push that goes to labels that are perhaps wrong instead of new images, see "
        "`crosscheck review`; what is under one image is carried over to the next cycle",
    )
    strategy: Literal[
        "crosscheck", "random", "least_confidence", "margin", "entropy", "core_set", "ssm", "cald", "ppal"
    ] = "crosscheck"
    worth_per: Literal["image", "second"] = Field(
        default="image",
        description="strategy crosscheck asks first about images that bring most, each or for each second of a person "
        "that they are expected to take",
    )
    shortlist_factor: int = Field(default=4, ge=1, le=100, description="diversity is sought among so many budgets")
    rare_class_power: float = Field(
        default=0.5, ge=0.0, le=2.0, description="0: all classes alike; 1: by 1 / frequency"
    )


class SelectionSettings(Section):
    """Three fates a box: pseudo-label, ask, drop."""

    committee: int = Field(
        default=1,
        ge=1,
        le=10,
        description="cross-fitting: so many detectors that each learn without a part of the labelled images judge that "
        "part, and their part of the pool; 1: the champion judges, and only images of split val calibrate it. 2 is "
        "the default where no source has split val",
    )
    stacking: bool = Field(
        default=False,
        description="p(correct) also hears what a second member of the committee says of a box: members come in pairs, "
        "of which both leave out the folds of both. Needs an even committee of 4 or more, whose members learn from all "
        "folds but two, and costs one more detection pass over the pool",
    )
    rule: Literal["calibrated", "consistency"] = Field(
        default="calibrated",
        description="what p(correct) is read off: all evidence, or consistency over pastes alone, as published",
    )
    match_iou: Share = Field(default=0.5, description="a right box overlaps a true one at least so much")
    target_precision: float = Field(default=0.95, gt=0.0, lt=1.0, description="promised for pseudo-labels of a class")
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="of the promise")
    folds: int = Field(default=5, ge=2, le=20, description="p(correct) of a calibration box comes from other folds")
    min_class_boxes: int = Field(
        default=30, ge=1, le=1_000_000, description="with fewer calibration boxes a class is pooled"
    )
    correct_localisation: bool = Field(
        default=True, description="boxes of a class are moved as held-back ones show that its boxes are misplaced"
    )
    drop_below: Share = Field(default=0.05, description="boxes with a lower p(correct) are dropped")
    soft_from: Share | None = Field(
        default=0.5,
        description="boxes that are not certified are learnt from where p(correct) is at least so much, each weighing "
        "its p(correct), and stay questions: nothing is promised of them; none: only certified boxes are learnt",
    )
    ignore_from: Share = Field(
        default=0.02,
        description="in pseudo-labelled images, dropped boxes of at least this p(correct) cost no loss, if "
        "training.ignore_regions is on",
    )
    max_expected_missed: float | None = Field(
        default=None,
        ge=0.0,
        le=10_000.0,
        description="an image in which more objects than this are expected to be missed, which training would take for "
        "background, is not pseudo-labelled; none: no limit",
    )
    max_pseudo_images: int | None = Field(
        default=None, ge=0, le=100_000_000, description="cap on pseudo-labelled images; none: no cap"
    )
    audit_share: Share = Field(
        default=0.1,
        description="share of each push that audits pseudo-labels without boxes; what is under one image is carried "
        "over to the next cycle",
    )
    query: QuerySettings = QuerySettings()

    @model_validator(mode="after")
    def _stack_members(self) -> "SelectionSettings":
        """A second member that has not learnt a fold either is there only in a committee of pairs."""
        if self.stacking and (self.committee < SMALLEST_STACKED or self.committee % 2):
            raise ValueError(
                f"stacking expects an even committee of {SMALLEST_STACKED} or more, got {self.committee}: only members "
                "that did not learn the fold of a box may judge it, and there are two such members where both of a "
                "pair leave out the folds of both; set selection.committee: 4"
            )
        if self.stacking and self.rule == "consistency":
            raise ValueError("stacking expects rule 'calibrated', got 'consistency', which looks at pastes alone")
        return self
