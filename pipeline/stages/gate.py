"""Evaluating the candidate and deciding whether it becomes champion."""

from __future__ import annotations

from dataclasses import replace

from pipeline.artefacts import GateOutcome, Metrics, TrainingRun
from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.detector.evaluation.metrics import measure
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.registry import promote, record_metrics
from pipeline.records import Split
from pipeline.selection.promotion import detections_of, judge_by_committee, judge_by_val
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def gate(cycle: Cycle) -> GateOutcome:
    """Evaluate the candidate and make it champion unless it is worse; see `evaluation.gate` for the rule."""
    outcome = cycle.once(GateOutcome, lambda: _decide(cycle))
    if outcome.promoted:
        promote(cycle.workspace.models, outcome.candidate)
    return outcome


def evaluate_model(settings: Settings, model_id: str | None, split: str) -> Metrics:
    """Measure a model on a labelled split.

    Args:
        settings: The project.
        model_id: Which; the champion for None.
        split: `val` or `test`.

    Raises:
        ArtefactError: There is no such model.
        ValueError: Another split.
    """
    if split not in {Split.VAL, Split.TEST}:
        raise ValueError(f"Expected split val or test, got {split!r}")
    workspace = Workspace(settings.workspace)
    model_id = model_id or require_champion(workspace, "to evaluate")
    store = SampleStore(workspace.samples_uri)
    return measure(detections_of(settings, store, model_id, Split(split)), settings.seed)


def _decide(cycle: Cycle) -> GateOutcome:
    settings, store, training = cycle.settings, cycle.store, cycle.read(TrainingRun)
    candidate, champion = training.candidate, training.parent
    on_val, on_test = (detections_of(settings, store, candidate, split) for split in (Split.VAL, Split.TEST))
    if settings.selection.committee == 1:
        outcome = judge_by_val(cycle, on_val, candidate, champion)
    else:
        outcome = judge_by_committee(cycle, candidate, champion)
    val, test = (measure(detections, settings.seed) for detections in (on_val, on_test))
    record_metrics(cycle.workspace.models, candidate, {"val": val, "test": test})
    return replace(outcome, val=val, test=test)
