"""Proposals of held-back images beside the truth."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipeline.mining.miner import Mined
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA
from pipeline.selection.held_back import cascade_plan, hold_back
from pipeline.selection.localisation_bias import LocalisationBias, xyxy_of
from tests.builders import box, image_id, sample
from tests.selection.evidence import evidence_of
from tests.selection.projects import project

HERE, THERE = (10.0, 20.0, 50.0, 60.0), (100.0, 20.0, 140.0, 60.0)


def proposals(*rows):
    """From `(image, corners, values)`."""
    values = [
        {"image_id": image_id(name), **dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)), **others}
        for name, corners, others in rows
    ]
    return evidence_of(*values).select(PROPOSAL_SCHEMA.names)


def checks(*scores):
    """Pastes of the first proposal, in order; 0 is a miss."""
    rows = [
        {"proposal_id": "p0", "number": number, "hit": score > 0, "score": score, "iou": 0.9 * (score > 0)}
        for number, score in enumerate(scores)
    ]
    return pa.Table.from_pylist(rows, schema=CHECK_SCHEMA)


def mined(*rows, consistencies=()):
    return Mined(proposals(*rows), checks(*consistencies))


def settings(**selection):
    return project(mining={"hosts": 4}, selection={"correct_localisation": False, **selection})


@pytest.mark.parametrize("correct_localisation", [True, False])
def test_no_images_and_no_proposals(correct_localisation):
    """A project whose images are all for training."""
    held_back = hold_back(mined(), [], settings(correct_localisation=correct_localisation))
    assert len(held_back.evidence) == len(held_back.right) == len(held_back.groups) == len(held_back.objects) == 0
    assert held_back.bias == LocalisationBias()
    known = held_back.known_boxes(settings())
    assert known.prices.shape == (0, 4)
    assert len(hold_back(mined(), [sample("a", box())], settings()).evidence) == 0


def test_the_truth_stands_beside_each_proposal():
    rows = mined(
        ("a", HERE, {"label": "nut", "score": 0.9}),
        ("b", HERE, {"label": "bolt", "score": 0.8}),
        ("a", HERE, {"label": "bolt", "score": 0.7}),
        ("a", HERE, {"label": "bolt", "score": 0.6}),
        ("a", (200.0, 0.0, 210.0, 10.0), {"label": "bolt", "score": 0.5}),
    )
    samples = [sample("a", box(*THERE, label="bolt"), box(*HERE, label="bolt")), sample("b", box(*HERE, label="gear"))]
    held_back = hold_back(rows, samples, settings())
    assert held_back.matched.tolist() == [-1, -1, 1, -1, -1]
    assert held_back.right.tolist() == [False, False, True, False, False]
    assert held_back.objects.tolist() == ["bolt", "gear", "bolt", "bolt", ""]
    assert held_back.samples == samples


@pytest.mark.parametrize(("match_iou", "right"), [(0.5, True), (0.9, False)])
def test_a_right_box_overlaps_the_true_one_as_is_set(match_iou, right):
    rows, samples = mined(("a", (14.0, 20.0, 54.0, 60.0), {})), [sample("a", box(*HERE))]
    assert hold_back(rows, samples, settings(match_iou=match_iou)).right.tolist() == [right]


def test_evidence_is_of_all_pastes():
    held_back = hold_back(mined(("a", HERE, {}), consistencies=(0.8, 0.4, 0.0, 0.0)), [sample("a")], settings())
    assert held_back.evidence["checks"].to_pylist() == [4]
    assert held_back.evidence["consistency"].to_pylist() == [pytest.approx(0.3)]


def test_near_duplicates_are_one_group():
    names = ("a", "twin of a", "b")
    samples = [sample(name, group_id="family of b" if name == "b" else "family of a") for name in names]
    held_back = hold_back(mined(*((name, HERE, {}) for name in names)), samples, settings())
    assert held_back.groups.tolist() == [0, 0, 1]
    assert held_back.evidence["group_id"].to_pylist() == ["family of a", "family of a", "family of b"]


# Where boxes truly lie


def misplaced(images, shift, per_image=4):
    """Proposals that lie beside their objects, all to the same side, and the images."""
    rows, samples = [], []
    for name in images:
        places = [(20.0 + 70 * number, 20.0, 60.0 + 70 * number, 60.0) for number in range(per_image)]
        rows += [(name, (x1 + shift, y1, x2 + shift, y2), {}) for x1, y1, x2, y2 in places]
        samples.append(sample(name, *(box(*place) for place in places)))
    return rows, samples


def test_boxes_are_moved_as_other_images_tell():
    """Overlap 0.6 before, next to all of it after."""
    rows, samples = misplaced("abcdef", shift=10.0)
    strict = {"match_iou": 0.8, "correct_localisation": True}
    as_detected = hold_back(mined(*rows), samples, settings(**{**strict, "correct_localisation": False}))
    corrected = hold_back(mined(*rows), samples, settings(**strict))
    assert not as_detected.right.any()
    assert corrected.right.all()
    np.testing.assert_allclose(corrected.bias.shifts["bolt"], [-0.25, 0, -0.25, 0], atol=1e-6)
    np.testing.assert_allclose(xyxy_of(corrected.corrected)[0], [20, 20, 60, 60], atol=1e-3)
    np.testing.assert_allclose(xyxy_of(corrected.evidence)[0], [30, 20, 70, 60], atol=1e-3)


def test_no_image_corrects_itself():
    """Only the boxes of one image are misplaced: in the folds that judge it, nobody knows."""
    rows, samples = misplaced("abcde", shift=0.0)
    odd, its_image = misplaced("x", shift=10.0, per_image=4)
    held_back = hold_back(mined(*rows, *odd), samples + its_image, settings(match_iou=0.8, correct_localisation=True))
    assert held_back.right[:-4].all()
    assert not held_back.right[-4:].any()
    np.testing.assert_allclose(xyxy_of(held_back.corrected)[-4:], xyxy_of(held_back.evidence)[-4:], atol=1.0)


def test_a_single_image_is_left_where_it_is():
    rows, samples = misplaced("a", shift=10.0)
    held_back = hold_back(mined(*rows), samples, settings(correct_localisation=True))
    np.testing.assert_array_equal(xyxy_of(held_back.corrected), xyxy_of(held_back.evidence))


@pytest.mark.parametrize("switch", [True, False])
def test_a_bias_that_is_known_is_applied_to_all(switch):
    rows, samples = misplaced("ab", shift=10.0)
    bias = LocalisationBias({"bolt": (-0.25, 0.0, -0.25, 0.0)})
    held_back = hold_back(mined(*rows), samples, settings(match_iou=0.8, correct_localisation=switch), bias)
    assert held_back.bias == bias
    assert held_back.right.all()


# What a cascade is fitted on


def test_known_boxes_are_priced_by_their_share_of_their_own_image():
    samples = [sample("large", width=640, height=480), sample("small", width=64, height=80)]
    rows = mined(("large", HERE, {}), ("small", HERE, {}))
    held_back = hold_back(rows, samples, settings())
    known = held_back.known_boxes(settings())
    assert known.evidence is held_back.evidence
    np.testing.assert_array_equal(known.right, held_back.right)
    large, small = known.prices
    assert large[0] == small[0] == pytest.approx(settings().mining.tta_scale ** 2), "an image costs what an image costs"
    assert large[1] < small[1], "a close-up shows a share of it"
    assert 0 < large[2] < small[2], "and so does a paste"
    assert (known.prices[:, 3] == known.prices[:, 2]).all(), "two hosts first, and two more where these disagree"


def test_the_plan_is_the_projects():
    settings = project(
        mining={"budget": 0.75, "look_budget": 0.5},
        selection={"target_precision": 0.9, "folds": 3, "min_class_boxes": 7},
    )
    plan = cascade_plan(settings, "m7")
    assert (plan.budget, plan.look_budget, plan.model_id) == (0.75, 0.5, "m7")
    assert plan.settings == settings.selection
