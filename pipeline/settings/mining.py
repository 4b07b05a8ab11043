"""Settings of `mining/`: cross-image validation."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.settings.base import Section, Share
from pipeline.settings.detector import Precision

Engine = Literal["auto", "torch", "onnx", "onnx_int8", "onnx_two_precision"]


FIRST_PASTES = 2
"""Every proposal that is pasted is pasted so often, where there are so many hosts."""


class FusionSettings(Section):
    """Proposals are what several views of an image agree on, at one pass per view: better labels (arXiv 1712.04440)."""

    enabled: bool = False
    scales: tuple[Annotated[float, Field(ge=0.25, le=4.0)], ...] = Field(
        default=(1.0, 1.2), min_length=1, max_length=16, description="sizes of the views, 1 for the detector's own"
    )
    mirrored: bool = Field(default=True, description="each size mirrored as well")
    same_iou: float = Field(
        default=0.55, gt=0.0, le=1.0, description="detections of a class that overlap so much are one object"
    )


class MiningSettings(Section):
    """Which boxes are pasted where, and what counts as found again."""

    proposal_score: Share = Field(default=0.1, description="detections below are not proposals")
    proposals_per_image: int = Field(
        default=30, ge=1, le=1000, description="best detections per image that become proposals"
    )
    fusion: FusionSettings = FusionSettings()
    hosts: int = Field(
        default=3,
        ge=1,
        le=64,
        description="most pastes per proposal, each into another host where possible; a proposal gets the first two, "
        "and the others where these disagree",
    )
    paste_share: float = Field(
        default=0.7,
        gt=0.0,
        le=1000.0,
        description="the pastes of an image take at most about this share of a host each time, else objects are pasted "
        "smaller",
    )
    paste_px: int = Field(
        default=40, ge=4, le=4096, description="but none with a longer side than this is pasted smaller than this"
    )
    tta_scale: float = Field(
        default=1.2,
        ge=0.5,
        le=3.0,
        description="how much larger the augmented view of an image is, which is mirrored as well",
    )
    closeup_margin: float = Field(
        default=0.5, ge=0.0, le=4.0, description="surroundings in the close-up of a box, share of its sides"
    )
    closeup_scale: float = Field(default=1.3, ge=0.25, le=4.0, description="how much a close-up enlarges")
    margin: float = Field(
        default=0.25, ge=0.0, le=2.0, description="context pasted with the object, share of its sides"
    )
    margin_px: float = Field(
        default=2.0, ge=0.0, le=4096.0, description="but at most so many pixels of the paste on each side"
    )
    host_kind: Literal["class_free_first", "class_held_first", "any"] = Field(
        default="class_free_first", description="labelled images that hold no object of the class come first, or last"
    )
    host_blur: bool = Field(default=False, description="blur hosts, so that little of their own content is visible")
    feather_px: int = Field(
        default=0, ge=0, le=64, description="pixels over which the edge of a paste blends; 0: a hard edge"
    )
    window: float = Field(
        default=0.0,
        ge=0.0,
        le=100.0,
        description="host context round the paste, share of its sides; large values take the whole host",
    )
    window_px: int = Field(
        default=48, ge=0, le=4096, description="small pastes get more: paste and context together have this side"
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
        default=None,
        ge=0.0,
        le=1000.0,
        description="pastes cost at most so many detection passes per image on average, the surest boxes first; none: "
        "every box that is to teach or to be asked about is pasted",
    )
    passes: float | None = Field(
        default=3.0,
        ge=0.0,
        le=1000.0,
        description="all of mining is to cost about so many detection passes over the pool: augmented views and "
        "close-ups get what proposals and pastes leave; none: no limit",
    )
    look_budget: float | None = Field(
        default=None,
        ge=0.0,
        le=1000.0,
        description="augmented views and close-ups cost at most so many detection passes per image on average, spent "
        "where they can change what becomes of a box; none: as many as `passes` leaves for them",
    )
    batch_size: int = Field(default=16, ge=1, le=1024, description="images or canvases per forward pass")
    precision: Precision | Literal["auto"] = Field(
        default="auto", description="auto: half precision where the device has units for it"
    )
    engine: Engine = Field(
        default="auto",
        description="what computes the detector: torch, ONNX Runtime, or that in int8, which is calibrated on labelled "
        "images, or int8 and for doubtful images float32 as well (arXiv 2002.07136); auto: ONNX Runtime on processors "
        "without units for half precision",
    )
    float32_share: Share = Field(
        default=0.25,
        description="of onnx_two_precision: about this share of the images is looked at in float32 as well, those with "
        "most detections near `proposal_score`; the threshold is taken from labelled images",
    )
    compile_images: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="pools of so many images and more repay compiling the detector, which takes minutes; none: never",
    )
    chunk_images: int = Field(default=128, ge=1, le=100_000, description="pool images between two saved parts")
    decode_threads: int = Field(default=2, ge=1, le=64)
    max_hosts_cached: int = Field(default=256, ge=1, le=100_000, description="decoded hosts kept in memory")

    @property
    def crop_margin(self) -> float:
        """Context that is cut out with a proposal, enough for its pastes and its close-up; share of its sides."""
        return max(self.margin, self.closeup_margin)

    @property
    def proposal_passes(self) -> float:
        """What it costs to propose, in detection passes."""
        views = self.fusion
        return sum(scale**2 for scale in views.scales) * (1 + views.mirrored) if views.enabled else 1.0

    @property
    def rounds(self) -> tuple[int, ...]:
        """How many pastes a proposal has had after each round: the first two, and the others where these disagree."""
        return (FIRST_PASTES, self.hosts) if self.hosts > FIRST_PASTES else (self.hosts,)
