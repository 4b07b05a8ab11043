from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from pipeline.boxes import as_boxes
from pipeline.matching import mark_right, match_boxes, objects_shown
from tests.builders import box, image_id, sample

# A coarse grid, so that equal boxes, equal overlaps and equal scores are common.
CORNERS = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 3), st.integers(1, 3)).map(
    lambda v: (v[0] * 10.0, v[1] * 10.0, (v[0] + v[2]) * 10.0, (v[1] + v[3]) * 10.0)
)
FOUND = st.lists(st.tuples(CORNERS, st.integers(1, 2), st.sampled_from([0.1, 0.5, 0.9])), max_size=8)
TRUE = st.lists(st.tuples(CORNERS, st.integers(1, 2)), max_size=5)


def match(found, true, iou=0.5):
    return match_boxes(
        as_boxes([row[0] for row in found]),
        torch.tensor([row[1] for row in found], dtype=torch.int64),
        torch.tensor([row[2] for row in found]),
        as_boxes([row[0] for row in true]),
        torch.tensor([row[1] for row in true], dtype=torch.int64),
        iou,
    ).tolist()


def match_in_a_loop(found, true, iou):
    wanted = []
    for corners, label, _ in found:
        overlaps = [
            float(box_iou(as_boxes([corners]), as_boxes([other]))) if label == other_label else 0.0
            for other, other_label in true
        ]
        best = max(range(len(true)), key=lambda j: overlaps[j], default=-1)
        wanted.append(best if true and overlaps[best] >= iou and overlaps[best] > 0 else -1)
    matched, taken = [-1] * len(found), set()
    for index in sorted(range(len(found)), key=lambda i: -found[i][2]):
        if wanted[index] >= 0 and wanted[index] not in taken:
            taken.add(wanted[index])
            matched[index] = wanted[index]
    return matched


HERE, NEAR, FAR = (0, 0, 10, 10), (0, 0, 10, 8), (50, 50, 60, 60)


@pytest.mark.parametrize(
    ("found", "true", "expected"),
    [
        ([], [], []),
        ([], [(HERE, 1)], []),
        ([(HERE, 1, 0.9)], [], [-1]),
        ([(HERE, 1, 0.9)], [(HERE, 1)], [0]),
        ([(HERE, 2, 0.9)], [(HERE, 1)], [-1]),
        ([(FAR, 1, 0.9)], [(HERE, 1)], [-1]),
        ([(HERE, 1, 0.5), (NEAR, 1, 0.9)], [(HERE, 1)], [-1, 0]),
        ([(HERE, 1, 0.5), (HERE, 1, 0.5)], [(HERE, 1)], [0, -1]),
        ([(HERE, 1, 0.5), (FAR, 1, 0.9)], [(FAR, 1), (HERE, 1)], [1, 0]),
    ],
)
def test_match_boxes(found, true, expected):
    assert match(found, true) == expected


@pytest.mark.parametrize("found", [(FAR, 1, 0.9), (HERE, 2, 0.9)])
def test_no_overlap_and_another_class_never_match_even_at_iou_0(found):
    assert match([found], [(HERE, 1)], iou=0.0) == [-1]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(FOUND, TRUE, st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_match_boxes_equals_a_plain_loop(found, true, iou):
    assert match(found, true, iou) == match_in_a_loop(found, true, iou)


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
