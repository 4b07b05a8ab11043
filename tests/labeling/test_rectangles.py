import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.labeling.rectangles import read_rectangle, to_percent, to_pixels


def rectangle(x=10.0, y=20.0, width=30.0, height=40.0, **more):
    return {"x": x, "y": y, "width": width, "height": height, **more}


def test_no_boxes_give_no_rectangles():
    assert to_percent(np.zeros((0, 4)), 320, 240).shape == (0, 4)
    assert to_pixels(np.zeros((0, 4)), np.zeros(0), 320, 240).shape == (0, 4)


def test_percent_of_a_written_out_box():
    np.testing.assert_allclose(to_percent(np.array([[32, 24, 96, 120]]), 320, 240), [[10, 10, 20, 40]], atol=1e-12)


@given(
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=8),
    st.integers(1, 30_000),
    st.integers(1, 30_000),
)
def test_pixels_percent_pixels_is_exact(shares, width, height):
    shares = np.array(shares).reshape(-1, 4)
    corners = np.hstack([np.minimum(shares[:, :2], shares[:, 2:]), np.maximum(shares[:, :2], shares[:, 2:])])
    corners = corners * [width, height, width, height]
    back = to_pixels(to_percent(corners, width, height), np.zeros(len(corners)), width, height)
    np.testing.assert_allclose(back, corners, rtol=0, atol=1e-9)


@given(st.lists(st.floats(1, 50), min_size=4, max_size=4), st.integers(100, 30_000), st.integers(100, 30_000))
def test_one_rectangle_is_read_as_many_are(numbers, width, height):
    reading = read_rectangle(rectangle(*numbers), width, height)
    many = to_pixels(np.array([numbers]), np.zeros(1), width, height)
    np.testing.assert_array_equal(reading.corners, many[0].clip(0, [width, height, width, height]))


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        (0, [100, 100, 140, 120]),
        (90, [80, 100, 100, 140]),
        (180, [60, 80, 100, 100]),
        (270, [100, 60, 120, 100]),
        (360, [100, 100, 140, 120]),
        (-90, [100, 60, 120, 100]),
    ],
)
def test_quarter_turns_about_the_top_left_corner_in_pixels(rotation, expected):
    # 40 x 20 pixels at (100, 100) of an image of 400 x 200: in percent the sides have unlike scales.
    hull = to_pixels(np.array([[25.0, 50.0, 10.0, 10.0]]), np.array([rotation]), 400, 200)
    np.testing.assert_allclose(hull, [expected], atol=1e-9)


def test_hull_of_a_turned_rectangle_is_the_hull_of_its_corners():
    generator = np.random.default_rng(0)
    rectangles, rotations = generator.uniform(0, 100, (50, 4)), generator.uniform(-360, 360, 50)
    for row, angle, hull in zip(rectangles, rotations, to_pixels(rectangles, rotations, 640, 480), strict=True):
        x, y, w, h = row * [6.4, 4.8, 6.4, 4.8]
        turn = np.exp(1j * np.deg2rad(angle))
        corners = complex(x, y) + turn * np.array([0, w, w + 1j * h, 1j * h])
        expected = [corners.real.min(), corners.imag.min(), corners.real.max(), corners.imag.max()]
        np.testing.assert_allclose(hull, expected, atol=1e-9)


def test_the_formula_agrees_with_the_sdk():
    geometry = pytest.importorskip("label_studio_sdk.converter.utils")
    label = {"x": 25, "y": 50, "width": 10, "height": 10, "rotation": 30}
    region = {**label, "original_width": 400, "original_height": 200, "rectanglelabels": ["bolt"]}
    points = np.array(geometry.convert_annotation_to_yolo_obb(region, normalize=False))
    hull = to_pixels(np.array([[25, 50, 10, 10]]), np.array([30]), 400, 200)[0]
    np.testing.assert_allclose(hull, [*points.min(0), *points.max(0)], atol=1e-6)


@pytest.mark.parametrize(
    ("value", "corners", "notes"),
    [
        (rectangle(), (32, 48, 128, 144), []),
        (rectangle(rotation=0), (32, 48, 128, 144), []),
        (rectangle(rotation=360), (32, 48, 128, 144), []),
        (rectangle(rotation=90), (0, 48, 32, 144), ['turned by 90 degrees.*"rotation": 90', "beyond the image"]),
        (rectangle(x=90, width=20), (288, 48, 320, 144), ['beyond the image and was clipped.*"x": 90']),
        (rectangle(x=-10, y=-20, width=20, height=30), (0, 0, 32, 24), ["clipped"]),
        (rectangle(x=90, width=10.0000000001), (288, 48, 320, 144), []),
        (rectangle(x=120), None, ["clipped", "no area"]),
        (rectangle(width=0), None, ['above 0, got.*"width": 0']),
        (rectangle(height=-1), None, ["above 0"]),
        (rectangle(x=None), None, ["expected numbers.*null"]),
        (rectangle(x="10"), None, ["expected numbers"]),
        (rectangle(rotation=float("nan")), None, ["expected numbers"]),
        ({}, None, ["expected numbers"]),
    ],
)
def test_reading(value, corners, notes):
    reading = read_rectangle(value, 320, 240)
    assert (reading.corners is None) == (corners is None)
    if corners is not None:
        np.testing.assert_allclose(reading.corners, corners, atol=1e-6)
    assert len(reading.notes) == len(notes)
    for note, pattern in zip(reading.notes, notes, strict=True):
        assert re.search(pattern, note)


def test_a_image_turned_on_the_screen_changes_no_number():
    # Read off the real page: a box drawn in the right half of an image turned by 90 degrees.
    value = {"x": 49.959, "y": 40.049, "width": 30.099, "height": 9.868, "rotation": 0}
    turned = read_rectangle(value, 320, 240, image_rotation=90)
    assert turned.corners == read_rectangle(value, 320, 240).corners
    assert turned.notes == ("drawn while the image was turned by 90 degrees; read for the unturned image",)
