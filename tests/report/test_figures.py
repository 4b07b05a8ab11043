import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from pipeline.artefacts import Calibration, Curves, ScoreQuality, TrainingStep
from pipeline.report import Turn
from pipeline.report.figures import ap_by_cycle, ap_by_work, precision_recall, reliability, training_curve
from tests.report.builders import MOMENT, calibration, gate, turns

CURVE = (TrainingStep(0, 1.5), TrainingStep(10, 0.75), TrainingStep(20, 0.5))
FIGURES = {
    "ap": lambda: ap_by_cycle(turns(3)),
    "precision-recall": lambda: precision_recall(gate(1, 0.4).test, "test"),
    "reliability": lambda: reliability(calibration()),
    "training": lambda: training_curve(CURVE),
}


@pytest.mark.parametrize(
    "figure",
    [
        ap_by_cycle([]),
        ap_by_cycle([Turn(cycle=0, opened_at=MOMENT)]),
        precision_recall(replace(gate(1, 0.4).test, curves=Curves()), "test"),
        reliability(Calibration(boxes=0)),
        reliability(
            Calibration(9, {"confidence": ScoreQuality(0.5), "other": ScoreQuality(0.5, reliability=((0.5, 0.5, 9),))})
        ),
        training_curve(()),
    ],
)
def test_without_numbers_there_is_no_figure(figure):
    assert figure == ""


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_well_formed_and_need_nothing_from_outside(name):
    svg = str(FIGURES[name]())
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "http" not in svg
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
    targets = {"".join(pair) for pair in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)}
    assert targets
    assert targets <= set(ids)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_follow_light_and_dark(name):
    svg = FIGURES[name]()
    assert "#00000" not in svg
    assert {"var(--quiet)", "var(--line)", "var(--second)"} <= set(re.findall(r"var\(--\w+\)", svg))


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_numbers_give_the_same_bytes(name):
    assert FIGURES[name]() == FIGURES[name]()


def test_figures_of_one_page_share_no_ids():
    ids = [set(re.findall(r'\bid="([^"]*)"', draw())) for draw in FIGURES.values()]
    assert all(ids)
    assert sum(map(len, ids)) == len(set.union(*ids))


def test_the_axis_names_cycles_and_labeled_images():
    texts = re.findall(r"<text[^>]*>([^<]*)</text>|<tspan[^>]*>([^<]*)</tspan>", ap_by_cycle(turns(3)))
    shown = {text for pair in texts for text in pair}
    assert {"0", "1", "2", "24", "34", "44", "val mAP", "test mAP"} <= shown


def test_a_point_that_was_not_promoted_is_hollow():
    history = turns(2)
    held = replace(history[1], gate=gate(1, 0.3, promoted=False))
    assert "var(--page)" not in ap_by_cycle(history)
    assert "var(--page)" in ap_by_cycle((history[0], held))


def test_a_year_of_nights_stays_small():
    assert len(ap_by_cycle(turns(365))) < 300_000


def worked(history, hours):
    """The same cycles, on 10 more images and 50 more boxes each, with so many hours."""
    return [
        replace(turn, labeled_images=10 * number, labeled_boxes=50 * number, hours=spent)
        for number, (turn, spent) in enumerate(zip(history, hours, strict=True), 1)
    ]


def named(figures):
    return [re.search(r'aria-label="[a-z]* mAP by ([^;]*);', figure)[1] for figure in figures]


def test_precision_stands_over_images_boxes_and_hours():
    history = worked(turns(3), [None, 0.5, 0.25])
    assert named(ap_by_work(history)) == ["images labeled by people", "boxes on them", "hours of answers and reviews"]
    assert "0.75" in ap_by_work(history)[2], "hours add up"


def test_what_is_not_known_has_no_figure():
    history = worked(turns(3), [None, None, None])
    assert named(ap_by_work(history)) == ["images labeled by people", "boxes on them"]
    gone = [replace(turn, labeled_boxes=None) for turn in history]
    assert named(ap_by_work(gone)) == ["images labeled by people"]
    assert ap_by_work(turns(1)) == []
