"""In a simulation, the precision of pseudo-labels against the hidden truth: for the report, and for nothing else."""

from __future__ import annotations

from typing import Any

from pipeline.records import Source, State
from pipeline.stages.backend import simulated_annotator
from pipeline.stages.cycle import Cycle


def grade(cycle: Cycle) -> dict[str, Any]:
    """Let the annotator count how many pseudo-labels are right; only counts leave it.

    Args:
        cycle: The cycle.

    Returns:
        `audit.json`: `boxes` and `right` by label; no labels where nobody knows the truth.
    """
    return cycle.once("audit", lambda: {"labels": _grade(cycle)})


def _grade(cycle: Cycle) -> dict[str, dict[str, int]]:
    if cycle.settings.labeling.backend != "simulated":
        return {}
    boxes = {
        sample.image_id: [box for box in sample.boxes if box.source is Source.PSEUDO]
        for sample in cycle.store.samples(states=[State.PSEUDO])
    }
    counts = simulated_annotator(cycle.settings).grade(boxes, cycle.settings.selection.match_iou)
    return {label: {"boxes": count, "right": right} for label, (count, right) in counts.items()}
