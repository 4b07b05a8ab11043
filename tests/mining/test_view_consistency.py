"""The measure of CALD on detections that are written down."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pipeline.detector.inference.predictor import Detections
from pipeline.mining.view_consistency import BASE, _distance, view_consistency
from tests.detector.stand_in import StandIn


def detections(*rows):
    boxes = torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4)
    scores = torch.tensor([row[1] for row in rows], dtype=torch.float32)
    labels = torch.tensor([row[2] for row in rows], dtype=torch.int64)
    return Detections(boxes, scores, labels, torch.zeros(len(rows), 2))


HERE, HALF, AWAY = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 5.0), (50.0, 50.0, 60.0, 60.0)


def divergence(p, q):
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    entropies = [sum(a * math.log(a / b) for a, b in zip(one, middle, strict=True) if a) for one in (p, q)]
    return sum(entropies) / 2


@pytest.mark.parametrize(
    ("again", "agreement"),
    [
        ((HERE, 0.8, 1), 1 + 0.8),
        ((HALF, 0.8, 1), 0.5 + 0.8),
        ((HERE, 0.4, 1), 1 + 0.6 * (1 - divergence((0.8, 0.0, 0.2), (0.4, 0.0, 0.6)))),
        ((HERE, 0.8, 2), 1 + 0.8 * (1 - divergence((0.8, 0.0, 0.2), (0.0, 0.8, 0.2)))),
    ],
    ids=["the same", "half as large", "less sure", "another class"],
)
def test_agreement_is_overlap_and_likeness_of_scores(again, agreement):
    distance = _distance(detections((HERE, 0.8, 1)), detections(again))
    assert distance == pytest.approx(min(1.0, abs(agreement - BASE)), abs=1e-6)


def test_the_least_typical_box_speaks_for_the_image():
    plain = detections((HERE, 0.8, 1), (AWAY, 0.3, 2))
    again = detections((HERE, 0.8, 1), (AWAY, 0.3, 2))
    assert _distance(plain, again) == pytest.approx(abs(1 + 0.3 - BASE), abs=1e-6)


class Flat(StandIn):
    """Sees one object in the middle of the upper half, whatever it looks at; nothing in black images."""

    def __call__(self, images):
        height, width = images.shape[-2:]
        box = (width / 4, 0.0, 3 * width / 4, height / 2)
        return [detections((box, 0.9, 2)) if image[:, 0, 0].max() else detections() for image in images]


def test_whole_images_are_looked_at_in_every_view(image_refs):
    refs = image_refs([(64, 64, 200), (64, 64, 0)])
    measured = view_consistency(Flat(["bolt", "nut"]), refs)
    distance, classes = measured[refs[0].image_id]
    assert 0 <= distance <= 1
    np.testing.assert_allclose(classes, [0, 0.9], atol=1e-6)
    assert measured[refs[1].image_id][0] == 0
    np.testing.assert_array_equal(measured[refs[1].image_id][1], [0, 0])


@pytest.fixture
def image_refs(tmp_path):
    import hashlib

    from PIL import Image

    from pipeline.records import ImageRef

    def write(shapes):
        refs = []
        for number, (width, height, level) in enumerate(shapes):
            place = tmp_path / f"{number}.png"
            Image.new("RGB", (width, height), (level,) * 3).save(place)
            refs.append(ImageRef(hashlib.sha256(place.read_bytes()).hexdigest(), str(place), width, height))
        return refs

    return write
