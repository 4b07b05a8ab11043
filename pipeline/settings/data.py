"""Settings of `dataset/`: where images and labels come from and what is refused."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.records import Split
from pipeline.settings.base import Name, Section


class SourceSettings(Section):
    """One set of images to import."""

    split: Split = Field(description="train, val, test or pool; a pool source brings no boxes")
    format: Literal["coco", "yolo", "voc", "images"] = Field(
        description="coco (one JSON), yolo (a folder of .txt), voc (a folder of .xml) or images (no labels)"
    )
    images: str = Field(description="folder or URI that holds the images")
    annotations: str | None = Field(default=None, description="the COCO file, or the folder of YOLO or VOC files")

    @model_validator(mode="after")
    def _annotations_fit_format(self) -> "SourceSettings":
        if (self.format == "images") != (self.annotations is None):
            raise ValueError(
                f"format {self.format!r} expects annotations to be "
                f"{'left out' if self.format == 'images' else 'given'}, got {self.annotations!r}"
            )
        if self.split is Split.POOL and self.format != "images":
            raise ValueError("a pool source expects format 'images': labels of the pool are never imported")
        return self


class DataSettings(Section):
    """Class names, sources and the checks every image goes through."""

    labels: tuple[Name, ...] = Field(min_length=1, description="class names; their order gives label numbers 1, 2, ...")
    descriptions: dict[Name, str] = Field(
        default_factory=dict, description="what annotators are told of a class, by its name; shown in the instructions"
    )
    sources: tuple[SourceSettings, ...] = Field(default=(), description="imported, in order, by the first cycle")
    near_duplicate_bits: int = Field(
        default=10,
        ge=0,
        le=64,
        description="images whose 256-bit difference hashes differ in at most so many bits are near-duplicates",
    )
    min_box_px: float = Field(
        default=1.0, ge=0.0, le=1000.0, description="a box with a shorter side is left out, and reported"
    )
    max_image_pixels: int = Field(
        default=178_000_000,
        ge=1,
        le=178_956_970,
        description="a larger image is quarantined instead of decoded; at most what Pillow decodes",
    )

    @model_validator(mode="after")
    def _labels_differ(self) -> "DataSettings":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"expected every label once, got {list(self.labels)}")
        unknown = sorted(set(self.descriptions) - set(self.labels))
        if unknown:
            raise ValueError(f"descriptions: expected names among {list(self.labels)}, got {unknown}")
        return self
