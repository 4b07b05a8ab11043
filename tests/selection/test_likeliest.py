from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import nms

from pipeline.selection import likeliest
from pipeline.selection.likeliest import is_likeliest

JUST_BELOW_HALF = float(np.nextafter(np.float32(0.5), np.float32(0.0)))


def drawn(images, most, seed):
    """Boxes of some images in mixed order, some of them equally likely: image, p(correct), corners."""
    random = np.random.default_rng(seed)
    image = random.permutation(np.repeat(np.arange(images), random.integers(0, most + 1, images)))
    low = random.integers(0, 40, (len(image), 2))
    corners = np.concatenate([low, low + random.integers(5, 40, (len(image), 2))], axis=1)
    p_correct = (random.integers(0, 20, len(image)) / 20).astype(np.float32)
    return image, p_correct, torch.tensor(corners, dtype=torch.float32)


@pytest.mark.parametrize("together", [1, 300, 4_000_000])
def test_it_is_suppression_image_by_image(together, monkeypatch):
    monkeypatch.setattr(likeliest, "_PAIRS_TOGETHER", together)
    image, p_correct, boxes = drawn(200, 12, seed=0)
    expected = np.zeros(len(image), dtype=bool)
    for number in range(200):
        rows = np.flatnonzero(image == number)
        rows = rows[np.argsort(-p_correct[rows], kind="stable")]
        expected[rows[nms(boxes[rows], torch.tensor(p_correct[rows]), JUST_BELOW_HALF).numpy()]] = True
    assert 0.2 < expected.mean() < 0.95
    np.testing.assert_array_equal(is_likeliest(image, p_correct, boxes, 0.5), expected)


def test_a_box_that_a_suppressed_one_overlaps_stays():
    boxes = torch.tensor([[0, 0, 40, 40], [15, 0, 55, 40], [28, 0, 68, 40]], dtype=torch.float32)
    image, p_correct = np.zeros(3, dtype=np.intp), np.array([0.9, 0.8, 0.7], dtype=np.float32)
    assert is_likeliest(image, p_correct, boxes, 0.4).tolist() == [True, False, True]


def test_no_box():
    assert (
        is_likeliest(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.float32), torch.zeros(0, 4), 0.5).tolist() == []
    )
