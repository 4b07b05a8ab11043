from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.bench.moving_windows import disturb, frames_of, seen_through
from pipeline.boxes import as_boxes
from tests.builders import box, sample
from tests.detector.small import painted


def test_boxes_are_carried_into_the_frame():
    # The window shows 200 x 100 pixels from (100, 50) on, twice as large.
    window = torch.tensor([100.0, 50.0, 300.0, 150.0])
    boxes = as_boxes([(120, 60, 140, 90), (80, 50, 120, 70), (60, 50, 105, 70), (0, 0, 50, 40)])
    placed, visible = seen_through(boxes, window, 400, 200)
    assert placed[:2].tolist() == [[40, 20, 80, 80], [0, 0, 40, 40]]
    assert visible.tolist() == [True, True, False, False]


def test_what_lies_in_the_true_boxes_of_a_frame_is_the_object(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.bench.moving_windows.disturb", lambda pixels, _random: pixels)
    image = painted(tmp_path, "whole", box(8, 8, 28, 30, "bolt"), box(34, 30, 60, 58, "nut"))
    pixels = np.asarray(Image.open(image.uri).convert("RGB"))
    frames = frames_of(image, pixels, 5, 128, seed=3)
    assert [frame.sample.image_id for frame in frames] == [f"{image.image_id}.00{number}" for number in range(5)]
    assert {frame.pixels.shape for frame in frames} == {(128, 128, 3)}
    boxes = [(own, frame.pixels) for frame in frames for own in frame.sample.boxes]
    assert len(boxes) >= 5
    for own, shown in boxes:
        part = shown[int(own.y1) + 2 : int(own.y2) - 2, int(own.x1) + 2 : int(own.x2) - 2].reshape(-1, 3).mean(0)
        assert part.argmax() == {"bolt": 0, "nut": 2}[own.label]


def test_frames_move_by_the_same_step_and_by_the_seed():
    image = sample("one", box(150, 110, 170, 130), width=320, height=240)
    pixels = np.zeros((240, 320, 3), dtype=np.uint8)
    first, second = (frames_of(image, pixels, 9, 320, seed) for seed in (0, 1))
    sides = np.array([1 / (frame.sample.boxes[0].x2 - frame.sample.boxes[0].x1) for frame in first])
    assert np.diff(sides) == pytest.approx(np.diff(sides).mean(), abs=1e-6)
    again = frames_of(image, pixels, 9, 320, 0)
    assert all(np.array_equal(a.pixels, b.pixels) and a.sample == b.sample for a, b in zip(first, again, strict=True))
    assert first[0].sample.boxes != second[0].sample.boxes


def test_disturbed_pixels_stay_near_what_they_were():
    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    means = [disturb(grey, np.random.default_rng(seed)).mean() for seed in range(20)]
    assert 0.69 * 128 < min(means) < 128 < max(means) < 1.21 * 128
