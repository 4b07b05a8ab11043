from __future__ import annotations

import pytest

from pipeline.artefacts import HarvestSummary
from pipeline.labeling.backend import Harvest
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.labeling.feedback.summing import sum_up
from pipeline.settings import Settings
from pipeline.workspace import Workspace

FIRST = HarvestSummary(answered=3, skipped=1, boxes={"human": 4}, annotators={"ann": 3}, notes=(("a", "odd"),))
SECOND = HarvestSummary(answered=2, empty=1, boxes={"human": 1, "accepted": 2}, hours=0.5, annotators={"bob": 2})
UNFINISHED = None


@pytest.fixture
def settings(tmp_path):
    return Settings.model_validate({"name": "sums", "workspace": str(tmp_path), "data": {"labels": ["nut"]}})


def log_of(settings, *summaries):
    log = HarvestLog(Workspace(settings.workspace))
    for summary in summaries:
        name = log.save(Harvest((), ""))
        if summary is not UNFINISHED:
            log.finish(name, summary)
    return log


def test_no_harvest_sums_up_to_nothing(settings):
    summed = sum_up(settings, log_of(settings))
    assert (summed.harvests, summed.answered, summed.boxes, summed.hours) == (0, 0, {}, None)


def test_everything_that_is_new_is_added(settings):
    summed = sum_up(settings, log_of(settings, FIRST, SECOND))
    assert (summed.harvests, summed.answered, summed.skipped, summed.empty) == (2, 5, 1, 1)
    assert summed.boxes == {"human": 5, "accepted": 2}
    assert summed.annotators == {"ann": 3, "bob": 2}
    assert summed.notes == FIRST.notes
    assert summed.hours == 0.5, "a harvest of unknown hours takes none away"


def test_what_an_earlier_cycle_counted_is_left_out(settings):
    summed = sum_up(settings, log_of(settings, FIRST, SECOND), counted=1)
    assert (summed.harvests, summed.answered, summed.boxes) == (2, 2, SECOND.boxes)


def test_a_harvest_that_is_not_committed_waits(settings):
    summed = sum_up(settings, log_of(settings, FIRST, UNFINISHED))
    assert (summed.harvests, summed.answered) == (1, 3)
