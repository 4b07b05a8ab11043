"""Settings of `report/`."""

from pydantic import Field

from pipeline.settings.base import Section


class ReportSettings(Section):
    """What the pages show."""

    gallery_images: int = Field(default=12, ge=0, le=200, description="images a gallery")
    image_px: int = Field(default=480, ge=64, le=2000, description="longest side of an image on the page")
