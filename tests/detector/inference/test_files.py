from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipeline.dataset.images import ImageFault
from pipeline.detector.inference.files import FoundBox, FoundInImage, detect_in_files
from pipeline.detector.inference.tiling import Tiling
from tests.detector.small import said
from tests.detector.stand_in import StandIn

WIDE = Tiling(128)


class Steady(StandIn):
    """Says the same of every image: a screw, and surer a nut."""

    def __init__(self):
        super().__init__(("nut", "screw"))
        self.detector = SimpleNamespace(settings=SimpleNamespace(nms_iou=0.5))

    def __call__(self, images):
        return [said(((10, 20, 30, 40), 0.87654, 1), ((40, 40, 60, 60), 0.5, 2)) for _ in images]


@pytest.fixture
def uris(tmp_path):
    paths = [str(tmp_path / f"{name}.png") for name in ("first", "second")]
    for path in paths:
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    return paths


def test_of_no_file_nothing_is_found():
    assert detect_in_files(Steady(), [], WIDE, 10_000) == []


def test_every_file_has_its_boxes_by_class_name_in_the_order_given(uris):
    seen = []
    found = detect_in_files(Steady(), uris, WIDE, 10_000, lambda *step: seen.append(step))
    boxes = (FoundBox("nut", 0.8765, 10, 20, 30, 40), FoundBox("screw", 0.5, 40, 40, 60, 60))
    assert found == [FoundInImage(uri, 64, 64, 1, 0, boxes) for uri in uris]
    assert seen == [("images", 1, 2), ("images", 2, 2)]


def test_an_image_of_too_many_pixels_is_refused(uris):
    with pytest.raises(ImageFault, match=r"first\.png: .* pixels, over the limit"):
        detect_in_files(Steady(), uris, WIDE, 64 * 63)
