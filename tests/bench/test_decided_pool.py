"""A pool of two images: what pseudo-labelling makes of the objects in them, counted by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipeline.bench.decided_pool import DecidedPool, PseudoLabeling
from pipeline.records import SELECTION_SCHEMA, Box, Fate, Sample, Source, Split, State
from pipeline.selection.held_back import HeldBack
from pipeline.selection.localisation_bias import LocalisationBias
from pipeline.selection.missed_objects import MissedObjectsModel

CROWDED, PLAIN = "crowded" * 9, "plain" * 12
SPOTS = [(10.0 + 100 * index, 10.0, 60.0 + 100 * index, 60.0) for index in range(4)]
PROPOSALS = [
    # image, place, fate, p(correct), which true box it is
    (CROWDED, SPOTS[0], Fate.PSEUDO, 0.95, 0),
    (CROWDED, SPOTS[1], Fate.ASK, 0.6, 1),
    (CROWDED, SPOTS[2], Fate.DROP, 0.04, -1),
    (PLAIN, SPOTS[0], Fate.PSEUDO, 0.97, 0),
    (PLAIN, SPOTS[3], Fate.DROP, 0.01, -1),
]


def sample(image_id, objects):
    boxes = tuple(
        Box(f"{image_id}-{number}", *spot, "nut", Source.HUMAN) for number, spot in enumerate(SPOTS[:objects])
    )
    return Sample(
        image_id=image_id, uri=f"{image_id}.png", width=500, height=100, split=Split.TEST, group_id=image_id,
        state=State.LABELED, boxes=boxes,
    )  # fmt: skip


@pytest.fixture
def pool():
    """The crowded image holds 4 objects, the plain one 1; at the last place of the crowded one nothing is proposed."""
    columns = {
        "image_id": [row[0] for row in PROPOSALS],
        **{name: [row[1][at] for row in PROPOSALS] for at, name in enumerate(("x1", "y1", "x2", "y2"))},
        "label": ["nut"] * len(PROPOSALS),
        "fate": [row[2].value for row in PROPOSALS],
        "p_correct": [row[3] for row in PROPOSALS],
    }
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(len(PROPOSALS), field.type)
        for field in SELECTION_SCHEMA
    ]
    selection = pa.Table.from_arrays(arrays, schema=SELECTION_SCHEMA)
    matched = np.array([row[4] for row in PROPOSALS])
    samples = [sample(CROWDED, 4), sample(PLAIN, 1)]
    boxes = HeldBack(selection, LocalisationBias(), selection, matched, np.array([""] * len(PROPOSALS)), samples)
    flat = (0.0,) * 4
    return DecidedPool(boxes, selection, MissedObjectsModel(("nut",), (0.5,), flat, (1.0,) * 4, flat, 0.0))


def test_objects_that_no_proposal_finds(pool):
    assert pool.never_proposed().tolist() == [2, 0]
    p_correct = pool.selection["p_correct"].to_numpy().astype(np.float64)
    assert pool.expected_never_proposed(p_correct).tolist() == [0.5, 0.5], "the model expects as many everywhere"


@pytest.mark.parametrize(
    ("ignore_from", "share", "expected"),
    [
        # Marked by a sure box: one object of each. Ignored: the one that would be asked about.
        (1.0, 1.0, PseudoLabeling(images=2, boxes=2, missed=2, background=2)),
        # The weak box becomes a region over the third object.
        (0.02, 1.0, PseudoLabeling(images=2, boxes=2, missed=1, background=1)),
        # The plain image is expected to hide less, and only it is pseudo-labelled.
        (1.0, 0.0, PseudoLabeling(images=1, boxes=1, missed=2, background=0)),
        (0.0, 1.0, PseudoLabeling(images=2, boxes=2, missed=1, background=1)),
    ],
)
def test_objects_that_training_takes_for_background(pool, ignore_from, share, expected):
    assert pool.pseudo_label(ignore_from, share) == expected
