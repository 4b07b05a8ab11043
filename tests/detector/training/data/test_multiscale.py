from __future__ import annotations

import pytest
import torch

from pipeline.detector.training.data.multiscale import rescale, scale_of
from pipeline.settings import MultiscaleSettings
from tests.detector.small import noise, target


def test_a_full_scale_changes_nothing():
    images, targets = noise(2), [target([(1, 2, 3, 4)]), target()]
    assert rescale(images, targets, 1.0) == (images, targets)


@pytest.mark.parametrize(("scale", "side"), [(0.5, 32), (0.6, 32), (0.8, 64), (0.1, 32)])
def test_sides_stay_multiples_of_the_stride(scale, side):
    images, _ = rescale(noise(2), [target(), target()], scale)
    assert images.shape == (2, 3, side, side)
    assert images.dtype == torch.uint8


def test_objects_stay_where_they_are():
    image = torch.zeros(1, 3, 64, 128, dtype=torch.uint8)
    image[..., 16:32, 32:64] = 255
    smaller, (scaled,) = rescale(image, [target([(32, 16, 64, 32)], ignore=[(0, 0, 64, 64)])], 0.5)
    assert scaled["boxes"].tolist() == [[16, 8, 32, 16]]
    assert scaled["ignore"].tolist() == [[0, 0, 32, 32]]
    assert smaller[0, 0, 9:15, 17:31].min() > 250
    assert smaller[0, 0, :, :14].max() < 5


def test_every_step_draws_a_scale_of_its_own_until_the_end():
    settings = MultiscaleSettings(enabled=True, smallest=0.5, end=0.5)
    drawn = [scale_of(settings, 0, step, step / 100) for step in range(100)]
    assert drawn == [scale_of(settings, 0, step, step / 100) for step in range(100)]
    assert all(0.5 <= one <= 1 for one in drawn[:50])
    assert len(set(drawn[:50])) == 50
    assert set(drawn[50:]) == {1.0}
    assert scale_of(MultiscaleSettings(enabled=False), 0, 0, 0.0) == 1.0


def test_visible_boxes_are_scaled_along():
    shown = {**target([(32, 16, 64, 32)]), "visible": torch.tensor([[32.0, 16, 48, 32]])}
    assert rescale(noise(1), [shown], 0.5)[1][0]["visible"].tolist() == [[16, 8, 24, 16]]


def test_frames_of_masks_are_scaled_along():
    masked = {**target([(32, 16, 64, 32)]), "frames": torch.tensor([[32.0, 16, 64, 16, 32, 32]])}
    image = torch.zeros(1, 3, 64, 128, dtype=torch.uint8)
    assert rescale(image, [masked], 0.5)[1][0]["frames"].tolist() == [[16, 8, 32, 8, 16, 16]]
