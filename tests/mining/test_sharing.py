import numpy as np
import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.mining.sharing import share_pastes

HERE, INSIDE, BESIDE, AWAY = (0, 0, 10, 10), (0, 0, 10, 6), (0, 0, 10, 8), (50, 50, 60, 60)


def share(*rows):
    """From `(box, label, image)`."""
    boxes, labels, images = zip(*rows, strict=True) if rows else ((), (), ())
    return share_pastes(as_boxes(boxes), torch.tensor(labels, dtype=torch.int64), np.array(images, dtype=object))


@pytest.mark.parametrize(
    ("rows", "shown", "stands"),
    [
        ((), [], []),
        (((HERE, 1, "a"),), [0], [0]),
        (((HERE, 1, "a"), (AWAY, 1, "a")), [0, 1], [0, 1]),
        (((HERE, 1, "a"), (INSIDE, 1, "a")), [0], [0, 0]),
        (((HERE, 1, "a"), (INSIDE, 2, "a")), [0, 1], [0, 1]),
        (((HERE, 1, "a"), (BESIDE, 2, "a")), [0], [0, 0]),
        (((HERE, 1, "a"), (HERE, 1, "b")), [0, 1], [0, 1]),
        (((HERE, 1, "a"), (AWAY, 1, "a"), (HERE, 1, "b"), (HERE, 2, "b")), [0, 1, 2], [0, 1, 2, 2]),
    ],
    ids=["none", "one", "apart", "IoU 0.6", "IoU 0.6, other class", "IoU 0.8, other class", "two images", "several"],
)
def test_boxes_at_one_place_share(rows, shown, stands):
    shared = share(*rows)
    assert (shared.shown.tolist(), shared.stands.tolist()) == (shown, stands)


def test_who_reads_which_paste():
    shared = share((HERE, 1, "a"), (AWAY, 1, "a"), (HERE, 2, "a"))
    paste, reader = shared.readers(torch.tensor([1, 0, 0]))
    assert list(zip(paste.tolist(), reader.tolist(), strict=True)) == [(0, 1), (1, 0), (1, 2), (2, 0), (2, 2)]
    assert [part.tolist() for part in shared.readers(torch.zeros(0, dtype=torch.int64))] == [[], []]


def test_which_classes_a_pasted_box_may_have():
    shared = share((HERE, 1, "a"), (AWAY, 1, "a"), (HERE, 2, "a"))
    assert shared.classes(torch.tensor([1, 1, 2]), 4).tolist() == [
        [False, True, True, False],
        [False, True, False, False],
    ]
