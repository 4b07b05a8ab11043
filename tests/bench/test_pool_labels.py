from __future__ import annotations

import pytest

from pipeline.bench.pool_labels import PseudoLabelTruth, compare_with_truth, naive_labels
from pipeline.bench.scenario import train
from pipeline.records import Region, Source, State


@pytest.fixture(scope="module")
def base(tiny):
    return train(tiny[0].settings())


@pytest.mark.parametrize(
    ("judged", "right", "true_boxes", "precision", "recall"),
    [(0, 0, 0, None, None), (0, 0, 8, None, 0.0), (4, 3, 8, 0.75, 0.375)],
)
def test_shares_are_of_what_can_be_judged(judged, right, true_boxes, precision, recall):
    truth = PseudoLabelTruth(2, 5, judged, right, true_boxes, regions=0, certified=0)
    assert (truth.precision, truth.recall) == (precision, recall)


def test_naive_labels_are_every_detection_of_a_confidence(base):
    every, sure = naive_labels(base, 0.02), naive_labels(base, 0.45)
    boxes = {box.box_id: box for sample in every for box in sample.boxes}
    assert {box.box_id for sample in sure for box in sample.boxes} == {
        box_id for box_id, box in boxes.items() if box.score >= 0.45
    }
    assert 0 < sum(len(sample.boxes) for sample in sure) < len(boxes)
    assert {sample.state for sample in every} == {State.PSEUDO}
    assert {box.source for box in boxes.values()} == {Source.PSEUDO}
    assert all(box.p_correct is None for box in boxes.values()), "as if people had drawn them"
    assert naive_labels(base, 1.0) == []


def test_the_annotator_counts_right_boxes(base):
    labels = naive_labels(base, 0.02)
    truth = compare_with_truth(base, labels)
    assert truth.images == len(labels)
    assert truth.boxes == truth.judged == sum(len(sample.boxes) for sample in labels)
    assert 0 < truth.right < truth.judged
    assert 0 < truth.right <= truth.true_boxes
    assert (truth.regions, truth.certified) == (0, 0)
    none = compare_with_truth(base, [])
    assert (none.boxes, none.right, none.true_boxes) == (0, 0, truth.true_boxes)


def test_regions_and_certified_boxes_are_counted(base):
    from dataclasses import replace

    sample = naive_labels(base, 0.02)[0]
    first, *others = sample.boxes
    certified = replace(first, p_correct=0.97)
    soft = [replace(box, p_correct=0.6, source=Source.SOFT) for box in others]
    labeled = replace(sample, boxes=(certified, *soft), ignore=(Region(1, 1, 9, 9, reason="weak"),) * 2)
    truth = compare_with_truth(base, [labeled])
    assert (truth.regions, truth.certified, truth.boxes) == (2, 1, 1 + len(others))
