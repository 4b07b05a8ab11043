from __future__ import annotations

import torch

from pipeline.bench.grid import Grid
from pipeline.bench.shifted import ShiftedCell, ShiftedResult, shift


def test_another_camera():
    seen = shift(torch.tensor([0, 100, 255], dtype=torch.uint8).expand(1, 3, 1, 3))
    assert seen[0, :, 0].tolist() == [[60, 110, 188], [25, 75, 152], [0, 50, 128]]


def test_a_detector_is_measured_before_and_after(tiny, root):
    (result,) = Grid(root / "shifted", ShiftedResult).run([ShiftedCell(scenario) for scenario in tiny])
    assert (result.set, result.labelled, result.seed) == ("tiny", 4, 0)
    assert all(0 <= value <= 1 for value in (result.clean, result.shifted, result.adapted))
