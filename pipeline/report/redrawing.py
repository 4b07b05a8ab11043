"""Pastes drawn again as the detector saw them: from the rows of `CHECK_SCHEMA`, by the code of mining."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.boxes import as_boxes, scale, shift
from pipeline.detector.inference.predictor import Detections
from pipeline.detector.inference.rendering import render_window
from pipeline.errors import ImageFault
from pipeline.mining.crops import Crops, crop_proposals
from pipeline.mining.hosts import blur
from pipeline.mining.pastes import windows_around
from pipeline.records import ImageRef
from pipeline.report.rows import Check, Corners
from pipeline.report.tiles import Pixels
from pipeline.settings import MiningSettings


@dataclass(frozen=True, slots=True)
class InputImage:
    """An image at the detector's input size.

    Attributes:
        ref: Its own size, which stored boxes refer to.
        pixels: As the detector's input is read.
    """

    ref: ImageRef
    pixels: Pixels

    @property
    def size(self) -> Tensor:
        """Tensor[1, 2] int64, width and height at the input size."""
        return torch.tensor([[self.pixels.shape[1], self.pixels.shape[0]]])

    def to_input(self, box: Corners) -> Tensor:
        """Tensor[1, 4]: a box of the image's own pixels, in input pixels."""
        width, height = self.size[0].tolist()
        return scale(as_boxes([box]), width / self.ref.width, height / self.ref.height)

    def to_own(self, box: Tensor) -> Corners:
        """A box of input pixels, Tensor[1, 4], in the image's own pixels."""
        width, height = self.size[0].tolist()
        x1, y1, x2, y2 = scale(box.double(), self.ref.width / width, self.ref.height / height)[0].tolist()
        return x1, y1, x2, y2


@dataclass(frozen=True, slots=True)
class Redrawn:
    """A paste as the detector saw it.

    Attributes:
        pixels: The window of the host with the object in it.
        view: The part of the host that this is, in the host's own pixels.
    """

    pixels: Pixels
    view: Corners


def cut_again(source: InputImage, box: Corners, settings: MiningSettings) -> Crops:
    """Cut a proposal out of its image, with the context that mining keeps.

    Args:
        source: The image.
        box: Where the detector put the proposal, in the image's own pixels; not corrected for localisation bias.
        settings: Margins.
    """
    boxes = source.to_input(box)
    proposal = Detections(boxes, torch.ones(1), torch.ones(1, dtype=torch.int64), torch.zeros(1, 0))
    return crop_proposals(proposal, source.pixels, settings.crop_margin)


def redraw(check: Check, crop: Crops, host: InputImage, settings: MiningSettings) -> Redrawn:
    """Paste a proposal where it was pasted, and show what was shown to the detector.

    A row holds where the object came to lie; `plan_pastes` rounded where its crop was put to whole input pixels, which
    follows from it and from the scale.

    Args:
        check: The paste.
        crop: The proposal, from `cut_again`.
        host: The image that it was pasted into.
        settings: Window, blur and feathering.

    Raises:
        ImageFault: The paste does not fit into the host, whose file was replaced.
    """
    part = crop.within(check.margin)
    sides = (part[:, 2:] - part[:, :2]).float()
    target_sides = (sides * check.scale).round().clamp(min=1).long()
    offset = shift(crop.object, -part[:, :2])[:, :2] * (target_sides / sides)
    origin = (host.to_input(check.pasted)[:, :2] - offset).round().long()
    target = torch.cat([origin, origin + target_sides], dim=1)
    if (origin < 0).any() or (target[:, 2:] > host.size).any():
        raise ImageFault(host.ref.uri, "its file was replaced after it was mined: the paste does not fit any more")
    window = windows_around(target, host.size, settings)
    pixels = blur(host.pixels) if settings.host_blur else host.pixels
    source_box, target_box, window_box = (box[0].tolist() for box in (part, target, window))
    drawn = render_window(crop.images[0], pixels, source_box, target_box, window_box, settings.feather_px)
    return Redrawn(drawn, host.to_own(window))
