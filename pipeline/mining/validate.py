"""Cross-image validation (SSM, arXiv 1803.09867): are proposals found again where they are pasted.

Each paste is cut out with a window of its host round it, windows are packed into canvases, canvases are detected in
batches, and every detection is held against the pastes of its canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.boxes import shift
from pipeline.detector.predict import Detections, Predictor
from pipeline.detector.stream import stack_pictures
from pipeline.mining.canvas import Tile, draw_canvas, in_batches, pack_windows
from pipeline.mining.hosts import Hosts
from pipeline.mining.paste import Pastes, render_window
from pipeline.settings import MiningSettings

_FAR = 1e5
"""Shift between canvases that keeps their boxes from touching."""


@dataclass
class Cost:
    """What the checks cost.

    Attributes:
        pastes: Windows drawn.
        canvases: Pictures they were packed into.
        passes: Forward passes.
    """

    pastes: int = 0
    canvases: int = 0
    passes: int = 0


@dataclass(frozen=True)
class Redetections:
    """What became of M pastes.

    Attributes:
        hit: Tensor[M] bool, found again.
        score: Tensor[M], confidence of the re-detection, 0 for a miss.
        iou: Tensor[M], overlap of the re-detection with the paste, 0 for a miss.
        boxes: Tensor[M, 4], the re-detection in input pixels of the host, NaN for a miss.
    """

    hit: Tensor
    score: Tensor
    iou: Tensor
    boxes: Tensor


def redetect(
    predictor: Predictor,
    pastes: Pastes,
    sources: Sequence[NDArray[np.uint8]],
    hosts: Hosts,
    settings: MiningSettings,
    cost: Cost,
) -> Redetections:
    """Draw pastes, detect, and match.

    Args:
        predictor: The detector.
        pastes: What goes where.
        sources: uint8[H, W, 3] each, by `Pastes.source`.
        hosts: By `Pastes.host`.
        settings: What counts as found again.
        cost: Counted up.

    Returns:
        A verdict a paste, in order; the same whatever shares a canvas or a batch, up to what neighbours on a
        canvas do to the detector.
    """
    windows = _draw(pastes, sources, hosts)
    canvases = pack_windows(
        [(one.shape[1], one.shape[0]) for one in windows], predictor.detector.settings.image_size_px
    )
    found = _nothing(len(pastes))
    for batch in in_batches(canvases, predictor.batch_size):
        detections = predictor(stack_pictures([draw_canvas(tiles, windows) for tiles in batch]))
        _match(batch, detections, pastes, settings, found)
        cost.passes += 1
    cost.pastes += len(pastes)
    cost.canvases += len(canvases)
    return found


def _draw(pastes: Pastes, sources: Sequence[NDArray[np.uint8]], hosts: Hosts) -> list[NDArray[np.uint8]]:
    columns = (pastes.source, pastes.host, pastes.crop, pastes.target, pastes.window)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [render_window(sources[source], hosts.pictures[host], *where) for source, host, *where in rows]


def _nothing(count: int) -> Redetections:
    return Redetections(
        torch.zeros(count, dtype=torch.bool), torch.zeros(count), torch.zeros(count), torch.full((count, 4), torch.nan)
    )


def _match(
    batch: list[list[Tile]],
    detections: list[Detections],
    pastes: Pastes,
    settings: MiningSettings,
    found: Redetections,
) -> None:
    """Hold the detections of a batch of canvases against its pastes, and write down the hits."""
    tiles = [(number, tile) for number, canvas in enumerate(batch) for tile in canvas]
    rows = torch.tensor([tile.index for _, tile in tiles])
    places = torch.tensor([[tile.x + _FAR * number, tile.y] for number, tile in tiles], dtype=torch.float64)
    to_canvas = places - pastes.window[rows, :2]
    objects = shift(pastes.object[rows].double(), to_canvas)
    offsets = torch.cat([torch.full((len(one),), _FAR * number) for number, one in enumerate(detections)]).double()
    boxes = shift(torch.cat([one.boxes for one in detections]).double(), torch.stack([offsets, offsets * 0], dim=1))
    scores = torch.cat([one.scores for one in detections])
    labels = torch.cat([one.labels for one in detections])
    if len(boxes) == 0:
        return
    overlap = box_iou(objects, boxes)
    counts = (overlap >= settings.hit_iou) & (labels == pastes.label[rows, None]) & (scores >= settings.hit_score)
    best_score, best = (counts * scores).max(1)
    hit = best_score > 0
    rows, best = rows[hit], best[hit]
    found.hit[rows] = True
    found.score[rows] = best_score[hit]
    found.iou[rows] = overlap[hit, best].float()
    found.boxes[rows] = shift(boxes[best], -to_canvas[hit]).float()
