"""Tables of proposals with evidence, made by hand or drawn from a model that is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.special import expit

from pipeline.records import EVIDENCE_FIELDS, PROPOSAL_SCHEMA, SELECTION_SCHEMA

EVIDENCE_SCHEMA = pa.schema([*PROPOSAL_SCHEMA, *EVIDENCE_FIELDS])

ORDINARY = {
    "image_id": "i0",
    "x1": 10.0,
    "y1": 20.0,
    "x2": 50.0,
    "y2": 60.0,
    "label": "bolt",
    "score": 0.5,
    "entropy": 0.6,
    "runner_up": 0.1,
    "duplicate_iou": 0.2,
    "conflict_iou": 0.1,
    "covered": 0.3,
    "covering": 0.25,
    "votes": 0.7,
    "rank": 3.0,
    "crowd": 9.0,
    "best_score": 0.9,
    "class_score": 2.5,
    "tta_score": 0.45,
    "tta_iou": 0.7,
    "tta_near": 0.5,
    "tta_conflict": 0.1,
    "tta_votes": 0.6,
    "tta_mass": 3.0,
    "closeup_score": 0.4,
    "closeup_iou": 0.75,
    "partner_score": 0.4,
    "partner_iou": 0.7,
    "embedding": [1.0, 0.0],
    "model_id": "m1",
    "consistency": 0.5,
    "hit_fraction": 0.5,
    "mean_iou": 0.8,
    "spread": 0.2,
    "checks": 4,
}
DECIDED = {"p_correct": 0.5, "threshold": None, "fate": "ask", "reason": "below_threshold"}


def evidence_of(*rows):
    """Proposals with evidence; each row is a dict of what is not ordinary about it."""
    return _table(rows, ORDINARY, EVIDENCE_SCHEMA)


def selection_of(*rows):
    """Proposals with their verdicts."""
    return _table(rows, {**ORDINARY, **DECIDED}, SELECTION_SCHEMA)


def _table(rows, ordinary, schema):
    whole = [{"proposal_id": f"p{number}", **ordinary, **row} for number, row in enumerate(rows)]
    columns = [pa.array([row[field.name] for row in whole], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def with_columns(table, **columns):
    """The same table with some columns replaced."""
    for name, values in columns.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    return table


WEIGHTS = {"score": 4.0, "consistency": 3.0, "closeup_score": -2.0}
INTERCEPT = -2.0


def drawn_evidence(count, seed=0, *, per_image=10, shift=None, labels=("bolt",)):
    """Draw proposals whose probability of being right is a known logistic function of their evidence.

    Args:
        count: How many.
        seed: Of the draw.
        per_image: Proposals per image.
        shift: Added to the logit of a class, by label.
        labels: Classes, drawn evenly.

    Returns:
        The evidence, bool[N] whether each is right, and float[N] the true probability.
    """
    random = np.random.default_rng(seed)
    drawn = {name: random.random(count) for name in WEIGHTS}
    label = random.choice(np.array(labels, dtype=object), count)
    logits = INTERCEPT + sum(weight * drawn[name] for name, weight in WEIGHTS.items())
    logits = logits + np.array([(shift or {}).get(name, 0.0) for name in label])
    p_true = expit(logits)
    images = [f"i{number // per_image:05d}" for number in range(count)]
    table = with_columns(evidence_of(*[{}] * count), **drawn, label=label, image_id=images)
    return table, random.random(count) < p_true, p_true
