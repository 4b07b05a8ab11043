"""Whether a candidate replaces the champion: both compared on images that they, or their committees, never learnt."""

from __future__ import annotations

from dataclasses import replace

from pipeline.artefacts import GateOutcome, Metrics
from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.detector.evaluation.gate import (
    FIRST_COMMITTEE,
    HELD_BACK_IMAGES,
    Comparison,
    compare,
    is_spoiled,
    spoiled,
    verdict,
)
from pipeline.detector.evaluation.labeled_detections import LabeledDetections
from pipeline.detector.evaluation.metrics import measure
from pipeline.errors import ArtefactError
from pipeline.records import Split
from pipeline.selection.cross_fitting import committee_of, held_back_images
from pipeline.selection.judging import Helpers, Judge, detect_saved, judges_out_of_fold
from pipeline.settings import Settings
from pipeline.workspace import Workspace

_AGAIN = "Drop the cycle with `crosscheck cycle --discard` and run it anew."


def detections_of(
    settings: Settings, store: SampleStore, model_id: str, split: Split, helpers: Helpers
) -> LabeledDetections:
    """What a model finds in a labelled split.

    Raises:
        ArtefactError: There is no such model.
    """
    judge = Judge(Workspace(settings.workspace).models, model_id, store.labeled(split))
    return detect_saved(settings, [judge], helpers)


def judge_by_val(
    cycle: Cycle, on_val: LabeledDetections, candidate: str, champion: str | None, helpers: Helpers
) -> GateOutcome:
    """Compare candidate and champion on `val`.

    Args:
        cycle: The cycle.
        on_val: What the candidate finds there.
        candidate: The new model.
        champion: The model in use; None for none.
        helpers: Who detects.

    Returns:
        The outcome without measures of the candidate.
    """
    settings = cycle.settings
    before = detections_of(settings, cycle.store, champion, Split.VAL, helpers) if champion else None
    comparison = compare(on_val, before, settings.seed) if before else None
    promoted, why = verdict(comparison, settings.training.gate_tolerance)
    outcome = _outcome(candidate, champion, comparison, promoted, why)
    return replace(outcome, champion_val=measure(before, settings.seed) if before else None)


def judge_by_committee(cycle: Cycle, candidate: str, champion: str | None, helpers: Helpers) -> GateOutcome:
    """Compare the committees; then hold what the candidate knows by heart against what its committee never learnt.

    Args:
        cycle: The cycle.
        candidate: The new model.
        champion: The model in use; None for none.
        helpers: Who detects.

    Returns:
        The outcome without measures of the candidate on `val` and `test`.

    Raises:
        ArtefactError: The candidate has no committee.
    """
    settings, tolerance = cycle.settings, cycle.settings.training.gate_tolerance
    ours, theirs = (_out_of_fold(cycle, model_id, helpers) for model_id in (candidate, champion))
    if ours is None:
        raise ArtefactError(f"Expected candidate {candidate} to have a committee, found none. {_AGAIN}")
    comparison = compare(ours, theirs, settings.seed) if theirs else None
    promoted, why = verdict(comparison, tolerance, HELD_BACK_IMAGES)
    if comparison is None and champion:
        why = FIRST_COMMITTEE
    if promoted and comparison:  # what is the first of its kind has nothing to fall back to
        by_heart = compare(_by_heart(cycle, candidate, helpers), ours, settings.seed)
        promoted, why = (False, spoiled(by_heart)) if is_spoiled(by_heart) else (promoted, why)
    return replace(
        _outcome(candidate, champion, comparison, promoted, why),
        held_back=measure(ours, settings.seed),
        champion_held_back=measure(theirs, settings.seed) if theirs else None,
    )


def _outcome(
    candidate: str, champion: str | None, comparison: Comparison | None, promoted: bool, why: str
) -> GateOutcome:
    nothing = Metrics(None, None, None)
    return GateOutcome(
        candidate=candidate,
        champion=champion,
        promoted=promoted,
        why=why,
        val=nothing,
        test=nothing,
        gap=comparison.interval if comparison else None,
        forgotten=comparison.forgotten if comparison else (),
    )


def _out_of_fold(cycle: Cycle, model_id: str | None, helpers: Helpers) -> LabeledDetections | None:
    """What a model's committee finds in labelled images, each member in those that it has not learnt."""
    committee = committee_of(cycle.workspace, model_id)
    if committee is None:
        return None
    held_back = held_back_images(cycle.store, cycle.settings.selection)
    return detect_saved(cycle.settings, judges_out_of_fold(cycle.workspace, committee, held_back), helpers)


def _by_heart(cycle: Cycle, candidate: str, helpers: Helpers) -> LabeledDetections:
    held_back = held_back_images(cycle.store, cycle.settings.selection)
    return detect_saved(cycle.settings, [Judge(cycle.workspace.models, candidate, held_back)], helpers)
