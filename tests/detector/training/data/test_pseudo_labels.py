from __future__ import annotations

from collections import Counter

import pytest

from pipeline.detector.training.data.pseudo_labels import bound_pseudo_labels
from pipeline.records import Region, State
from pipeline.settings import PseudoBoxSettings
from tests.builders import box, sample
from tests.detector.small import training


def machine(name, *boxes, **fields):
    return sample(name, *boxes, state=State.PSEUDO, **fields)


def row(count, label="bolt", first=0, p_correct=None):
    """Boxes side by side, each likelier right than the one before."""
    return [
        box(10 * k, 0, 10 * k + 8, 8, label, p_correct=p_correct or 0.5 + 0.01 * k) for k in range(first, first + count)
    ]


def bounded(samples, **values):
    return bound_pseudo_labels(samples, training(ignore_regions=True, pseudo_boxes=PseudoBoxSettings(**values)))


def test_nothing():
    left = bounded([])
    assert (left.samples, left.kept, left.dropped) == ([], {}, {})


def test_within_bounds_all_stay_as_they_are():
    samples = [sample("a", *row(3)), machine("b", *row(5), ignore=(Region(0, 20, 9, 29, "unsure"),)), machine("empty")]
    left = bounded(samples)
    assert left.samples == samples
    assert left.kept == {"bolt": 5}
    assert left.dropped == {}


def test_the_likeliest_stay_and_the_others_are_ignored_not_forgotten():
    left = bounded([machine("a", *row(5))], per_image=2)
    kept = left.samples[0]
    assert [one.x1 for one in kept.boxes] == [30, 40]
    assert [(region.x1, region.reason) for region in kept.ignore] == [(0, "unsure"), (10, "unsure"), (20, "unsure")]
    assert (left.kept, left.dropped) == ({"bolt": 2}, {"bolt": 3})


def test_a_class_is_bounded_by_what_people_drew():
    samples = [sample("people", *row(2), *row(1, "nut")), machine("a", *row(9)), machine("b", *row(9, "nut"))]
    left = bounded(samples, per_labeled_box=3)
    assert (left.kept, left.dropped) == ({"bolt": 6, "nut": 3}, {"bolt": 3, "nut": 6})
    assert left.samples[0] == samples[0]


def test_a_class_that_nobody_drew_is_bounded_as_for_one_box():
    left = bounded([sample("people", *row(4)), machine("a", *row(9, "nut"))], per_labeled_box=3)
    assert left.kept == {"nut": 3}


def test_no_class_takes_over():
    """People drew as many bolts as nuts, the machine 18 bolts and 2 nuts."""
    samples = [sample("people", *row(5), *row(5, "nut")), machine("a", *row(18)), machine("b", *row(2, "nut"))]
    left = bounded(samples, skew=1.2)
    assert left.kept == {"bolt": 12, "nut": 2}  # 1.2 x half of 20
    assert bounded(samples, skew=2).kept == {"bolt": 18, "nut": 2}


def test_without_labels_of_people_only_the_bound_an_image_holds():
    left = bounded([machine("a", *row(9)), machine("b", *row(3))], per_image=5, per_labeled_box=1, skew=1)
    assert left.kept == {"bolt": 8}


def test_ties_are_settled_by_id():
    boxes = row(6, p_correct=0.9)
    one, other = (bounded([machine("a", *given)], per_image=3).samples[0] for given in (boxes, boxes[::-1]))
    assert {each.box_id for each in one.boxes} == {each.box_id for each in other.boxes}


@pytest.mark.parametrize("soft", [True, False])
def test_soft_weights_are_a_switch(soft):
    people = sample("people", box(0, 0, 8, 8, p_correct=0.6))
    left = bound_pseudo_labels([people, machine("a", *row(2))], training(soft_weights=soft))
    assert [one.p_correct for one in left.samples[1].boxes] == ([0.5, 0.51] if soft else [None, None])
    assert left.samples[0] == people


@pytest.mark.parametrize("ignoring", [True, False])
def test_regions_of_boxes_that_were_not_written_are_a_switch(ignoring):
    regions = tuple(Region(x, 0, x + 9, 9, reason) for x, reason in ((0, "unsure"), (10, "weak"), (20, "crowd")))
    samples = [sample("people", ignore=regions), machine("a", ignore=regions)]
    left = bound_pseudo_labels(samples, training(ignore_regions=ignoring))
    reasons = [Counter(region.reason for region in one.ignore) for one in left.samples]
    everything = dict.fromkeys(("unsure", "weak", "crowd"), 1)
    assert reasons == [everything, everything if ignoring else {"crowd": 1}]


def test_a_region_that_stands_for_the_object_of_a_box_is_no_region():
    near, far, crowd = Region(1, 0, 9, 8, "weak"), Region(5, 0, 13, 8, "unsure"), Region(1, 0, 9, 8, "crowd")
    samples = [sample("people", *row(1), ignore=(near, far, crowd)), machine("a", *row(1), ignore=(near, far, crowd))]
    people, left = bounded(samples).samples
    assert people == samples[0]
    assert left.ignore == (far, crowd)
