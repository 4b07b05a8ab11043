"""Evaluating the candidate and deciding whether it becomes champion."""

from __future__ import annotations

from pipeline.artefacts import GateOutcome, Metrics, TrainingRun
from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.detector.evaluation.gate import compare, verdict
from pipeline.detector.evaluation.labeled_detections import LabeledDetections, detect_labeled
from pipeline.detector.evaluation.metrics import measure
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.registry import promote, record_metrics
from pipeline.detector.models.saved import load_model
from pipeline.detector.training.fit import labeled_predictor
from pipeline.errors import ArtefactError
from pipeline.records import Split
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def gate(cycle: Cycle) -> GateOutcome:
    """Evaluate the candidate and make it champion unless it is worse on val; see `evaluation.gate` for the rule."""
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
    model_id = model_id or champion_of(workspace)
    if model_id is None:
        raise ArtefactError("Expected a champion to evaluate, found none. Run `crosscheck finetune` first.")
    store = SampleStore(workspace.samples_uri)
    return measure(_detections(settings, store, model_id, Split(split)), settings.seed)


def _detections(settings: Settings, store: SampleStore, model_id: str, split: Split) -> LabeledDetections:
    detector = load_model(Workspace(settings.workspace).models, model_id)
    return detect_labeled(labeled_predictor(settings, detector), store.labeled(split))


def _decide(cycle: Cycle) -> GateOutcome:
    settings, store, training = cycle.settings, cycle.store, cycle.read(TrainingRun)
    candidate, champion = training.candidate, training.parent
    on_val = _detections(settings, store, candidate, Split.VAL)
    before = _detections(settings, store, champion, Split.VAL) if champion else None
    comparison = compare(on_val, before, settings.seed) if before else None
    promoted, why = verdict(comparison, settings.training.gate_tolerance)
    val = measure(on_val, settings.seed)
    test = measure(_detections(settings, store, candidate, Split.TEST), settings.seed)
    record_metrics(cycle.workspace.models, candidate, {"val": val, "test": test})
    return GateOutcome(
        candidate=candidate,
        champion=champion,
        promoted=promoted,
        why=why,
        val=val,
        test=test,
        champion_val=measure(before, settings.seed) if before else None,
        gap=comparison.interval if comparison else None,
        forgotten=comparison.forgotten if comparison else (),
    )
