"""The page of a class, from the artefacts of a small workspace."""

from dataclasses import replace

import pytest

from pipeline.artefacts import (
    Acceptance,
    AcceptanceCount,
    CycleHarvest,
    GateOutcome,
    Recall,
    SelectionRun,
)
from pipeline.dataset.row_removal import remove_rows
from pipeline.labeling.backend import Harvest
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.records import Answer, Source, samples_to_table
from pipeline.report.names import class_page
from pipeline.report.site.class_counts import count_classes
from pipeline.report.site.mistakes import mistakes_of
from pipeline.stages.report import report
from tests.builders import MOMENT, box, image_id, sample
from tests.report.builders import calibration
from tests.report.reading import Page
from tests.report.small_workspace import first_cycle, write_everything

HOSTILE = "<img src=x onerror=alert(1)>\u202e'\"&{{ 7*7 }}/../x" + "w" * 500


@pytest.fixture
def cycle(tmp_path):
    """A cycle that harvested an answer: of the machine's boxes one was moved, one relabelled and two deleted."""
    cycle = first_cycle(str(tmp_path))
    selection = write_everything(cycle)["selection"].to_pylist()
    moved, relabelled = selection[:2]
    boxes = (
        box(1, 1, 9, 9, label=moved["label"], source=Source.CORRECTED, proposal_id=moved["proposal_id"]),
        box(2, 2, 9, 9, label=HOSTILE, source=Source.CORRECTED, proposal_id=relabelled["proposal_id"]),
        box(3, 3, 9, 9, label="bolt", source=Source.ACCEPTED),
    )
    deleted = (box(label="bolt", p_correct=0.99), box(60, 60, 90, 90, label=HOSTILE, p_correct=0.2))
    answer = Answer(image_id("one"), "a", "ana", False, boxes, MOMENT, MOMENT, cycle=0, deleted=deleted)
    HarvestLog(cycle.workspace).save(Harvest((replace(answer, deleted=()), answer), "", ()))
    counts = {"bolt": AcceptanceCount(shown=4, accepted=1, corrected=2, deleted=1)}
    cycle.write(replace(cycle.read(CycleHarvest), harvests=1, acceptance=Acceptance(classes=counts)))
    cycle.store.commit([sample("hostile", box(label=HOSTILE))], reason="r", key="r", cycle=0)
    return cycle


def page(cycle, label):
    folder, _, name = class_page(label).partition("/")
    return Page(cycle.workspace.reports.folder(folder).read_bytes(name).decode())


def text(page):
    return " ".join(element.text for element in page.elements)


def test_every_class_has_a_page_under_a_safe_name(cycle):
    report(cycle)
    names = cycle.workspace.reports.folder("classes").names()
    assert sorted(f"classes/{name}" for name in names) == sorted(map(class_page, ("bolt", "nut", HOSTILE)))
    assert all(name.removesuffix(".html").isalnum() for name in names)
    shown = page(cycle, HOSTILE)
    assert shown.all("h1")[0].text == HOSTILE
    assert [each.attributes.get("onerror") for each in shown.all("img")] == [None] * len(shown.all("img"))


def test_a_class_tells_its_boxes_promises_and_what_people_did(cycle):
    report(cycle)
    shown = page(cycle, "bolt")
    assert shown.table("Boxes now")[1:] == [
        ["train", "1", "1", "0", "0", "0", "0", "0"],
        ["val", "1", "1", "0", "0", "0", "0", "0"],
    ]
    (row,) = shown.table("Boxes by cycle")[1:]
    assert row[:4] == ["0", "2", "2", "2"]
    (row,) = shown.table("Certificates by cycle")[1:]
    assert row[:5] == ["0", "withdrawn", "0.830", "139 of 140", "0.961"]
    (row,) = shown.table("The machine's boxes")[1:]
    assert row[:5] == ["0", "4", "0.250 [0.006–0.806]", "2", "1"]
    assert shown.table("Average precision by cycle")[1][2].startswith("0.3")


def test_scores_and_confusions_of_a_class_are_its_own(cycle):
    measured = cycle.read(GateOutcome)
    test = replace(measured.test, confusions={"bolt": {"nut": 3}, "nut": {"bolt": 5, HOSTILE: 1}})
    cycle.write(replace(measured, test=test))
    bins = {"crosscheck": ((0.2, 0.25, 8), (0.9, 0.95, 20)), "consistency": ((0.5, 0.6, 28),)}
    cycle.write(replace(calibration(), classes={"bolt": bins}, recall=(Recall("bolt", "small", 10, 4, 0.1, 0.7),)))
    report(cycle)
    shown = page(cycle, "bolt")
    assert shown.table("Held-back boxes by p(correct)")[1:] == [["0.200", "0.250", "8"], ["0.900", "0.950", "20"]]
    assert shown.table("Its objects in test are taken for")[1:] == [["nut", "3"]]
    assert shown.table("What is taken for it in test")[1:] == [["nut", "5"]]
    assert shown.table("What is found at all")[1:] == [["small", "0.400 [0.100–0.700]", "6", "10"]]
    other = page(cycle, "nut")
    assert other.table("What is found at all") == []
    assert "did not measure the scores of this class" in text(other)


def test_boxes_that_people_changed_are_the_mistakes_of_the_machine(cycle):
    found = mistakes_of(cycle)
    assert sorted(each.what for each in found) == ["deleted", "deleted", "moved", "relabelled"], (
        "the last answer counts"
    )
    assert found == sorted(found, key=lambda each: each.order)
    (relabelled,) = (each for each in found if each.what == "relabelled")
    assert (relabelled.became_label, relabelled.became) == (HOSTILE, (2, 2, 9, 9))
    report(cycle)
    headings = [each.text for each in page(cycle, HOSTILE).all("h4")]
    assert headings[:2].count("deleted by people") == 1
    assert f"given another class by people to {HOSTILE}" in headings
    assert "no such file" in text(page(cycle, "bolt")), "its images are not there"


def test_a_cycle_without_answers_has_no_mistakes(tmp_path):
    assert mistakes_of(first_cycle(str(tmp_path))) == []


def test_counts_outlive_the_rows(cycle):
    report(cycle)
    cycle.store.commit([sample("one", box(label="nut")), sample("two")], reason="more", key="more")
    remove_rows(cycle.store.uri, [], apply=True)
    report(cycle)
    (row,) = page(cycle, "bolt").table("Boxes by cycle")[1:]
    assert row[:4] == ["0", "2", "2", "2"]
    cycle.workspace.folder("diffs").remove("000002-classes.json")
    cycle.write(SelectionRun(version=1, pseudo_by_class={"bolt": 7}))
    report(cycle)
    (row,) = page(cycle, "bolt").table("Boxes by cycle")[1:]
    assert row[:4] == ["0", "2", "2", "–"]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([], {}),
        ([sample("one")], {}),
        (
            [sample("one", box(), box(1, 1, 5, 5)), sample("two", box(label="nut", source=Source.SOFT))],
            {"bolt": {"train": {"import": 2}}, "nut": {"train": {"soft": 1}}},
        ),
    ],
)
def test_boxes_are_counted_by_class_split_and_source(samples, expected):
    assert count_classes(samples_to_table(samples)) == expected
