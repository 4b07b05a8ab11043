from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipeline.detector.evaluation.proposal_matching import mark_right, match_proposals, matched_boxes, objects_shown
from tests.builders import box, image_id, sample
from tests.detector.matching import match_in_a_loop

HERE, NEAR, FAR = (0, 0, 10, 10), (0, 0, 10, 8), (50, 50, 60, 60)


def proposals(*rows):
    """Rows of image, corners, label, score."""
    columns = {name: [row[1][k] for row in rows] for k, name in enumerate(["x1", "y1", "x2", "y2"])}
    return pa.table(
        {
            "image_id": pa.array([image_id(row[0]) for row in rows], pa.string()),
            **{name: pa.array(values, pa.float32()) for name, values in columns.items()},
            "label": pa.array([row[2] for row in rows], pa.string()),
            "score": pa.array([row[3] for row in rows], pa.float32()),
        }
    )


A_BOLT, A_NUT = box(*HERE, label="bolt"), box(*HERE, label="nut")


@pytest.mark.parametrize(
    ("rows", "samples", "expected"),
    [
        ([], [], []),
        ([], [sample("one", A_BOLT)], []),
        ([("one", HERE, "bolt", 0.9)], [], [False]),
        ([("one", HERE, "bolt", 0.9)], [sample("one")], [False]),
        ([("one", HERE, "bolt", 0.9)], [sample("one", A_BOLT)], [True]),
        ([("one", HERE, "gear", 0.9)], [sample("one", A_BOLT)], [False]),
        ([("two", HERE, "bolt", 0.9)], [sample("one", A_BOLT)], [False]),
        ([("one", HERE, "nut", 0.9)], [sample("one", A_BOLT), sample("two", A_NUT)], [False]),
        ([("one", HERE, "bolt", 0.1), ("one", NEAR, "bolt", 0.2)], [sample("one", A_BOLT)], [False, True]),
    ],
)
def test_mark_right(rows, samples, expected):
    right = mark_right(proposals(*rows), samples, 0.5)
    assert right.dtype == np.bool_
    assert right.tolist() == expected


def test_mark_right_equals_matching_image_by_image():
    random = np.random.default_rng(3)
    names, labels = ["one", "two", "three"], ["bolt", "nut"]

    def corners():
        x, y = random.integers(0, 4, 2) * 10.0
        return (x, y, x + 10 * random.integers(1, 3), y + 10 * random.integers(1, 3))

    rows = [
        (random.choice(names), corners(), str(random.choice(labels)), float(random.choice([0.2, 0.7])))
        for _ in range(200)
    ]
    samples = [sample(name, *(box(*corners(), label=str(random.choice(labels))) for _ in range(6))) for name in names]
    expected = np.zeros(len(rows), dtype=bool)
    for one in samples:
        mine = [i for i, row in enumerate(rows) if image_id(row[0]) == one.image_id]
        found = [(rows[i][1], labels.index(rows[i][2]), rows[i][3]) for i in mine]
        true = [(each.xyxy, labels.index(each.label)) for each in one.boxes]
        expected[mine] = [index >= 0 for index in match_in_a_loop(found, true, 0.5)]
    chunks = pa.concat_tables([proposals(*rows[:70]), proposals(*rows[70:])])
    assert expected.any()
    assert not expected.all()
    np.testing.assert_array_equal(mark_right(chunks, samples, 0.5), expected)


@pytest.mark.parametrize(
    ("rows", "samples", "expected"),
    [
        ([], [], []),
        ([("one", HERE, "bolt", 0.9)], [], [""]),
        ([("one", HERE, "bolt", 0.9)], [sample("one")], [""]),
        ([("one", HERE, "bolt", 0.9)] * 2, [sample("one", A_NUT)], ["nut", "nut"]),
        ([("one", NEAR, "gear", 0.9)], [sample("one", box(*NEAR, label="bolt"), A_NUT)], ["bolt"]),
        ([("one", HERE, "bolt", 0.9)], [sample("one", box(500.0, 500.0, 510.0, 510.0))], [""]),
        (
            [("two", HERE, "gear", 0.9), ("one", HERE, "gear", 0.9), ("two", (500, 500, 510, 510), "gear", 0.9)],
            [sample("one", A_BOLT), sample("two", A_NUT)],
            ["nut", "bolt", ""],
        ),
    ],
    ids=["none", "unknown image", "empty image", "duplicates", "the nearest", "too far", "several images"],
)
def test_objects_shown(rows, samples, expected):
    assert objects_shown(proposals(*rows), samples, 0.5).tolist() == expected


def test_true_boxes_are_found_by_image_and_number():
    samples = [sample("one", A_NUT, A_BOLT), sample("two"), sample("three", box(*FAR, label="nut"))]
    rows = proposals(
        ("three", FAR, "nut", 0.9), ("one", NEAR, "bolt", 0.8), ("two", HERE, "bolt", 0.7), ("lost", HERE, "bolt", 0.6)
    )
    matched = match_proposals(rows, samples, 0.5)
    assert matched.tolist() == [0, 1, -1, -1]
    truth = matched_boxes(rows, samples, matched)
    np.testing.assert_array_equal(truth, [FAR, HERE, [np.nan] * 4, [np.nan] * 4])


def test_no_proposals_and_no_samples_have_no_true_boxes():
    assert matched_boxes(proposals(), [], np.zeros(0, dtype=np.int64)).shape == (0, 4)
    lonely = matched_boxes(proposals(("one", HERE, "bolt", 0.9)), [], np.array([-1]))
    assert np.isnan(lonely).all()
