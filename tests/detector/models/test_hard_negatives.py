from __future__ import annotations

import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.detector.models.hard_negatives import likeliest_background
from pipeline.settings import TripletSettings
from tests.detector.small import ARCHITECTURES, detector, noise, target, training

A, A_TOO, B, FLAT = (0, 0, 10, 10), (1, 0, 11, 10), (30, 30, 40, 40), (5, 5, 5, 9)


@pytest.mark.parametrize(
    ("rows", "count", "expected"),
    [
        ([], 3, []),
        ([(A, 0.9, False)], 3, []),
        ([(A, 0.1, True), (B, 0.9, True)], 3, [B, A]),
        ([(A, 0.1, True), (B, 0.9, True)], 1, [B]),
        ([(A, 0.8, True), (A_TOO, 0.7, True), (B, 0.1, True)], 2, [A, B]),  # one place
        ([(A, 0.8, False), (A_TOO, 0.7, True)], 2, [A_TOO]),
        ([(FLAT, 0.9, True), (B, 0.1, True)], 2, [B]),
    ],
)
def test_likeliest_background(rows, count, expected):
    boxes, scores, background = zip(*rows, strict=True) if rows else ((), (), ())
    found = likeliest_background(
        torch.tensor(scores), torch.tensor(background, dtype=torch.bool), as_boxes(boxes), count
    )
    assert found.tolist() == [list(map(float, box)) for box in expected]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_detector_looks_where_no_object_and_no_ignore_region_is(architecture):
    settings = training(triplet=TripletSettings(background_negatives=4))
    model = detector(architecture, settings=settings)
    given = target([(4, 4, 28, 28)], [1], ignore=[(32, 0, 64, 64)])
    model(noise(2), [given, target()])
    head = model.network.roi_heads if architecture == "faster_rcnn" else model.network.head
    found = head.hard_background
    assert [one.shape[1] for one in found] == [4, 4]
    assert 0 < len(found[1]) <= 4
    assert all(not one.requires_grad for one in found)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_background_teaches_the_embedding(architecture):
    """One class alone makes no triplet; with background it does."""
    boxes = [target([(4, 4, 28, 28), (34, 34, 60, 60)], [1, 1])] * 2
    costs = []
    for count in (0, 4):
        settings = training(triplet=TripletSettings(background_negatives=count, margin=2.0, mining="batch_all"))
        model = detector(architecture, settings=settings)
        costs.append(model(noise(2), boxes)["triplet"].item())
    assert costs[0] == 0
    assert costs[1] > 0
