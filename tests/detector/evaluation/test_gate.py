from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from pipeline.artefacts import ForgottenClass
from pipeline.detector.evaluation.average_precision import coco_average_precision
from pipeline.detector.evaluation.bootstrap import draw_images, drawn_ap, drawn_map, interval
from pipeline.detector.evaluation.gate import FIRST, Comparison, compare, verdict
from pipeline.detector.evaluation.matching import match
from pipeline.errors import DataError
from tests.detector.scenes import labeled_detections, random_detections, random_images

BOX = (0, 0, 100, 100)


def finding(shares, images=60):
    """A bolt and a nut in every image, of which a model finds a share, the first ones."""
    places = {1: BOX, 2: (100, 100, 200, 200)}
    rows = []
    for number in range(images):
        answers = [(places[label], 0.9, label) for label, share in enumerate(shares, 1) if number < share * images]
        rows.append(([(place, label) for label, place in places.items()], [], answers))
    return labeled_detections(*rows)


def comparison(gap, interval=None, forgotten=()):
    return Comparison(0.5 + gap, 0.5, interval, tuple(forgotten))


# The rule


@pytest.mark.parametrize(
    ("gap", "interval", "promoted", "reason"),
    [
        (0.1, (0.05, 0.15), True, r"\(\+0\.100, 95 % \+0\.050 to \+0\.150\)$"),
        (0.01, (-0.02, 0.03), True, r"\)$"),
        (0.0, (0.0, 0.0), True, r"\)$"),
        (-0.019, (-0.05, 0.01), True, r"\)$"),
        (-0.021, (-0.05, 0.01), False, "worse by more than 0.02$"),
        (-0.01, (-0.012, -0.001), False, "surely worse$"),
        (-0.1, (-0.15, -0.05), False, "surely worse$"),
    ],
    ids=[
        "surely better", "perhaps better", "the same model", "perhaps a little worse", "perhaps much worse",
        "surely a little worse", "surely much worse",
    ],
)  # fmt: skip
def test_what_is_refused(gap, interval, promoted, reason):
    decided, why = verdict(comparison(gap, interval), 0.02)
    assert decided is promoted
    assert f"val mAP {0.5 + gap:.3f} against the champion's 0.500" in why
    assert re.search(reason, why)


def test_the_first_model_and_an_empty_val_pass():
    nothing = "nothing on val to compare by"
    assert verdict(None, 0.02) == (True, FIRST)
    assert verdict(compare(labeled_detections(), labeled_detections(), 0), 0.02) == (
        True,
        "nothing on val to compare by",
    )
    empty = labeled_detections(([], [], [(BOX, 0.9, 1)]))
    assert verdict(compare(empty, empty, 0), 0.02) == (True, nothing)


@pytest.mark.parametrize("interval", [(-0.01, 0.03), (-0.2, -0.1)])
def test_forgotten_classes_are_named_whatever_is_decided(interval):
    forgotten = [ForgottenClass("ten", 0.41, 0.3, (-0.2, -0.05)), ForgottenClass("ace", 0.5, 0.45, (-0.08, -0.01))]
    _, why = verdict(comparison(0.0 if interval[1] > 0 else -0.15, interval, forgotten), 0.02)
    assert why.endswith("; it forgets ten (0.410 to 0.300), ace (0.500 to 0.450)")


# The comparison


def test_a_model_is_as_good_as_itself():
    compared = compare(random_detections(1), random_detections(1), 0)
    assert (compared.gap, compared.interval, compared.forgotten) == (0.0, (0.0, 0.0), ())


@pytest.mark.parametrize("seed", range(4))
def test_the_measured_levels_are_cocos(seed):
    images = random_images(seed, 30)
    fewer = labeled_detections(*((true, regions, answers[:-2]) for true, regions, answers in images))
    compared = compare(labeled_detections(*images), fewer, 0)
    assert compared.candidate == pytest.approx(coco_average_precision(labeled_detections(*images))[0]["map"], abs=1e-9)
    assert compared.champion == pytest.approx(coco_average_precision(fewer)[0]["map"], abs=1e-9)


def test_the_same_images_are_drawn_for_both():
    """Two models that differ in few images: the gap is far surer than either level."""
    before, after = finding((0.5, 0.5)), finding((0.55, 0.55))
    compared = compare(after, before, 0)
    width = compared.interval[1] - compared.interval[0]
    own = interval(drawn_map(drawn_ap(match(before), draw_images(60, 0))))
    assert width < 0.6 * (own[1] - own[0])
    assert compared.interval[0] <= compared.gap <= compared.interval[1]


def test_a_class_that_gets_lost_is_forgotten_though_the_model_is_better():
    compared = compare(finding((1.0, 0.3)), finding((0.4, 0.5)), 0)
    assert compared.gap > 0
    (loss,) = compared.forgotten
    assert (loss.label, loss.before > loss.after) == ("nut", True)
    assert loss.interval[1] < 0
    assert verdict(compared, 0.02)[0]


def test_the_largest_loss_comes_first():
    compared = compare(finding((0.5, 0.2)), finding((0.8, 0.8)), 0)
    assert [loss.label for loss in compared.forgotten] == ["nut", "bolt"]
    assert not verdict(compared, 0.02)[0]


def test_labels_are_compared_by_name():
    """A model that knows its classes in another order."""
    before = finding((0.5, 0.5))
    turned = replace(
        before,
        labels=("nut", "bolt", "gear"),
        classes=3 - before.classes,
        true_classes=3 - before.true_classes,
    )
    assert compare(turned, before, 0).gap == pytest.approx(0)
    assert compare(turned, finding((0.9, 0.5)), 0).forgotten[0].label == "bolt"


def test_other_images_are_no_comparison():
    with pytest.raises(DataError, match="Expected both models to be measured on the same images, got 3 and 4"):
        compare(finding((1, 1), 3), finding((1, 1), 4), 0)


def test_the_seed_draws_the_images_and_nothing_else():
    before = random_detections(3, 40)
    after = replace(before, scores=np.where(np.arange(len(before.scores)) % 3 == 0, 0.01, before.scores))
    first, again, other = (compare(after, before, seed) for seed in (5, 5, 6))
    assert first == again
    assert (first.candidate, first.champion) == (other.candidate, other.champion)
    assert first.interval != other.interval
