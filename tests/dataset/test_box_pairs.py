"""The fast pairing of boxes against a loop over every pair."""

from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from pipeline.dataset.box_pairs import SAME_OBJECT_IOU, iou_by_row, pair_boxes, pairs_in_images

SCHEMA = pa.schema([*((name, pa.string()) for name in ("image_id", "box_id", "label")),
                    *((name, pa.float32()) for name in ("x1", "y1", "x2", "y2"))])  # fmt: skip


def boxes(random, number, images, prefix):
    corners = random.integers(0, 5, (number, 2)) * 4
    rows = [
        {
            "image_id": f"image {random.integers(images)}",
            "box_id": f"{prefix}{name:03d}",
            "label": str(random.choice(["bolt", "nut"])),
            **dict(zip(("x1", "y1"), map(float, left), strict=True)),
            **dict(zip(("x2", "y2"), map(float, left + random.integers(10, 14, 2)), strict=True)),
        }
        for name, left in zip(random.permutation(number), corners, strict=True)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def naive(gone, new):
    """Every pair of one image that overlaps enough, the best first, each box at most once."""
    pairs = []
    for (left, one), (right, other) in product(enumerate(gone.to_pylist()), enumerate(new.to_pylist())):
        corners = (np.array([[row[name] for name in ("x1", "y1", "x2", "y2")]]) for row in (one, other))
        (iou,) = iou_by_row(*corners)
        if one["image_id"] == other["image_id"] and iou >= SAME_OBJECT_IOU:
            pairs.append((one["label"] != other["label"], -iou, one["box_id"], other["box_id"], left, right))
    chosen = []
    for *_, left, right in sorted(pairs):
        if all(left != one and right != other for one, other in chosen):
            chosen.append((left, right))
    return sorted(chosen)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("numbers", "images"), [((0, 0), 1), ((5, 0), 1), ((0, 5), 1), ((30, 25), 1), ((40, 40), 9)])
def test_pairs_are_those_of_a_loop(seed, numbers, images):
    random = np.random.default_rng(seed)
    gone, new = boxes(random, numbers[0], images, "a"), boxes(random, numbers[1], images + 1, "b")
    left, right, iou = pair_boxes(gone, new)
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == naive(gone, new)
    assert (iou >= SAME_OBJECT_IOU).all()
    ours, theirs = gone["image_id"].to_pylist(), new["image_id"].to_pylist()
    within = [
        (one, other) for one, other in product(range(len(ours)), range(len(theirs))) if ours[one] == theirs[other]
    ]
    assert list(zip(*map(np.ndarray.tolist, pairs_in_images(gone, new)), strict=True)) == within
