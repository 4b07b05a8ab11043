"""Flip agreement by a detector that sees one white block, wherever it lies."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from pipeline.bench.box_scores import flip_agreement
from pipeline.detector.inference.predictor import Detections
from pipeline.detector.inference.stream import ImageStream
from pipeline.records import Sample, Split, State
from pipeline.selection.held_back import HeldBack
from pipeline.selection.localisation_bias import LocalisationBias

BLOCK = (8.0, 20.0, 40.0, 60.0)


class SeesWhite:
    """Finds the bounding box of white pixels, as a nut, the surer the farther right it lies."""

    labels = ("bolt", "nut")

    def stream(self, refs):
        return ImageStream(refs, image_size_px=128, max_pixels=10**6, batch_size=2, threads=1)

    def __call__(self, images):
        return [self._detect(image) for image in images]

    def _detect(self, image):
        rows, columns = torch.where(image[0] > 250)
        box = torch.tensor([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], dtype=torch.float32)
        score = 0.8 if columns.min() > 64 else 0.3
        return Detections(box, torch.tensor([score]), torch.tensor([2]), torch.zeros(1, 0))


@pytest.fixture
def pool(tmp_path):
    """Two images with the block; proposals at it, at it with another class, and elsewhere."""
    samples, rows = [], []
    for number in range(2):
        pixels = np.full((96, 128, 3), 60, np.uint8)
        x1, y1, x2, y2 = map(int, BLOCK)
        pixels[y1:y2, x1:x2] = 255
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(path)
        image_id = str(number) * 64
        samples.append(
            Sample(image_id=image_id, uri=str(path), width=128, height=96, split=Split.TEST, group_id=image_id,
                   state=State.LABELED)
        )  # fmt: skip
        rows += [(image_id, "nut", BLOCK), (image_id, "bolt", BLOCK), (image_id, "nut", (80.0, 20.0, 112.0, 60.0))]
    columns = {"image_id": [row[0] for row in rows], "label": [row[1] for row in rows]}
    columns |= {name: [row[2][at] for row in rows] for at, name in enumerate(("x1", "y1", "x2", "y2"))}
    evidence = pa.table(columns)
    return HeldBack(evidence, LocalisationBias(), evidence, np.full(6, -1), np.array([""] * 6), samples)


def test_flip_agreement_is_the_score_at_the_same_place_in_the_mirrored_image(pool):
    # Mirrored, the block lies to the right, where this detector is surer.
    assert flip_agreement(SeesWhite(), pool).tolist() == pytest.approx([0.8, 0.0, 0.0] * 2)
