"""Which images a project asks about that has no label yet: unlike each other, to be drawn from nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipeline.cycle import Cycle
from pipeline.detector.inference.image_features import image_features
from pipeline.detector.models.detector import build_detector
from pipeline.detector.training.fit import labeled_predictor
from pipeline.progress import Progress
from pipeline.records import QUEUE_SCHEMA, ImageRef, TaskKind
from pipeline.seeds import cycle_seed, draw
from pipeline.selection.diversity import diverse

LOOKED_AT = 5000
"""Images of a larger pool among which the first are sought, drawn at random: diversity needs no more."""
REASON = "one of the first images: please draw every object"


def unlike_images(cycle: Cycle, refs: Sequence[ImageRef], count: int, progress: Progress) -> list[str]:
    """Choose images that the pretrained backbone finds unlike each other.

    Args:
        cycle: Its settings name the backbone and the seed.
        refs: Images to choose among.
        count: How many.
        progress: Called while images are looked at.

    Returns:
        Image ids; fewer where fewer can be read.
    """
    settings = cycle.settings
    if not count:
        return []
    seed = cycle_seed(settings.seed, cycle.number)
    detector = build_detector(settings.detector, settings.data.labels, settings.training, seed)
    looked_at = draw(refs, LOOKED_AT, settings.seed, "first questions")
    seen = image_features(labeled_predictor(settings, detector), looked_at, progress)
    vectors = seen.vectors.astype(np.float64)
    chosen = diverse(vectors, np.ones(len(vectors)), count, settings.seed)
    return [seen.image_ids[index] for index in chosen.tolist()]


def first_queue(image_ids: Sequence[str]) -> pa.Table:
    """The queue of images that are all worth the same, columns of `QUEUE_SCHEMA`."""
    count = len(image_ids)
    columns = {
        "image_id": list(image_ids),
        "rank": list(range(count)),
        "value": [1.0] * count,
        "expected_corrections": [0.0] * count,
        "expected_missed": [0.0] * count,
        "boxes": [0] * count,
        "kind": [TaskKind.ASK.value] * count,
        "reason": [REASON] * count,
    }
    return pa.table(columns, QUEUE_SCHEMA)
