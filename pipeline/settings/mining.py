"""Settings of `mining/`: cross-image validation."""

from typing import Literal

from pydantic import Field

from pipeline.settings.base import Section, Share
from pipeline.settings.detector import Precision


class MiningSettings(Section):
    """Which boxes are pasted where, and what counts as found again."""

    proposal_score: Share = Field(default=0.1, description="detections below are not proposals")
    proposals_per_image: int = Field(default=30, ge=1, le=1000, description="best detections an image that are checked")
    hosts: int = Field(default=4, ge=1, le=64, description="pastes a proposal, each into another host where possible")
    margin: float = Field(default=0.25, ge=0.0, le=2.0, description="context cut with the object, share of its sides")
    window: float = Field(
        default=0.2,
        ge=0.0,
        le=100.0,
        description="host context round the paste, share of its sides; large values take the whole host",
    )
    scale_jitter: float = Field(default=0.1, ge=0.0, lt=1.0, description="paste sizes vary by up to this share")
    placement: Literal["least_covered", "uniform"] = Field(
        default="least_covered", description="where in the host: off its boxes, or anywhere"
    )
    places_tried: int = Field(default=16, ge=1, le=1000, description="random places among which the best is taken")
    hit_iou: float = Field(
        default=0.6, gt=0.0, le=1.0, description="a re-detection overlaps the paste at least so much"
    )
    hit_score: Share = Field(default=0.05, description="a re-detection has at least this confidence")
    budget: float | None = Field(
        default=0.25,
        ge=0.0,
        le=1000.0,
        description="checks of an image cost about so many detection passes, spent where they can change what becomes "
        "of a box; none: every box that they can change is checked",
    )
    batch_size: int = Field(default=16, ge=1, le=1024, description="images or canvases a forward pass")
    precision: Precision = "bf16"
    chunk_images: int = Field(default=128, ge=1, le=100_000, description="pool images between two saved parts")
    decode_threads: int = Field(default=2, ge=1, le=64)
    max_hosts_cached: int = Field(default=256, ge=1, le=100_000, description="decoded hosts kept in memory")
