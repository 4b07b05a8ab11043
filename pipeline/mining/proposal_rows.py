"""Detections laid out as rows of the table of proposals, and read back from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipeline.boxes import as_boxes
from pipeline.detector.inference.predictor import Detections
from pipeline.detector.inference.stream import ImageBatch
from pipeline.mining.columns import CORNERS, corner_columns, table_of
from pipeline.mining.partner import PARTNER_NAMES
from pipeline.mining.proposals import Neighbours, class_scores, compare_neighbours
from pipeline.records import NEIGHBOUR_FIELDS, TTA_FIELDS, VISIBLE_SHARE


@dataclass(frozen=True)
class ProposalRows:
    """How the proposals of one detector are stored.

    Attributes:
        labels: Its classes, in the order of their numbers.
        model_id: Written to every proposal.
        schema: Columns of the table.
    """

    labels: tuple[str, ...]
    model_id: str
    schema: pa.Schema

    def write(self, batch: ImageBatch, found: list[Detections]) -> pa.Table:
        """Proposals before any check.

        Args:
            batch: Images.
            found: Detections of each, best first, in pixels of the batch.

        Returns:
            One row per detection, image by image, in pixels of the original image.
        """
        scores = [class_scores(detected, len(self.labels)) for detected in found]
        neighbours = Neighbours.join([compare_neighbours(detected) for detected in found])
        boxes = torch.cat([batch.to_original(index, detected.boxes) for index, detected in enumerate(found)])
        every = Detections.join(found)
        columns = {
            "proposal_id": _proposal_ids(batch, found),
            "image_id": [
                ref.image_id for ref, detected in zip(batch.refs, found, strict=True) for _ in range(len(detected))
            ],
            **corner_columns(boxes),
            "label": [self.labels[number - 1] for detected in found for number in detected.labels.tolist()],
            "score": every.scores.numpy(),
            "entropy": torch.cat([detected.entropy for detected in scores]).numpy(),
            "runner_up": torch.cat([detected.runner_up for detected in scores]).numpy(),
            **{name: getattr(neighbours, name).numpy() for name, _ in NEIGHBOUR_FIELDS},
            **dict.fromkeys((name for name, _ in TTA_FIELDS)),
            "closeup_score": None,
            "closeup_iou": None,
            **dict.fromkeys(PARTNER_NAMES),
            "embedding": pa.FixedSizeListArray.from_arrays(every.embeddings.numpy().ravel(), every.embeddings.shape[1]),
            "model_id": [self.model_id] * len(boxes),
            VISIBLE_SHARE: None if every.visible_share is None else every.visible_share.numpy(),
        }
        return table_of(columns, self.schema, len(boxes))

    def read(self, batch: ImageBatch, index: int, proposals: pa.Table) -> Detections:
        """Proposals of an image as they were detected, without embeddings.

        Args:
            batch: Holds the image.
            index: Of the image in the batch.
            proposals: Its rows.
        """
        boxes = as_boxes(np.stack([proposals[name].to_numpy() for name in CORNERS], axis=1))
        labels = pc.index_in(proposals["label"], value_set=pa.array(self.labels))
        return Detections(
            batch.to_input(index, boxes),
            torch.from_numpy(proposals["score"].to_numpy().copy()),
            torch.from_numpy(labels.to_numpy().astype(np.int64)) + 1,
            torch.zeros(len(proposals), 0),
        )


def _proposal_ids(batch: ImageBatch, found: list[Detections]) -> list[str]:
    pairs = zip(batch.refs, found, strict=True)
    return [f"{ref.image_id[:20]}.{rank:03d}" for ref, detected in pairs for rank in range(len(detected))]
