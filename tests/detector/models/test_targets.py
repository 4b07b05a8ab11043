from __future__ import annotations

import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.detector.models.targets import anchor_targets, in_ignore_region
from tests.detector.small import EVERYWHERE, LEFT, RIGHT, target


@pytest.mark.parametrize(
    ("boxes", "ignore", "expected"),
    [
        ([], [], []),
        ([], [EVERYWHERE], []),
        ([(0, 0, 10, 10)], [], [False]),
        ([(0, 0, 10, 10)], [(20, 20, 30, 30)], [False]),
        ([(0, 0, 10, 10)], [(0, 0, 5, 10)], [False]),
        ([(0, 0, 10, 10)], [(0, 0, 6, 10)], [True]),
        ([(0, 0, 10, 10)], [(20, 20, 30, 30), (0, 0, 10, 10)], [True]),
        ([(0, 0, 10, 10)], [(0, 0, 4, 10), (6, 0, 10, 10)], [False]),
    ],
)
def test_in_ignore_region(boxes, ignore, expected):
    assert in_ignore_region(as_boxes(boxes), as_boxes(ignore)).tolist() == expected


ANCHORS = as_boxes([(0, 0, 10, 10), (20, 20, 30, 30), (40, 40, 50, 50), (60, 60, 70, 70)])


@pytest.mark.parametrize(
    ("given", "matches", "labels", "weights"),
    [
        (target(), [-1, -1, -1, -1], [0, 0, 0, 0], [1, 1, 1, 1]),
        (target(ignore=[(0, 0, 10, 10)]), [-1, -1, -1, -1], [-1, 0, 0, 0], [1, 1, 1, 1]),
        (target([LEFT, RIGHT], [2, 1], [0.5, 1.0]), [1, 0, -2, -1], [1, 2, -1, 0], [1.0, 0.5, 1, 1]),
        (target([LEFT], [2], ignore=[EVERYWHERE]), [0, -1, -2, -1], [2, -1, -1, 0], [1, 1, 1, 1]),
    ],
)
def test_anchor_targets(given, matches, labels, weights):
    expected = anchor_targets([given], [ANCHORS], [torch.tensor(matches)])
    assert expected.labels.tolist() == [labels]
    assert expected.weights.tolist() == [weights]
    for index, match in enumerate(matches):
        if match >= 0:
            assert torch.equal(expected.boxes[0, index], given["boxes"][match])
