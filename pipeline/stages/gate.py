"""Evaluating the candidate and deciding whether it becomes champion."""

from __future__ import annotations

from dataclasses import replace

from pipeline.artefacts import GateOutcome, Metrics, TrainingRun
from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.detector.evaluation.metrics import measure
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.registry import promote, record_metrics
from pipeline.progress import Progress, silent
from pipeline.records import Split
from pipeline.runners import ALONE, Runner
from pipeline.selection.judging import Helpers
from pipeline.selection.promotion import detections_of, judge_by_committee, judge_by_val
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def gate(cycle: Cycle, progress: Progress = silent, runner: Runner = ALONE) -> GateOutcome:
    """Evaluate the candidate and make it champion unless it is worse; see `evaluation.gate` for the rule.

    Args:
        cycle: The cycle.
        progress: Called as images are evaluated.
        runner: Who detects in them.
    """
    outcome = cycle.once(GateOutcome, lambda: _decide(cycle, Helpers(runner, progress)))
    if outcome.promoted:
        promote(cycle.workspace.models, outcome.candidate)
    return outcome


def evaluate_model(settings: Settings, model_id: str | None, split: str, helpers: Helpers | None = None) -> Metrics:
    """Measure a model on a labelled split.

    Args:
        settings: The project.
        model_id: Which; the champion for None.
        split: `val` or `test`.
        helpers: Who detects; this process by default.

    Raises:
        ArtefactError: There is no such model.
        ValueError: Another split.
    """
    if split not in {Split.VAL, Split.TEST}:
        raise ValueError(f"Expected split val or test, got {split!r}")
    workspace = Workspace(settings.workspace)
    model_id = model_id or require_champion(workspace, "to evaluate")
    store = SampleStore(workspace.samples_uri)
    return measure(detections_of(settings, store, model_id, Split(split), helpers or Helpers()), settings.seed)


def _decide(cycle: Cycle, helpers: Helpers) -> GateOutcome:
    settings, store, training = cycle.settings, cycle.store, cycle.read(TrainingRun)
    candidate, champion = training.candidate, training.parent
    on_val, on_test = (detections_of(settings, store, candidate, split, helpers) for split in (Split.VAL, Split.TEST))
    if settings.selection.committee == 1:
        outcome = judge_by_val(cycle, on_val, candidate, champion, helpers)
    else:
        outcome = judge_by_committee(cycle, candidate, champion, helpers)
    val, test = (measure(detections, settings.seed) for detections in (on_val, on_test))
    record_metrics(cycle.workspace.models, candidate, {"val": val, "test": test})
    return replace(outcome, val=val, test=test)
