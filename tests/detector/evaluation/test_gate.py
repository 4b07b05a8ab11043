from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from pipeline.detector.evaluation.average_precision import average_precision
from pipeline.detector.evaluation.bootstrap import draw_images, drawn_ap, drawn_map, interval
from pipeline.detector.evaluation.gate import FIRST, NOTHING, Comparison, Drop, compare, verdict
from pipeline.detector.evaluation.matching import match
from pipeline.errors import DataError
from tests.detector.scenes import drawn, drawn_images, judged

BOX = (0, 0, 100, 100)


def found(shares, images=60):
    """A bolt and a nut in every image, of which a model finds a share, the first ones."""
    told = []
    for number in range(images):
        answers = [
            ((*(one + 100 * (label - 1) for one in BOX),), 0.9, label)
            for label, share in enumerate(shares, 1)
            if number < share * images
        ]
        told.append(([(BOX, 1), ((100, 100, 200, 200), 2)], [], answers))
    return judged(*told)


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
    assert verdict(None, 0.02) == (True, FIRST)
    assert verdict(compare(judged(), judged(), 0), 0.02) == (True, NOTHING)
    empty = judged(([], [], [(BOX, 0.9, 1)]))
    assert verdict(compare(empty, empty, 0), 0.02) == (True, NOTHING)


@pytest.mark.parametrize("interval", [(-0.01, 0.03), (-0.2, -0.1)])
def test_forgotten_classes_are_named_whatever_is_decided(interval):
    drops = [Drop("ten", 0.41, 0.3, (-0.2, -0.05)), Drop("ace", 0.5, 0.45, (-0.08, -0.01))]
    _, why = verdict(comparison(0.0 if interval[1] > 0 else -0.15, interval, drops), 0.02)
    assert why.endswith("; it forgets ten (0.410 to 0.300), ace (0.500 to 0.450)")


# The comparison


def test_a_model_is_as_good_as_itself():
    told = compare(drawn(1), drawn(1), 0)
    assert (told.gap, told.interval, told.forgotten) == (0.0, (0.0, 0.0), ())


@pytest.mark.parametrize("seed", range(4))
def test_the_measured_levels_are_cocos(seed):
    images = drawn_images(seed, 30)
    fewer = judged(*((true, regions, answers[:-2]) for true, regions, answers in images))
    told = compare(judged(*images), fewer, 0)
    assert told.candidate == pytest.approx(average_precision(judged(*images))[0]["map"], abs=1e-9)
    assert told.champion == pytest.approx(average_precision(fewer)[0]["map"], abs=1e-9)


def test_the_same_images_are_drawn_for_both():
    """Two models that differ in few images: the gap is far surer than either level."""
    before, after = found((0.5, 0.5)), found((0.55, 0.55))
    told = compare(after, before, 0)
    width = told.interval[1] - told.interval[0]
    own = interval(drawn_map(drawn_ap(match(before), draw_images(60, 0))))
    assert width < 0.6 * (own[1] - own[0])
    assert told.interval[0] <= told.gap <= told.interval[1]


def test_a_class_that_gets_lost_is_forgotten_though_the_model_is_better():
    told = compare(found((1.0, 0.3)), found((0.4, 0.5)), 0)
    assert told.gap > 0
    (drop,) = told.forgotten
    assert (drop.label, drop.before > drop.after) == ("nut", True)
    assert drop.interval[1] < 0
    assert verdict(told, 0.02)[0]


def test_the_largest_loss_comes_first():
    told = compare(found((0.5, 0.2)), found((0.8, 0.8)), 0)
    assert [drop.label for drop in told.forgotten] == ["nut", "bolt"]
    assert not verdict(told, 0.02)[0]


def test_labels_are_compared_by_name():
    """A model that knows its classes in another order."""
    before = found((0.5, 0.5))
    turned = replace(
        before,
        labels=("nut", "bolt", "gear"),
        classes=3 - before.classes,
        true_classes=3 - before.true_classes,
    )
    assert compare(turned, before, 0).gap == pytest.approx(0)
    assert compare(turned, found((0.9, 0.5)), 0).forgotten[0].label == "bolt"


def test_other_images_are_no_comparison():
    with pytest.raises(DataError, match="Expected both models to be measured on the same images, got 3 and 4"):
        compare(found((1, 1), 3), found((1, 1), 4), 0)


def test_the_same_seed_tells_the_same():
    one, other = drawn(3, 40), drawn(3, 40)
    fewer = replace(other, scores=np.where(np.arange(len(other.scores)) % 3 == 0, 0.01, other.scores))
    assert compare(one, fewer, 5) == compare(one, fewer, 5)
