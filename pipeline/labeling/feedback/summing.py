"""What several harvests took in together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pipeline.artefacts import CycleHarvest, PricedAnswers, ReviewWork, TimedAnswers, add_audits
from pipeline.labeling.feedback.acceptance import count_acceptance
from pipeline.labeling.feedback.effort import time_saved
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.labeling.feedback.people import count_people
from pipeline.labeling.feedback.review_log import ReviewLog
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def sum_up(settings: Settings, before: CycleHarvest | None = None) -> CycleHarvest:
    """Sum up the harvests that no earlier cycle has counted.

    Acceptance and people are counted over the whole project, and time saved beside that of the whole project.

    Args:
        settings: The project.
        before: What the cycle before has counted; None for the first.
    """
    counted, workspace = before or CycleHarvest(), Workspace(settings.workspace)
    log, reviews = HarvestLog(workspace), ReviewLog(workspace)
    names, reviewed = log.finished(), reviews.finished()
    every = [log.summary(name) for name in names]
    new = every[counted.harvests :]
    looked_again = [reviews.summary(name) for name in reviewed[counted.review_harvests :]]
    hours = [summary.hours for summary in new if summary.hours is not None]
    timed = [sum((summary.timed for summary in some), TimedAnswers()) for some in (new, every)]
    asked_in = sorted({number for summary in new for number in summary.audits})
    return CycleHarvest(
        answered=sum(summary.answered for summary in new),
        skipped=sum(summary.skipped for summary in new),
        empty=sum(summary.empty for summary in new),
        boxes=_added(summary.boxes for summary in new),
        hours=sum(hours) if hours else None,
        agreements=tuple(share for summary in new for share in summary.agreements),
        asked_again=sum(summary.asked_again for summary in new),
        annotators=_added(summary.annotators for summary in new),
        audits={number: add_audits(summary.audits.get(number, {}) for summary in new) for number in asked_in},
        remarks=tuple(remark for summary in new for remark in summary.remarks),
        notes=tuple(note for summary in (*new, *looked_again) for note in summary.notes),
        saved=time_saved(*timed),
        priced=sum((summary.priced for summary in new), PricedAnswers()),
        acceptance=count_acceptance(settings, log.answers(names)),
        people=count_people(settings, log.answers(names), reviews.answers(reviewed)),
        harvests=len(names),
        reviews=sum((summary.review for summary in looked_again), ReviewWork()),
        review_harvests=len(reviewed),
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    return dict(sum(map(Counter, counts), Counter[str]()))
