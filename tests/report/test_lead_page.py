"""The lead's tables."""

from dataclasses import replace

from pipeline.artefacts import AnswerPace, AnswerRemark, CycleHarvest, People
from pipeline.report import lead_page
from tests.report.builders import cycle_contents, first_cycle
from tests.report.scenes import queue_table, scenes

SLOW = AnswerPace(answered=4, skipped=1, boxes=10, timed=4, median_s=31.5)
QUICK = AnswerPace(answered=2, boxes=7, in_part=1, timed=2, median_s=8.0, compared=3, agreement=0.75)


def contents(**fields):
    made = cycle_contents(scenes(6))
    kinds = People({"ask": SLOW, "verify": QUICK}, {"ann": SLOW, "ben": QUICK})
    remark = AnswerRemark("fast", "i", "", "ben", "answered in 1 s")
    return replace(made, harvest=CycleHarvest(people=kinds, remarks=(remark,)), **fields)


def test_a_first_cycle_has_empty_tables():
    first = first_cycle()
    assert lead_page.kinds(first).rows == ()
    assert lead_page.annotators(first).rows == ()


def test_work_by_kind_with_what_waits():
    made = contents()
    waiting = made.queue["kind"].to_pylist()
    rows = {row[0]: row[1:] for row in lead_page.kinds(made).rows}
    assert rows["to correct"] == (str(waiting.count("ask")), "4", "1", "2.5", "31.5 s", "0")
    assert rows["to verify"] == (str(waiting.count("verify")), "2", "0", "3.5", "8.0 s", "1")
    assert sum(int(row[0]) for row in rows.values()) == len(waiting)


def test_work_by_person_with_agreement_and_what_to_look_at():
    assert lead_page.annotators(contents()).rows == (
        ("ann", "4", "1", "2.5", "31.5 s", "0", "–", "0"),
        ("ben", "2", "0", "3.5", "8.0 s", "3", "0.750", "1"),
    )


def test_the_headline_says_how_far_people_are():
    made = contents(queue=queue_table(scenes(0)))
    last = replace(made.versions[-1], counts={"images": {"labeled": 30, "pool": 60, "queued": 10, "quarantined": 5}})
    made = replace(made, versions=(*made.versions[:-1], last))
    assert lead_page.headline(made) == "30 of 100 images labelled by people (30 %), 0 waiting for an answer"
