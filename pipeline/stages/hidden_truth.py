"""In a simulation, the precision of pseudo-labels against the hidden truth: for the report, and for nothing else."""

from __future__ import annotations

from pipeline.artefacts import AuditCount, HiddenTruthAudit
from pipeline.cycle import Cycle
from pipeline.labeling.annotators import simulated_annotator
from pipeline.records import Source, State


def audit_hidden_truth(cycle: Cycle) -> HiddenTruthAudit:
    """Let the annotator count how many pseudo-labels are right; only counts leave it."""
    return cycle.once(HiddenTruthAudit, lambda: _audit(cycle))


def _audit(cycle: Cycle) -> HiddenTruthAudit:
    if cycle.settings.labeling.backend != "simulated":
        return HiddenTruthAudit()
    boxes = {
        sample.image_id: [box for box in sample.boxes if box.source is Source.PSEUDO]
        for sample in cycle.store.samples(states=[State.PSEUDO])
    }
    counts = simulated_annotator(cycle.settings).grade(boxes, cycle.settings.selection.match_iou)
    return HiddenTruthAudit(labels={label: AuditCount(*count) for label, count in counts.items()})
