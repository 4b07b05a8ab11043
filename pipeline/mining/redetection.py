"""Cross-image validation (SSM, arXiv 1803.09867): are proposals found again elsewhere.

Each proposal is shown to the detector in a small window: closer, mirrored and enlarged in its own surroundings, or
pasted into a host with a part of the host round it. Windows are packed into canvases, canvases are detected in
batches, and every detection is held against the objects of its canvas.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.boxes import shift
from pipeline.detector.inference.predictor import Detections, Predictor
from pipeline.detector.inference.rendering import render_window
from pipeline.detector.inference.stream import stack_images
from pipeline.mining.canvas import Tile, choose_side, draw_canvas, in_batches, pack_windows
from pipeline.mining.cost import CostMeter
from pipeline.mining.crops import Crops
from pipeline.mining.hosts import Hosts
from pipeline.mining.pastes import Pastes, window_sides
from pipeline.settings import MiningSettings

PACKED = 0.9
"""Share of a canvas that windows fill, about."""
_FAR = 1e5
"""Shift between canvases that keeps their boxes from touching."""


@dataclass(frozen=True)
class Sought:
    """K boxes that are looked for in windows; several may be in one.

    Attributes:
        window: Tensor[K] int64, in which.
        box: Tensor[K, 4], where it lies, pixels of the window or, for pastes, of the host.
        label: Tensor[K] int64, from 1.
    """

    window: Tensor
    box: Tensor
    label: Tensor

    @staticmethod
    def one_each(boxes: Tensor, labels: Tensor) -> Sought:
        """One box in each window, in order."""
        return Sought(torch.arange(len(boxes)), boxes, labels)

    def __len__(self) -> int:
        """How many."""
        return len(self.window)


@dataclass(frozen=True)
class Redetections:
    """What became of K boxes that were looked for.

    Attributes:
        hit: Tensor[K] bool, found again.
        score: Tensor[K], confidence of the re-detection, 0 for a miss.
        iou: Tensor[K], overlap of the re-detection with the box, 0 for a miss.
        boxes: Tensor[K, 4], the re-detection in pixels of the window or, for pastes, of the host; NaN for a miss.
    """

    hit: Tensor
    score: Tensor
    iou: Tensor
    boxes: Tensor


def prices(boxes: Tensor, sizes: Tensor, settings: MiningSettings) -> Tensor:
    """Estimate what checks cost, by the pixels that the detector looks at.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels of their own images; for the prices of pastes, input pixels.
        sizes (Tensor[N, 2]): width and height of these; one row for boxes of one image.
        settings: Hosts, margins, window, view and augmented view.

    Returns:
        Tensor[N, 2 + rounds]: cost of an augmented view (paid once for all boxes of an image), of a close-up, and of
        the pastes of each round, in detection passes over the box's image.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    share = sides / sizes
    view = (share * (1 + 2 * settings.closeup_margin)).clamp(max=1).prod(1) * settings.closeup_scale**2 / PACKED
    pasted = (window_sides(sides, settings) / sizes).clamp(max=1).prod(1) / PACKED
    before = (0, *settings.rounds[:-1])
    rounds = [pasted * (after - already) for already, after in zip(before, settings.rounds, strict=True)]
    return torch.stack([torch.full_like(view, settings.tta_scale**2), view, *rounds], dim=1)


class Redetector:
    """Shows proposals to a detector again, in small windows that are packed into canvases.

    Args:
        predictor: The detector.
        settings: Sizes, margins and what counts as found again.
        meter: Counted up.
    """

    def __init__(self, predictor: Predictor, settings: MiningSettings, meter: CostMeter) -> None:
        self._predictor = predictor
        self._settings = settings
        self._meter = meter

    def closeups(self, crops: Crops) -> Redetections:
        """Show proposals enlarged and mirrored in their own surroundings, detect, and match.

        What is found only at one size, or only one way round, is found again with less confidence or not at all:
        test-time augmentation of a box, at the price of a small window.

        Args:
            crops: The proposals.

        Returns:
            A verdict on each, in order.
        """
        with self._meter.time("paste"):
            shown = crops.within(self._settings.closeup_margin)
            images = [
                _enlarged(image[y1:y2, x1:x2], self._settings.closeup_scale)
                for image, (x1, y1, x2, y2) in zip(crops.images, shown.tolist(), strict=True)
            ]
            sides = torch.tensor([(image.shape[1], image.shape[0]) for image in images]).reshape(-1, 2)
            exact = sides.double() / (shown[:, 2:] - shown[:, :2])
            x1, y1, x2, y2 = (shift(crops.object.double(), -shown[:, :2]) * exact.repeat(1, 2)).unbind(1)
            width = sides[:, 0]
            sought = Sought.one_each(torch.stack([width - x2, y1, width - x1, y2], dim=1), crops.label)
        self._meter.count(closeups=len(crops))
        return self._find_again(images, sought)

    def pastes(self, pastes: Pastes, crops: Crops, hosts: Hosts, sought: Sought | None = None) -> Redetections:
        """Draw pastes, detect, and match.

        Args:
            pastes: What goes where.
            crops: By `Pastes.proposal`.
            hosts: By `Pastes.host`.
            sought: What is looked for, in input pixels of the hosts, several boxes in one paste where proposals share
                it; the object of each paste without it.

        Returns:
            A verdict on each box that is looked for, in order, boxes in input pixels of the host; the same whatever
            shares a canvas or a batch, up to what neighbours on a canvas do to the detector.
        """
        sought = sought or Sought.one_each(pastes.object, pastes.label)
        origin = pastes.window[sought.window, :2]
        with self._meter.time("paste"):
            images = draw_pastes(pastes, crops, hosts, self._settings.feather_px)
        self._meter.count(pastes=len(pastes))
        seen = self._find_again(images, replace(sought, box=shift(sought.box.double(), -origin)))
        return replace(seen, boxes=shift(seen.boxes, origin))

    def _find_again(self, images: list[NDArray[np.uint8]], sought: Sought) -> Redetections:
        sizes = [(image.shape[1], image.shape[0]) for image in images]
        with self._meter.time("paste"):
            side = choose_side(sizes, self._predictor.image_size_px)
            canvases = pack_windows(sizes, side)
        found = _nothing(len(sought))
        together = self._predictor.batch_size * self._predictor.image_size_px**2 // side**2
        for batch in in_batches(canvases, max(1, together)):
            with self._meter.time("paste"):
                drawn = stack_images([draw_canvas(tiles, images) for tiles in batch])
            with self._meter.time("detect"):
                detections = self._predictor.detect_canvases(drawn)
            with self._meter.time("match"):
                _match(batch, detections, sought, self._settings, found)
            self._meter.count(passes=1)
        self._meter.count(canvases=len(canvases))
        return found


def draw_pastes(pastes: Pastes, crops: Crops, hosts: Hosts, feather_px: int) -> list[NDArray[np.uint8]]:
    """Draw what the detector sees of each paste.

    Args:
        pastes: What goes where.
        crops: By `Pastes.proposal`.
        hosts: By `Pastes.host`.
        feather_px: See `render_window`.

    Returns:
        uint8[h, w, 3] each: the window of the host with the proposal in it.
    """
    columns = (pastes.proposal, pastes.host, pastes.source, pastes.target, pastes.window)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        render_window(crops.images[proposal], hosts.images[host], source, target, window, feather_px)
        for proposal, host, source, target, window in rows
    ]


def _enlarged(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    mirrored = np.ascontiguousarray(image[:, ::-1])
    if factor == 1:
        return mirrored
    sides = [max(1, round(side * factor)) for side in (image.shape[1], image.shape[0])]
    how = cv2.INTER_LINEAR if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(mirrored, sides, interpolation=how), dtype=np.uint8)


def _nothing(count: int) -> Redetections:
    return Redetections(
        torch.zeros(count, dtype=torch.bool), torch.zeros(count), torch.zeros(count), torch.full((count, 4), torch.nan)
    )


def _match(
    batch: list[list[Tile]],
    detections: list[Detections],
    sought: Sought,
    settings: MiningSettings,
    found: Redetections,
) -> None:
    """Hold the detections of a batch of canvases against what is looked for there, and write down the hits."""
    tiles = [(number, tile) for number, canvas in enumerate(batch) for tile in canvas]
    shown = torch.tensor([tile.index for _, tile in tiles])
    corners = torch.tensor([[tile.x + _FAR * number, tile.y] for number, tile in tiles], dtype=torch.float64)
    rows = torch.isin(sought.window, shown).nonzero()[:, 0]
    ordered = shown.argsort()
    places = corners[ordered[torch.searchsorted(shown[ordered], sought.window[rows])]]
    objects = shift(sought.box[rows].double(), places)
    offsets = torch.cat(
        [torch.full((len(detected),), _FAR * number) for number, detected in enumerate(detections)]
    ).double()
    boxes = shift(
        torch.cat([detected.boxes for detected in detections]).double(), torch.stack([offsets, offsets * 0], dim=1)
    )
    scores = torch.cat([detected.scores for detected in detections])
    labels = torch.cat([detected.labels for detected in detections])
    if len(boxes) == 0:
        return
    overlap = box_iou(objects, boxes)
    counts = (overlap >= settings.hit_iou) & (labels == sought.label[rows, None]) & (scores >= settings.hit_score)
    best_score, best = (counts * scores).max(1)
    hit = best_score > 0
    rows, best = rows[hit], best[hit]
    found.hit[rows] = True
    found.score[rows] = best_score[hit]
    found.iou[rows] = overlap[hit, best].float()
    found.boxes[rows] = shift(boxes[best], -places[hit]).float()
