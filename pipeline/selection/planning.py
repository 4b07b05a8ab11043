"""From what a cycle holds to what people are asked."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.artefacts import CycleHarvest, Decision, MiningRun
from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.records import PROPOSAL_SCHEMA, Split, State, TaskKind, counted, of_images
from pipeline.selection.asking import verification
from pipeline.selection.costs import Costs
from pipeline.selection.diversity import image_embeddings
from pipeline.selection.missed_objects import MissedObjectsModel
from pipeline.selection.on_demand import on_demand
from pipeline.selection.pool import Pool
from pipeline.selection.query import class_weights, expected_worth
from pipeline.selection.queue import Candidates, Owed, Plan, plan_queue
from pipeline.selection.reasons import Context
from pipeline.selection.review_share import without_reviews

PLANNED_BY = [
    "image_id", "x1", "y1", "x2", "y2", "label", "score", "entropy", "runner_up", "hit_fraction", "checks", "p_correct",
    "fate", "reason",
]  # fmt: skip
"""Columns of the selection that a plan looks at: names and other evidence are most of a large table."""


def plan_questions(cycle: Cycle, selection: pa.Table, missed: MissedObjectsModel, shown_least: float | None) -> Plan:
    """Decide what people are asked in a cycle.

    Args:
        cycle: It was mined.
        selection: Columns `PLANNED_BY` at least.
        missed: What no proposal finds.
        shown_least: People see boxes of a higher p(correct); None: no box.
    """
    settings = cycle.settings
    asked = without_reviews(settings.selection, cycle.number)
    unread = [fault.image_id for fault in cycle.read(MiningRun).faults]
    images = cycle.store.pool(["image_id", "state", "width", "height"]).filter(~of_images(unread))
    image_ids = images["image_id"].to_pylist()
    drawn, labeled = count_drawn(cycle.store)
    counts = {label: drawn.get(label, 0) for label in settings.data.labels}
    pool = Pool(
        selection,
        image_ids,
        partial(_embed, cycle, selection),
        settings.seed,
        cycle.number,
        asked.query.images,
        shown_least,
        {label: count / max(1, labeled) for label, count in counts.items()},
        on_demand(cycle, cycle.read(MiningRun).model_id),
    )
    worth = expected_worth(pool, class_weights(counts, settings.selection.query.rare_class_power), missed)
    harvest = cycle.find(CycleHarvest)
    if settings.selection.query.worth_per == "second":
        worth = worth.per(Costs.of(settings.labeling.seconds, harvest).expected(pool, worth.misses))
    waiting = images.filter(pc.field("state") == State.QUEUED.value)["image_id"].to_pylist()
    widths, heights = (images[name].to_pylist() for name in ("width", "height"))
    context = Context(missed, dict(zip(image_ids, zip(widths, heights, strict=True), strict=True)), counts)
    past = cycle.before()
    decided = past.find(Decision) if past else None
    return plan_queue(
        Candidates(pool, worth, context, verification(settings.labeling, harvest)),
        _kinds_before(cycle, waiting),
        asked,
        Owed(decided.blind_owed, decided.audit_owed) if decided else None,
    )


def count_drawn(store: SampleStore) -> tuple[dict[str, int], int]:
    """Count the boxes of labelled training images by class, and these images."""
    boxes = store.table(columns=["boxes"], states=[State.LABELED], splits=[Split.TRAIN])["boxes"].combine_chunks()
    labels = pc.struct_field(pc.list_flatten(boxes), "label")
    return counted(labels), len(boxes)


def _kinds_before(cycle: Cycle, waiting: list[str]) -> dict[str, TaskKind]:
    """What images that still wait were last asked for."""
    kinds = dict.fromkeys(waiting, TaskKind.ASK)
    for number in range(cycle.number):
        folder = cycle.workspace.cycle(number)
        if waiting and folder.exists("queue.parquet"):
            asked = folder.read_table("queue.parquet", ["image_id", "kind"], of_images(waiting))
            kinds.update({row["image_id"]: TaskKind(row["kind"]) for row in asked.to_pylist()})
    return kinds


def _embed(cycle: Cycle, selection: pa.Table, image_ids: list[str]) -> NDArray[np.float64]:
    # A filter over the whole file would hold most of it at once: the images are strewn over it.
    columns = ["image_id", "embedding"]
    parts = cycle.folder.read_groups("proposals.parquet", columns, ("image_id", image_ids))
    vectors = pa.concat_tables([PROPOSAL_SCHEMA.empty_table().select(columns), *parts])
    weights = selection.filter(of_images(image_ids))["p_correct"].to_numpy().astype(np.float64)
    return image_embeddings(vectors, weights, image_ids)
