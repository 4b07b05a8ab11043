import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.boxes import as_boxes
from pipeline.dataset.orientation import displayed_boxes, displayed_image, displayed_size

ORIENTATIONS = st.integers(1, 8)


def test_no_boxes_stay_no_boxes():
    assert displayed_boxes(as_boxes([]), 40, 30, 6).shape == (0, 4)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, (1, 2, 5, 4)),
        (2, (35, 2, 39, 4)),
        (3, (35, 26, 39, 28)),
        (4, (1, 26, 5, 28)),
        (5, (2, 1, 4, 5)),
        (6, (26, 1, 28, 5)),
        (7, (26, 35, 28, 39)),
        (8, (2, 35, 4, 39)),
    ],
)
def test_a_box_of_a_40_by_30_image(orientation, expected):
    assert displayed_boxes(as_boxes([(1, 2, 5, 4)]), 40, 30, orientation).tolist() == [list(expected)]


@given(orientation=ORIENTATIONS, x=st.integers(0, 30), y=st.integers(0, 20), w=st.integers(1, 9), h=st.integers(1, 9))
def test_a_box_goes_where_its_pixels_go(orientation, x, y, w, h):
    pixels = np.zeros((30, 40), np.uint8)
    pixels[y : y + h, x : x + w] = 255
    shown = np.asarray(displayed_image(Image.fromarray(pixels), orientation))
    rows, columns = np.nonzero(shown)
    around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert displayed_boxes(as_boxes([(x, y, x + w, y + h)]), 40, 30, orientation).tolist() == [around]
    assert shown.shape[::-1] == displayed_size(40, 30, orientation)


@given(orientation=ORIENTATIONS)
def test_size_leads_back(orientation):
    assert displayed_size(*displayed_size(40, 30, orientation), orientation) == (40, 30)


@given(orientation=ORIENTATIONS)
def test_an_inverted_box_stays_inverted(orientation):
    corners = displayed_boxes(as_boxes([(9, 8, 3, 4)]), 40, 30, orientation)[0]
    assert torch.all(corners[2:] < corners[:2])
