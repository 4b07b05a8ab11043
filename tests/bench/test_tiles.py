from __future__ import annotations

import numpy as np
import torch

from pipeline.bench.grid import Grid
from pipeline.bench.tiles import GROUND, SHARES, LargeImage, TilesCell, TilesResult, beside_truth, large_image
from pipeline.detector.evaluation.metrics import measure
from tests.builders import box
from tests.detector.small import painted, said


def test_images_lie_whole_and_apart_on_a_plain_ground(tmp_path):
    samples = [painted(tmp_path, f"part{n}", box(8, 8, 28, 30, "bolt"), box(34, 30, 60, 58, "nut")) for n in range(3)]
    made = large_image(samples, 0, 10_000_000)
    assert made.pixels.shape == (4000, 4000, 3)
    assert len(made.boxes) == 6
    corners = {tuple(np.array(corners).round()) for corners, _ in made.boxes}
    assert len(corners) == 6
    for (x1, y1, x2, y2), label in made.boxes:
        inner = made.pixels[int(y1) : int(y2), int(x1) : int(x2)].reshape(-1, 3).mean(0)
        assert inner.argmax() == {"bolt": 0, "nut": 2}[label]
    assert (made.pixels != GROUND).any(2).sum() <= 3 * 64 * 64
    assert np.array_equal(made.pixels, large_image(samples, 0, 10_000_000).pixels)


def test_the_truth_found_is_an_map_of_one():
    image = LargeImage(
        np.zeros((1, 1, 3), dtype=np.uint8), (((10.0, 10.0, 60.0, 60.0), "a"), ((100, 10, 160, 70), "b"))
    )
    seen = said(((10, 10, 60, 60), 0.9, 1), ((100, 10, 160, 70), 0.8, 2))
    assert measure(beside_truth(("a", "b"), [image, image], [seen, seen])).map == 1.0
    assert measure(beside_truth(("a", "b"), [image, image], [seen, seen[:1]])).map < 1.0
    assert torch.is_tensor(seen.boxes)


def test_a_detector_is_measured_at_every_share(tiny, root, monkeypatch):
    monkeypatch.setattr("pipeline.bench.tiles.SIDE_PX", 600)
    cells = [TilesCell(scenario, images=1, each=2) for scenario in tiny]
    (result,) = Grid(root / "tiles", TilesResult).run(cells)
    assert [point.share for point in result.curve] == list(SHARES)
    passes = [point.passes for point in result.curve]
    assert passes[0] == 1
    assert passes == sorted(passes)
    assert passes[-1] > 20
