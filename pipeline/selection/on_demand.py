"""What some query strategies have made for them in a cycle: more looks at images, boxes with embeddings, quality."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pyarrow as pa

from pipeline.cycle import Cycle
from pipeline.detector.evaluation.class_quality import class_quality
from pipeline.detector.evaluation.labeled_detections import detect_labeled
from pipeline.detector.inference.predictor import Predictor
from pipeline.detector.models.saved import load_model
from pipeline.detector.training.fit import labeled_predictor
from pipeline.mining.view_consistency import view_consistency
from pipeline.records import Split, of_images
from pipeline.selection.pool import OnDemand, Views

_UNREAD = 2.0
"""Distance of an image that cannot be read any more: it is asked about last."""


def on_demand(cycle: Cycle, model_id: str) -> OnDemand:
    """What strategies may have made in a cycle whose pool a model has mined; the model is loaded when it is needed."""

    @cache
    def predictor() -> Predictor:
        return labeled_predictor(cycle.settings, load_model(cycle.workspace.models, model_id))

    def boxes(image_ids: list[str]) -> pa.Table:
        columns = ["image_id", "label", "score", "embedding"]
        return cycle.folder.read_table("proposals.parquet", columns, of_images(image_ids))

    def views(image_ids: list[str]) -> Views:
        samples = cycle.store.by_ids(image_ids)
        measured = view_consistency(predictor(), [sample.ref for sample in samples])
        nothing = (_UNREAD, np.zeros(len(cycle.settings.data.labels)))
        rows = [measured.get(image_id, nothing) for image_id in image_ids]
        return Views(np.array([distance for distance, _ in rows]), np.stack([classes for _, classes in rows]))

    def quality() -> Mapping[str, float]:
        return class_quality(detect_labeled(predictor(), cycle.store.labeled(Split.TRAIN)))

    return OnDemand(boxes, views, quality)
