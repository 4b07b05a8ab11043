from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import find_objects, label
from torchvision.ops import box_iou

from pipeline.boxes import as_boxes
from pipeline.detector.inference.predictor import Detections
from pipeline.detector.inference.tiling import Tiling, cut_by_tile, detect_tiled, merge, most_salient, tiles_of
from tests.detector.small import said
from tests.detector.stand_in import StandIn


class Eye(StandIn):
    """Finds bright squares as large as eight input pixels or more; the brighter, the surer."""

    def __init__(self, image_size_px=64, batch_size=4):
        super().__init__(("square",), image_size_px, batch_size)
        self.detector = SimpleNamespace(settings=SimpleNamespace(nms_iou=0.5))
        self.passes = 0

    def __call__(self, images):
        self.passes += len(images)
        return [self._look(image[0]) for image in images]

    def _look(self, grey):
        boxes = []
        for rows, columns in find_objects(label((grey > 150).numpy())[0]):
            box = (columns.start, rows.start, columns.stop, rows.stop)
            if min(box[2] - box[0], box[3] - box[1]) >= 8:
                boxes.append((box, float(grey[rows, columns].float().mean()) / 256, 1))
        return said(*boxes)


def scene(width, height, *squares):
    pixels = np.full((height, width, 3), 40, dtype=np.uint8)
    for x, y, side in squares:
        pixels[y : y + side, x : x + side] = 220
    return pixels


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((50, 40), [(0, 0, 50, 40)]),
        ((100, 100), [(0, 0, 100, 100)]),
        ((180, 90), [(0, 0, 100, 90), (80, 0, 180, 90)]),
        ((200, 100), [(0, 0, 100, 100), (50, 0, 150, 100), (100, 0, 200, 100)]),
    ],
)
def test_tiles_cover_an_image_and_stay_inside(size, expected):
    assert [tuple(tile) for tile in tiles_of(*size, Tiling(100, 0.2)).tolist()] == expected


@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5])
def test_what_fits_into_the_overlap_lies_whole_in_a_tile(overlap):
    tiles, side = tiles_of(1000, 700, Tiling(128, overlap)), int(128 * overlap)
    for x in range(0, 1000 - side, 37):
        box = torch.tensor([x, 300, x + side, 300 + side])
        assert ((tiles[:, :2] <= box[:2]) & (tiles[:, 2:] >= box[2:])).all(1).any() or overlap == 0
    covered = np.zeros((700, 1000), dtype=bool)
    for left, top, right, bottom in tiles.tolist():
        covered[top:bottom, left:right] = True
    assert covered.all()


def test_small_objects_of_a_large_image_are_found_in_tiles_alone():
    squares = [(100, 100, 24), (700, 300, 24), (90, 560, 24)]
    eye = Eye()
    assert not len(eye._look(torch.from_numpy(scene(64, 64))))
    found = detect_tiled(eye, scene(960, 640, *squares), Tiling(128, 0.25))
    expected = as_boxes(sorted((x, y, x + side, y + side) for x, y, side in squares))
    boxes = found.detections.boxes
    torch.testing.assert_close(boxes[boxes[:, 0].argsort()], expected, rtol=0, atol=3)
    assert found.looked_at == found.tiles == eye.passes - 1


def test_a_large_object_is_found_once():
    """It is cut in every tile; the overview shows it whole."""
    found = detect_tiled(Eye(), scene(960, 960, (100, 100, 300)), Tiling(128, 0.25)).detections
    assert len(found) == 1
    torch.testing.assert_close(found.boxes, as_boxes([(100, 100, 400, 400)]), rtol=0, atol=16)


def test_a_share_of_the_tiles_is_looked_at_where_something_shows():
    squares = [(200, 200, 160), (250, 380, 40)]  # one that the overview shows, and a small one beside it
    eye = Eye()
    found = detect_tiled(eye, scene(1280, 1280, *squares), Tiling(256, 0.25, share=0.2))
    assert found.looked_at == -(-found.tiles // 5)
    assert eye.passes == found.looked_at + 1
    small = as_boxes([(250, 380, 290, 420)])
    assert box_iou(found.detections.boxes, small).max() > 0.8


def test_without_anything_to_see_contrast_decides():
    pixels = scene(256, 256, (200, 200, 4))
    tiles = tiles_of(256, 256, Tiling(128, 0.0))
    assert most_salient(tiles, said(), pixels, 1).tolist() == [3]
    assert most_salient(tiles, said(((10, 10, 20, 20), 0.3, 1)), pixels, 2).tolist() == [0, 3]


def test_an_image_that_one_tile_covers_is_looked_at_once():
    eye = Eye()
    found = detect_tiled(eye, scene(100, 60, (20, 20, 30)), Tiling(128))
    assert (eye.passes, found.tiles, found.looked_at) == (1, 1, 0)
    torch.testing.assert_close(found.detections.boxes, as_boxes([(20, 20, 50, 50)]), rtol=0, atol=2)


@pytest.mark.parametrize(
    ("box", "cut"),
    [((0, 10, 50, 50), False), ((60, 10, 100, 50), True), ((60, 10, 97, 50), False), ((10, 0, 50, 50), False)],
)
def test_edges_of_a_tile_cut_and_those_of_the_image_do_not(box, cut):
    assert cut_by_tile(as_boxes([box]), torch.tensor([0, 0, 100, 100]), (180, 180)).tolist() == [cut]


def test_a_part_gives_way_to_the_whole_of_its_class():
    found = said(
        ((0, 0, 40, 20), 0.6, 1), ((0, 0, 18, 20), 0.9, 1), ((0, 0, 18, 20), 0.8, 2), ((60, 0, 80, 20), 0.5, 1)
    )
    merged = merge(found, torch.tensor([False, True, True, True]), 0.5)
    assert list(zip(merged.scores.tolist(), merged.labels.tolist(), strict=True)) == [
        (pytest.approx(0.8), 2),
        (pytest.approx(0.6), 1),
        (pytest.approx(0.5), 1),
    ]
    assert isinstance(merged, Detections)


def test_nothing_merges_to_nothing():
    assert len(merge(said(), torch.zeros(0, dtype=torch.bool), 0.5)) == 0
