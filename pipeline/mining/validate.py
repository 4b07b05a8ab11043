"""Cross-image validation (SSM, arXiv 1803.09867): are proposals found again elsewhere.

Each proposal is shown to the detector in a small window: alone, cut out of its own picture and mirrored, or pasted
into a host with a part of the host round it. Windows are packed into canvases, canvases are detected in batches, and
every detection is held against the objects of its canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.boxes import clip, grow, outward, shift
from pipeline.detector.predict import Detections, Predictor
from pipeline.detector.stream import stack_pictures
from pipeline.mining.canvas import Tile, draw_canvas, in_batches, pack_windows
from pipeline.mining.hosts import Hosts
from pipeline.mining.paste import Pastes, render_window
from pipeline.settings import MiningSettings

PACKED = 0.7
"""Share of a canvas that windows fill, about."""
_FAR = 1e5
"""Shift between canvases that keeps their boxes from touching."""


@dataclass
class Cost:
    """What the checks cost.

    Attributes:
        cuts: Windows that show a proposal alone.
        pastes: Windows that show it in a host.
        canvases: Pictures they were packed into.
        passes: Forward passes.
    """

    cuts: int = 0
    pastes: int = 0
    canvases: int = 0
    passes: int = 0


@dataclass(frozen=True)
class Windows:
    """M small pictures that show one object each.

    Attributes:
        pictures: uint8[h, w, 3] each.
        object: Tensor[M, 4], where the object lies, pixels of its window.
        label: Tensor[M] int64, from 1.
    """

    pictures: list[NDArray[np.uint8]]
    object: Tensor
    label: Tensor


@dataclass(frozen=True)
class Redetections:
    """What became of M objects.

    Attributes:
        hit: Tensor[M] bool, found again.
        score: Tensor[M], confidence of the re-detection, 0 for a miss.
        iou: Tensor[M], overlap of the re-detection with the object, 0 for a miss.
        boxes: Tensor[M, 4], the re-detection in pixels of the window or, for pastes, of the host; NaN for a miss.
    """

    hit: Tensor
    score: Tensor
    iou: Tensor
    boxes: Tensor


def prices(boxes: Tensor, sizes: Tensor, settings: MiningSettings) -> Tensor:
    """Estimate what checks cost, by the pixels that the detector looks at.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels of their own pictures.
        sizes (Tensor[N, 2]): width and height of these.
        settings: Hosts, margin and window.

    Returns:
        Tensor[N, 2]: of showing a box alone, and of all its pastes, in detection passes over its picture.
    """
    cut = (boxes[:, 2:] - boxes[:, :2]) / sizes * (1 + 2 * settings.margin)
    window = cut * (1 + 2 * settings.window)
    alone, pasted = (sides.clamp(max=1).prod(1) / PACKED for sides in (cut, window))
    return torch.stack([alone, settings.hosts * pasted], dim=1)


def redetect_alone(
    predictor: Predictor,
    found: Sequence[Detections],
    sources: Sequence[NDArray[np.uint8]],
    settings: MiningSettings,
    cost: Cost,
) -> Redetections:
    """Cut proposals out of their own pictures, mirror them, detect, and match.

    What is found only with its surroundings, or only one way round, is found again with less confidence or not at
    all. One small window a proposal tells nearly as much as several pastes, at a fraction of their price.

    Args:
        predictor: The detector.
        found: The proposals of each picture, input pixels.
        sources: uint8[H, W, 3] each.
        settings: Margin, and what counts as found again.
        cost: Counted up.

    Returns:
        A verdict a proposal, in order.
    """
    windows = _cut(found, sources, settings.margin)
    cost.cuts += len(windows.label)
    return _find_again(predictor, windows, settings, cost)


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
        A verdict a paste, in order, boxes in input pixels of the host; the same whatever shares a canvas or a
        batch, up to what neighbours on a canvas do to the detector.
    """
    origin = pastes.window[:, :2]
    windows = Windows(_draw(pastes, sources, hosts), shift(pastes.object.double(), -origin), pastes.label)
    cost.pastes += len(pastes)
    seen = _find_again(predictor, windows, settings, cost)
    return replace(seen, boxes=shift(seen.boxes, origin))


def _draw(pastes: Pastes, sources: Sequence[NDArray[np.uint8]], hosts: Hosts) -> list[NDArray[np.uint8]]:
    columns = (pastes.source, pastes.host, pastes.crop, pastes.target, pastes.window)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [render_window(sources[source], hosts.pictures[host], *where) for source, host, *where in rows]


def _cut(found: Sequence[Detections], sources: Sequence[NDArray[np.uint8]], margin: float) -> Windows:
    pictures: list[NDArray[np.uint8]] = []
    objects = []
    for one, source in zip(found, sources, strict=True):
        crop = outward(clip(grow(one.boxes, margin), source.shape[1], source.shape[0]))
        pictures += [np.ascontiguousarray(source[y1:y2, x1:x2][:, ::-1]) for x1, y1, x2, y2 in crop.tolist()]
        x1, y1, x2, y2 = one.boxes.unbind(1)
        objects.append(torch.stack([crop[:, 2] - x2, y1 - crop[:, 1], crop[:, 2] - x1, y2 - crop[:, 1]], dim=1))
    return Windows(pictures, torch.cat(objects).double(), torch.cat([one.labels for one in found]))


def _find_again(predictor: Predictor, windows: Windows, settings: MiningSettings, cost: Cost) -> Redetections:
    sizes = [(one.shape[1], one.shape[0]) for one in windows.pictures]
    canvases = pack_windows(sizes, predictor.detector.settings.image_size_px)
    found = _nothing(len(sizes))
    for batch in in_batches(canvases, predictor.batch_size):
        detections = predictor(stack_pictures([draw_canvas(tiles, windows.pictures) for tiles in batch]))
        _match(batch, detections, windows, settings, found)
        cost.passes += 1
    cost.canvases += len(canvases)
    return found


def _nothing(count: int) -> Redetections:
    return Redetections(
        torch.zeros(count, dtype=torch.bool), torch.zeros(count), torch.zeros(count), torch.full((count, 4), torch.nan)
    )


def _match(
    batch: list[list[Tile]],
    detections: list[Detections],
    windows: Windows,
    settings: MiningSettings,
    found: Redetections,
) -> None:
    """Hold the detections of a batch of canvases against its windows, and write down the hits."""
    tiles = [(number, tile) for number, canvas in enumerate(batch) for tile in canvas]
    rows = torch.tensor([tile.index for _, tile in tiles])
    places = torch.tensor([[tile.x + _FAR * number, tile.y] for number, tile in tiles], dtype=torch.float64)
    objects = shift(windows.object[rows], places)
    offsets = torch.cat([torch.full((len(one),), _FAR * number) for number, one in enumerate(detections)]).double()
    boxes = shift(torch.cat([one.boxes for one in detections]).double(), torch.stack([offsets, offsets * 0], dim=1))
    scores = torch.cat([one.scores for one in detections])
    labels = torch.cat([one.labels for one in detections])
    if len(boxes) == 0:
        return
    overlap = box_iou(objects, boxes)
    counts = (overlap >= settings.hit_iou) & (labels == windows.label[rows, None]) & (scores >= settings.hit_score)
    best_score, best = (counts * scores).max(1)
    hit = best_score > 0
    rows, best = rows[hit], best[hit]
    found.hit[rows] = True
    found.score[rows] = best_score[hit]
    found.iou[rows] = overlap[hit, best].float()
    found.boxes[rows] = shift(boxes[best], -places[hit]).float()
