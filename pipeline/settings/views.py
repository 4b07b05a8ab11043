"""Settings of `detector/`: what becomes of an image before it is learnt from."""

from pydantic import Field, model_validator

from pipeline.settings.base import Section, Share


class MixupSettings(Section):
    """Mixup for detection: two images blended, boxes joined and weighted by their share."""

    enabled: bool = True
    alpha: float = Field(default=1.5, gt=0.0, le=32.0, description="Beta(alpha, alpha) of the blend")
    probability: Share = Field(default=0.25, description="share of images that are blended")
    start: Share = Field(default=0.0, description="off before this share of the run")
    end: Share = Field(default=0.75, description="off after this share of the run")
    labeled_with_labeled: bool = Field(default=True, description="images that people labelled are blended together")
    labeled_with_pseudo: bool = Field(
        default=True, description="a pseudo-labelled image is blended with one that people labelled, and the reverse"
    )


class MosaicSettings(Section):
    """Mosaic: four images of one kind (labelled or pseudo-labelled) round a random centre."""

    enabled: bool = False
    probability: Share = Field(default=0.5, description="share of images that become a mosaic")
    start: Share = Field(default=0.0, description="off before this share of the run")
    end: Share = Field(default=0.8, description="off after this share of the run")
    scale_min: float = Field(default=0.5, ge=0.1, le=1.0, description="each tile is shrunk at most to this share")
    scale_max: float = Field(default=1.0, ge=0.1, le=2.0, description="each tile is enlarged at most by this factor")

    @model_validator(mode="after")
    def _range(self) -> "MosaicSettings":
        if self.scale_min > self.scale_max:
            raise ValueError(f"expected scale_min <= scale_max, got {self.scale_min} > {self.scale_max}")
        return self


class MultiscaleSettings(Section):
    """Batches shown smaller, each at a scale of its own: cheaper steps, and objects of more sizes."""

    enabled: bool = True
    smallest: float = Field(default=0.6, ge=0.1, le=1.0, description="least share of the input's size")
    start: Share = Field(default=0.0, description="off before this share of the run")
    end: Share = Field(default=0.75, description="full size after this share of the run")


class CopyPasteSettings(Section):
    """Objects that people labelled pasted into other images, every class equally often.

    Boxes of the machine are pasted only where their own images are not shown, with a pseudo_share of 0.
    """

    enabled: bool = True
    probability: Share = Field(default=0.5, description="share of images that are pasted into")
    objects: int = Field(default=3, ge=1, le=50, description="most objects pasted into an image")
    scale_jitter: float = Field(default=0.25, ge=0.0, lt=1.0, description="a paste is resized by up to this share")
    margin: float = Field(default=0.1, ge=0.0, le=1.0, description="surroundings pasted along, in sides of the box")
    feather_px: int = Field(default=2, ge=0, le=64, description="the outermost pixels of a paste blend into the image")


class StrongViewSettings(Section):
    """The strong view, what a student learns from while its teacher sees the weak one (arXiv 2102.09480)."""

    enabled: bool = False
    labeled_too: bool = Field(default=False, description="off: pseudo-labelled images alone are changed so")
    color: Share = Field(default=0.8, description="probability of a strong change of brightness, contrast and hue")
    gray: Share = Field(default=0.2, description="probability of no colour at all")
    blur: Share = Field(default=0.5, description="probability of a strong blur")
    erase: Share = Field(default=0.5, description="probability that up to three small rectangles are blanked")


class AugmentSettings(Section):
    """Random changes to training images, each box-safe."""

    enabled: bool = True
    horizontal_flip: Share = 0.5
    vertical_flip: Share = 0.0
    scale_min: float = Field(default=0.8, ge=0.1, le=1.0, description="0.1 with scale_max 2 is large-scale jitter")
    scale_max: float = Field(default=1.25, ge=1.0, le=4.0)
    shift: Share = Field(default=0.1, description="moved by up to this share of each side")
    rotate_deg: float = Field(default=0.0, ge=0.0, le=45.0, description="turned by up to this angle; boxes are hulls")
    color: Share = Field(default=0.5, description="probability of a change of brightness, contrast or hue")
    blur: Share = 0.1
    strong: StrongViewSettings = StrongViewSettings()
