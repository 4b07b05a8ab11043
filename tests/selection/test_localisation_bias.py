import numpy as np
import pyarrow as pa
import pytest

from pipeline.selection.localisation_bias import (
    FARTHEST,
    LEAST_BOXES,
    LocalisationBias,
    fit_localisation_bias,
    xyxy_of,
)
from tests.selection.keeping import written_and_read

SIZES = pa.table({"image_id": ["a", "b"], "width": [100, 50], "height": [80, 40]})


def boxes(*rows):
    """A table from `(image_id, label, x1, y1, x2, y2)`."""
    names, labels, *corners = zip(*rows, strict=True) if rows else [()] * 6
    columns = dict(zip(("x1", "y1", "x2", "y2"), (pa.array(column, pa.float32()) for column in corners), strict=True))
    return pa.table({"image_id": pa.array(names, pa.string()), "label": pa.array(labels, pa.string()), **columns})


def drawn(count, shift, noise, seed=0):
    """Boxes of one class, and the truth that lies elsewhere: `shift` and noise in sides of the box."""
    random = np.random.default_rng(seed)
    corner, side = random.uniform(0, 50, (count, 2)), random.uniform(10, 30, (count, 2))
    corners = np.hstack([corner, corner + side])
    truth = corners + (np.array(shift) + random.normal(0, noise, (count, 4))) * np.tile(side, 2)
    return np.full(count, "bolt"), corners, truth


def test_boxes_move_by_their_class_and_size():
    bias = LocalisationBias({"bolt": (0.1, 0.0, -0.2, 0.25)})
    corrected = bias.correct(boxes(("a", "bolt", 10, 10, 30, 20), ("b", "gear", 1, 2, 3, 4)), SIZES)
    np.testing.assert_allclose(xyxy_of(corrected), [[12, 10, 26, 22.5], [1, 2, 3, 4]])
    assert corrected.schema == boxes().schema


def test_boxes_stay_in_their_image():
    bias = LocalisationBias({"bolt": (-0.2, -0.2, 0.2, 0.2)})
    corrected = bias.correct(boxes(("b", "bolt", 0, 1, 50, 39), ("a", "bolt", 0, 1, 50, 39)), SIZES)
    np.testing.assert_allclose(xyxy_of(corrected), [[0, 0, 50, 40], [0, 0, 60, 46.6]], rtol=1e-6)


def test_no_boxes():
    assert LocalisationBias({"bolt": (0.1,) * 4}).correct(boxes(), SIZES) == boxes()
    assert fit_localisation_bias(np.array([], dtype=str), np.zeros((0, 4)), np.zeros((0, 4))) == LocalisationBias()


@pytest.mark.parametrize("shift", [(0.1, 0.08, -0.1, -0.05), (0.0, 0.0, 0.0, 0.06)])
def test_what_is_always_wrong_is_put_right(shift):
    bias = fit_localisation_bias(*drawn(200, shift, 0.05))
    np.testing.assert_allclose(bias.shifts["bolt"], shift, atol=0.015)


def test_chance_moves_little():
    """Errors of few boxes that point nowhere: on average less is moved than the median would."""
    moved, medians = [], []
    for seed in range(50):
        labels, corners, truth = drawn(10, (0, 0, 0, 0), 0.1, seed)
        moved.append(np.abs(fit_localisation_bias(labels, corners, truth).shifts["bolt"]).mean())
        medians.append(
            np.abs(np.median((truth - corners) / np.tile(corners[:, 2:] - corners[:, :2], 2), axis=0)).mean()
        )
    assert np.mean(moved) < 0.65 * np.mean(medians)


def test_boxes_that_show_nothing_have_no_part_in_it():
    labels, corners, truth = drawn(LEAST_BOXES, (0.1,) * 4, 0.001)
    assert fit_localisation_bias(labels, corners, truth).shifts.keys() == {"bolt"}
    truth[0] = np.nan
    assert fit_localisation_bias(labels, corners, truth) == LocalisationBias()


def test_no_box_is_moved_far():
    bias = fit_localisation_bias(*drawn(20, (0.6, 0, -0.6, 0), 0.001))
    assert np.abs(bias.shifts["bolt"]).max() == FARTHEST


def test_it_is_read_back_as_it_was(tmp_path):
    bias = fit_localisation_bias(*drawn(20, (0.1, 0, 0, 0), 0.05))
    assert written_and_read(bias, tmp_path) == bias
