"""`crosscheck bench tiles`: what large images cost and show, by the share of tiles that is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.scenario import ScenarioCell, ScenarioResult, train
from pipeline.dataset.images import read_image
from pipeline.detector.evaluation.labeled_detections import LabeledDetections
from pipeline.detector.evaluation.metrics import measure
from pipeline.detector.inference.predictor import Detections, PredictionSettings, Predictor
from pipeline.detector.inference.tiling import Tiling, detect_tiled
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.saved import load_model
from pipeline.progress import Progress
from pipeline.records import Sample, Split
from pipeline.seeds import numpy_generator

SIDE_PX, GROUND = 4000, 114
SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
Placed = tuple[tuple[float, float, float, float], str]


@dataclass(frozen=True)
class SharePoint:
    """One point of the curve.

    Attributes:
        share: Of the tiles; 0 is the overview alone.
        passes: Of the detector, per large image.
        map: Over all large images.
    """

    share: float
    passes: float
    map: float


@dataclass(frozen=True)
class TilesResult(ScenarioResult):
    """The curve of one trained detector, for large images made of the test split."""

    images: int
    curve: tuple[SharePoint, ...]


@dataclass(frozen=True)
class LargeImage:
    """Images of a set side by side at their own size, on a plain ground.

    Attributes:
        pixels: uint8[4000, 4000, 3].
        boxes: Corners and label of each object.
    """

    pixels: NDArray[np.uint8]
    boxes: tuple[Placed, ...]


@dataclass(frozen=True)
class TilesCell(ScenarioCell):
    """One trained detector.

    Attributes:
        images: Large images.
        each: Images of the test split in each, few enough for the 100 detections that COCO counts.
    """

    images: int = 4
    each: int = 5

    @property
    def varied(self) -> tuple[object, ...]:
        """How many, and of how many."""
        return self.images, self.each

    def measure(self, progress: Progress) -> TilesResult:
        """Train, and detect once for every share."""
        cycle = train(self.settings, progress)
        champion = require_champion(cycle.workspace, "to measure")
        predictor = Predictor(load_model(cycle.workspace.models, champion), PredictionSettings.of(cycle.settings))
        samples, groups = cycle.store.labeled(Split.TEST), []
        for number in range(min(self.images, len(samples) // self.each)):
            group = samples[number * self.each : (number + 1) * self.each]
            groups.append(large_image(group, cycle.settings.seed + number, cycle.settings.data.max_image_pixels))
        tile_px = max(max(sample.width, sample.height) for sample in samples)
        curve = []
        for share in SHARES:
            curve.append(_point(predictor, groups, share, tile_px))
            progress("shares of tiles", len(curve), len(SHARES))
        identity = self.identity
        return TilesResult(identity.set, identity.labelled, identity.seed, len(groups), tuple(curve))


def large_image(samples: Sequence[Sample], seed: int, max_pixels: int) -> LargeImage:
    """Put images at random places of a grid whose cells the largest of them fits into."""
    pixels = np.full((SIDE_PX, SIDE_PX, 3), GROUND, dtype=np.uint8)
    width, height = (max(getattr(sample, side) for sample in samples) for side in ("width", "height"))
    cells = [(x, y) for y in range(0, SIDE_PX - height + 1, height) for x in range(0, SIDE_PX - width + 1, width)]
    order = numpy_generator(seed, "large image").permutation(len(cells))
    boxes: list[Placed] = []
    for sample, cell in zip(samples, order, strict=False):
        left, top = cells[cell]
        image = read_image(sample.uri, max_pixels).pixels
        pixels[top : top + image.shape[0], left : left + image.shape[1]] = image
        boxes += [((b.x1 + left, b.y1 + top, b.x2 + left, b.y2 + top), b.label) for b in sample.boxes]
    return LargeImage(pixels, tuple(boxes))


def _point(predictor: Predictor, images: Sequence[LargeImage], share: float, tile_px: int) -> SharePoint:
    # The overview alone is a tile that covers everything.
    tiling = Tiling(tile_px if share else SIDE_PX, share=share or 1.0)
    seen = [detect_tiled(predictor, image.pixels, tiling) for image in images]
    found = beside_truth(predictor.labels, images, [each.detections for each in seen])
    passes = sum(each.looked_at + 1 for each in seen) / len(seen)
    return SharePoint(share, passes, measure(found).map or 0.0)


def beside_truth(
    labels: tuple[str, ...], images: Sequence[LargeImage], seen: Sequence[Detections]
) -> LabeledDetections:
    """Detections beside the true boxes."""
    true = [(number, *placed) for number, image in enumerate(images) for placed in image.boxes]
    return LabeledDetections(
        labels=labels,
        image_ids=tuple(f"large {number}" for number in range(len(images))),
        sizes=np.full((len(images), 2), SIDE_PX),
        image=np.repeat(np.arange(len(seen)), [len(each) for each in seen]),
        boxes=np.concatenate([each.boxes.double().numpy() for each in seen]),
        scores=np.concatenate([each.scores.double().numpy() for each in seen]),
        classes=np.concatenate([each.labels.numpy() for each in seen]),
        true_image=np.array([number for number, _, _ in true], dtype=np.int64),
        true_boxes=np.array([box for _, box, _ in true], dtype=np.float64).reshape(-1, 4),
        true_classes=np.array([labels.index(label) + 1 for _, _, label in true], dtype=np.int64),
        region_image=np.zeros(0, dtype=np.int64),
        regions=np.zeros((0, 4)),
    )
