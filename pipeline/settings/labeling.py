"""Settings of `labeling/`: who answers."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from pipeline.settings.base import Section, Share


class SimulatedSettings(Section):
    """The simulated annotator: the only holder of the hidden boxes."""

    format: Literal["coco", "yolo", "voc"] = "coco"
    annotations: str = Field(description="the hidden labels")
    images: str = Field(description="folder or URI of the images they belong to")
    start: int = Field(
        default=0, ge=0, le=10_000_000, description="images whose boxes are given away before the first cycle"
    )
    error_rate: Share = Field(default=0.0, description="share of boxes it misses, moves or mislabels")
    skip_rate: Share = Field(default=0.0, description="share of tasks it declines")


class BucketSettings(Section):
    """How the server shows images of S3 or GCS buckets; with credentials of its own environment, never with ours."""

    region: str | None = Field(default=None, description="of S3 buckets; none: the server's own")
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://\S+$",
        description="of another S3 service than Amazon's; none: the server's own",
    )
    presign: bool = Field(
        default=True, description="the browser fetches from the bucket by a signed address; false: through the server"
    )
    presign_ttl_min: int = Field(default=60, ge=1, le=10_080, description="how long a signed address is good")


class LabelStudioSettings(Section):
    """Label Studio; its token comes from the environment or a Prefect Secret block, never from here."""

    url: str = Field(default="http://localhost:8080", pattern=r"^https?://\S+$")
    # The server trims titles, and a project is found by its title.
    project: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=50)] = Field(
        default="crosscheck", description="title of the project"
    )
    image_access: Literal["local_files", "storage", "url"] = Field(
        default="local_files",
        description="local_files: the server reads them below its document root; storage: from their S3 or GCS bucket, "
        "which is connected; url: the sample's own URI",
    )
    buckets: BucketSettings = BucketSettings()
    document_root: str | None = Field(default=None, description="the server's local document root")
    timeout_s: float = Field(default=60.0, gt=0.0, le=3600.0)
    page_size: int = Field(default=500, ge=1, le=10_000)
    parallel_requests: int = Field(
        default=4, ge=1, le=32, description="requests under way at once where open tasks are renewed one by one"
    )
    people_per_image: int = Field(
        default=1,
        ge=1,
        le=20,
        description="so many people answer a new task, each once; nobody sees the others' answers",
    )
    shared: Share = Field(
        default=1.0,
        description="share of new tasks that goes to people_per_image people, drawn by the image; the others to one",
    )
    edge_cases: tuple[str, ...] = Field(
        default=(),
        description="what annotators are told beside data.descriptions, in the instructions",
    )
    skipped_go_to: Literal["nobody", "others", "same_person"] = Field(
        default="nobody", description="who is asked again about an image that somebody skipped"
    )
    overlap_s: float = Field(
        default=300.0, ge=0.0, le=2_592_000.0, description="harvest looks back this far beyond its watermark"
    )
    lock_s: float = Field(
        default=86400.0,
        ge=0.0,
        le=31_536_000.0,
        description="how long the server keeps a task for who opened it; a withdrawn task is deleted only after that",
    )
    secret_block: str = Field(
        default="label-studio-token", description="Prefect Secret block asked when the environment has no token"
    )

    @model_validator(mode="after")
    def _local_files_need_a_root(self) -> "LabelStudioSettings":
        if self.image_access == "local_files" and self.document_root is None:
            raise ValueError("image_access 'local_files' expects document_root, the folder that the server may read")
        return self


class SecondsSettings(Section):
    """Seconds that people need for an action; which machine boxes they see follows from them."""

    look: float = Field(default=3.0, ge=0.0, le=3600.0, description="to look an image over")
    draw: float = Field(default=7.0, gt=0.0, le=3600.0, description="to draw a box and give it its class")
    adjust: float = Field(default=5.0, ge=0.0, le=3600.0, description="to move a machine box to its place")
    relabel: float = Field(default=3.0, ge=0.0, le=3600.0, description="to give a machine box another class")
    delete: float = Field(default=2.0, ge=0.0, le=3600.0, description="to delete a machine box")
    verify: float = Field(default=2.0, ge=0.0, le=3600.0, description="to see whether a machine box is right")


class LabelingSettings(Section):
    """Who answers: nobody, the simulated annotator or people in Label Studio."""

    backend: Literal["none", "simulated", "label_studio"] = "none"
    simulated: SimulatedSettings | None = None
    label_studio: LabelStudioSettings | None = None
    seconds: SecondsSettings = SecondsSettings()
    verification: bool = Field(
        default=True,
        description="images whose boxes are mostly right, as far as seconds.verify over seconds.draw asks for, and in "
        "which nothing is expected to be missed are verified box by box; false: all are corrected",
    )
    accepted_iou: Share = Field(
        default=0.9,
        description="a machine box that overlaps by this IoU or more with what a person made of it counts as accepted; "
        "the instructions say how far off an edge may be left by this",
    )
    several_answers: Literal["latest", "consensus", "ask_again"] = Field(
        default="latest",
        description="what counts where several people answered an image: the latest answer; the boxes that most of "
        "them drew; or the newer of two that agree, and one person more is asked while none do",
    )
    same_box_iou: Share = Field(default=0.5, description="boxes of two people that overlap so much are the same box")
    agreement: Share = Field(
        default=0.7,
        description="two answers agree from here, twice the matched IoU over all their boxes; below, the image is in "
        "the tab `disagreement`",
    )
    patience_s: float = Field(
        default=300.0,
        ge=0.0,
        le=86_400.0,
        description="a scheduled cycle tries harvest and push again for so long while the service is down, then goes "
        "on without them",
    )

    @model_validator(mode="after")
    def _backend_has_a_section(self) -> "LabelingSettings":
        if self.backend != "none" and getattr(self, self.backend) is None:
            raise ValueError(f"backend {self.backend!r} expects a section labeling.{self.backend}")
        return self

    @property
    def asks_people(self) -> bool:
        """Whether anybody answers what a cycle asks."""
        return self.backend != "none"
