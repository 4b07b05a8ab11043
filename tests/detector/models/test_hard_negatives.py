from __future__ import annotations

import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.detector.models.hard_negatives import likeliest_background
from pipeline.settings import TripletSettings
from tests.detector.small import ARCHITECTURES, LEFT, detector, noise, target, training

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
def test_background_is_where_no_object_and_no_ignore_region_is(architecture):
    settings = training(triplet=TripletSettings(background_negatives=4))
    model = detector(architecture, settings=settings)
    far_beyond = (-1000.0, -1000.0, 1000.0, 1000.0)  # holds the largest anchors too
    model(noise(3), [target([LEFT], [1], ignore=[far_beyond]), target([LEFT], [1]), target()])
    background = model.network.hard_background
    assert [boxes.shape[1] for boxes in background] == [4, 4, 4]
    assert len(background[0]) == 0
    assert all(0 < len(boxes) <= 4 for boxes in background[1:])
    assert all(not boxes.requires_grad for boxes in background)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "triplet", [TripletSettings(), TripletSettings(enabled=False, background_negatives=4)], ids=["none", "off"]
)
def test_nobody_looks_for_background_that_is_not_wanted(architecture, triplet):
    model = detector(architecture, settings=training(triplet=triplet))
    model(noise(2), [target([(4, 4, 28, 28)], [1]), target()])
    assert model.network.hard_background == ()


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
