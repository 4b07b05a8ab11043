from __future__ import annotations

import pytest

from pipeline.artefacts import CycleHarvest, HarvestSummary, ReviewWork
from pipeline.labeling.backend import Harvest
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.labeling.feedback.review_log import ReviewLog
from pipeline.labeling.feedback.summing import sum_up
from pipeline.settings import Settings
from pipeline.workspace import Workspace

FIRST = HarvestSummary(answered=3, skipped=1, boxes={"human": 4}, annotators={"ann": 3}, notes=(("a", "odd"),))
SECOND = HarvestSummary(answered=2, empty=1, boxes={"human": 1, "accepted": 2}, hours=0.5, annotators={"bob": 2})
UNFINISHED = None


@pytest.fixture
def settings(tmp_path):
    return Settings.model_validate({"name": "sums", "workspace": str(tmp_path), "data": {"labels": ["nut"]}})


def summed_up(settings, *summaries, before=None, reviews=()):
    keep(HarvestLog(Workspace(settings.workspace)), summaries)
    keep(ReviewLog(Workspace(settings.workspace)), reviews)
    return sum_up(settings, before)


def keep(log, summaries):
    for summary in summaries:
        name = log.save(Harvest((), ""))
        if summary is not UNFINISHED:
            log.finish(name, summary)


def test_no_harvest_sums_up_to_nothing(settings):
    summed = summed_up(settings)
    assert (summed.harvests, summed.answered, summed.boxes, summed.hours) == (0, 0, {}, None)


def test_everything_that_is_new_is_added(settings):
    summed = summed_up(settings, FIRST, SECOND)
    assert (summed.harvests, summed.answered, summed.skipped, summed.empty) == (2, 5, 1, 1)
    assert summed.boxes == {"human": 5, "accepted": 2}
    assert summed.annotators == {"ann": 3, "bob": 2}
    assert summed.notes == FIRST.notes
    assert summed.hours == 0.5, "a harvest of unknown hours takes none away"


def test_what_an_earlier_cycle_counted_is_left_out(settings):
    summed = summed_up(settings, FIRST, SECOND, before=CycleHarvest(harvests=1))
    assert (summed.harvests, summed.answered, summed.boxes) == (2, 2, SECOND.boxes)


def test_a_harvest_that_is_not_committed_waits(settings):
    summed = summed_up(settings, FIRST, UNFINISHED)
    assert (summed.harvests, summed.answered) == (1, 3)


def test_reviews_are_summed_apart_from_answers(settings):
    """An earlier release has not counted them; what a cycle has counted is left out of the next."""
    one = HarvestSummary(answered=3, boxes={"accepted": 5, "deleted": 1}, hours=0.25, changed=1, notes=(("b", "late"),))
    two = HarvestSummary(answered=2, skipped=1, boxes={"added": 2}, changed=1, left_out=1)
    summed = summed_up(settings, SECOND, reviews=(one, two))
    boxes = {"accepted": 5, "deleted": 1, "added": 2}
    assert summed.reviews == ReviewWork(5, 1, 1, changed=2, boxes=boxes, hours=0.25)
    assert summed.reviews.mistaken == 0.5
    assert (summed.answered, summed.hours, summed.boxes) == (2, 0.5, SECOND.boxes)
    assert summed.notes == one.notes
    later = sum_up(settings, summed)
    assert (later.reviews, later.review_harvests, later.reviews.mistaken) == (ReviewWork(), 2, None)
