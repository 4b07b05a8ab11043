"""The fate of every proposal, the queue for people, and the dataset version that takes both in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.labeling.feedback.audit import standings
from pipeline.mining.consistency import gather_evidence
from pipeline.records import (
    BACKGROUND_SCHEMA,
    PROPOSAL_SCHEMA,
    Fate,
    Sample,
    Source,
    Split,
    State,
    TaskKind,
    of_images,
    samples_from_table,
)
from pipeline.seeds import derive_seed, numpy_generator
from pipeline.selection.baselines import Pool
from pipeline.selection.class_affinity import with_affinity
from pipeline.selection.diversity import image_embeddings
from pipeline.selection.fates import (
    AUDITED,
    boxes_of,
    decide,
    expected_background,
    is_background,
    is_learnt,
    is_soft,
    pseudo_images,
    regions,
)
from pipeline.selection.missed_objects import MissedObjectsModel
from pipeline.selection.query import choose_images, class_weights, expected_worth, no_longer_worth, queue_table
from pipeline.stages.calibration import held_back, load_calibration
from pipeline.stages.cycle import Cycle
from pipeline.stages.finetune import labeled_samples
from pipeline.stages.mine import MINED_STATES


def select(cycle: Cycle) -> dict[str, Any]:
    """Decide, then commit.

    What is decided is written before it is committed, and read back when the stage runs again: the commit changes the
    very states that the decision starts from.

    Returns:
        `select.json`: the version and what it took in. The tables go to `selection.parquet`, `background.parquet` and
        `queue.parquet`.
    """
    cycle.once("decision", lambda: _decide(cycle))
    return cycle.once("select", lambda: _commit(cycle))


def _decide(cycle: Cycle) -> dict[str, Any]:
    known = held_back(cycle)
    cascade, promised, missed, bias = load_calibration(cycle, known)
    withdrawn = [label for label, one in standings(cycle, known.samples).items() if one.withdrawn]
    plain = [name for name in PROPOSAL_SCHEMA.names if name != "embedding"]
    proposals = cycle.folder.read_table("proposals.parquet", plain)
    evidence = gather_evidence(proposals, cycle.folder.read_table("checks.parquet"))
    parts = cycle.folder.read_batches("proposals.parquet", ["label", "embedding"])
    evidence = with_affinity(evidence, cascade.affinity.measure_parts(parts))
    p_correct = cascade.predict(evidence)
    sizes = cycle.store.table(columns=["image_id", "width", "height"])
    placed = bias.place(evidence, sizes)
    selection = decide(placed, p_correct, promised.classes, cycle.settings.selection, withdrawn)
    cycle.folder.write_table("selection.parquet", selection)
    cycle.folder.write_table("background.parquet", _background(cycle, selection, missed))
    queue = _queue(cycle, selection, missed)
    cycle.folder.write_table("queue.parquet", queue)
    return {"waiting": len(queue), "fates": dict(Counter(selection["fate"].to_pylist()))}


def _background(cycle: Cycle, selection: pa.Table, missed: MissedObjectsModel) -> pa.Table:
    """What training would take for background in each image with a box to learn from."""
    settings = cycle.settings.selection
    images = pc.unique(selection.filter(is_learnt(settings.soft_from))["image_id"]).to_pylist()
    ignore_from = settings.ignore_from if cycle.settings.training.ignore_regions else None
    expected = expected_background(selection, missed, images, is_background(settings.soft_from, ignore_from))
    return pa.table([pa.array(images, pa.string()), pa.array(expected, pa.float32())], schema=BACKGROUND_SCHEMA)


def _queue(cycle: Cycle, selection: pa.Table, missed: MissedObjectsModel) -> pa.Table:
    """Images that wait already and are still worth asking about, and new ones within the budget."""
    settings = cycle.settings.selection
    states = cycle.store.table(columns=["image_id", "state"], states=MINED_STATES, splits=[Split.POOL])
    unread = {fault[0] for fault in cycle.artefact("mining")["faults"]}
    state = {row["image_id"]: row["state"] for row in states.to_pylist() if row["image_id"] not in unread}

    def pool(image_ids: list[str], images: int) -> Pool:
        seed = derive_seed(cycle.settings.seed, "query", cycle.number)
        return Pool(selection, image_ids, partial(_embed, cycle, selection), seed, cycle.number, images)

    weights = class_weights(_class_counts(cycle), settings.query.rare_class_power)
    before = _kinds_before(cycle, [image_id for image_id, one in state.items() if one == State.QUEUED])
    audited = [image_id for image_id, kind in before.items() if kind is TaskKind.AUDIT]
    again = pool([one for one in state if one not in audited], max(0, settings.query.images - len(audited)))
    gone = no_longer_worth(
        again,
        expected_worth(again, weights, missed),
        [one for one in before if one not in audited],
        settings.query,
    )
    waiting = [image_id for image_id in before if image_id not in gone]
    budget = max(0, settings.query.images - len(waiting))
    audits = _draw_audits(cycle, selection, set(before), budget)
    free = pool([one for one in state if one not in before and one not in audits], budget - len(audits))
    chosen = choose_images(free, expected_worth(free, weights, missed), settings.query)
    everyone = pool(list(state), 0)
    kinds = {
        **{image_id: before[image_id] for image_id in waiting},
        **dict.fromkeys(audits, TaskKind.AUDIT),
        **dict.fromkeys(chosen, TaskKind.ASK),
        **dict.fromkeys(_draw_blind(cycle, chosen), TaskKind.BLIND),
    }
    return queue_table(everyone, expected_worth(everyone, weights, missed), kinds)


def _draw_audits(cycle: Cycle, selection: pa.Table, seen: set[str], budget: int) -> list[str]:
    """Some of the images that would be pseudo-labelled, at random; people draw them without seeing the boxes.

    Those of classes that failed their audits are among them: what people find there can bring a class back.
    """
    sure = sorted(set(selection.filter(AUDITED)["image_id"].to_pylist()) - seen)
    count = min(len(sure), round(budget * cycle.settings.selection.audit_share))
    drawn = numpy_generator(cycle.settings.seed, "audit", cycle.number).choice(len(sure), count, replace=False)
    return [sure[index] for index in sorted(drawn.tolist())]


def _draw_blind(cycle: Cycle, chosen: list[str]) -> list[str]:
    """Some of the chosen images, at random, so that they are like those that are shown with boxes."""
    count = round(len(chosen) * cycle.settings.selection.query.blind_share)
    drawn = numpy_generator(cycle.settings.seed, "blind", cycle.number).choice(len(chosen), count, replace=False)
    return [chosen[index] for index in drawn.tolist()]


def _kinds_before(cycle: Cycle, waiting: list[str]) -> dict[str, TaskKind]:
    """What images that still wait were last asked for."""
    kinds = dict.fromkeys(waiting, TaskKind.ASK)
    for number in range(cycle.number):
        folder = cycle.workspace.cycle(number)
        if not waiting or not folder.exists("queue.parquet"):
            continue
        asked = folder.read_table("queue.parquet", ["image_id", "kind"], of_images(waiting))
        kinds.update({row["image_id"]: TaskKind(row["kind"]) for row in asked.to_pylist()})
    return kinds


def _embed(cycle: Cycle, selection: pa.Table, image_ids: list[str]) -> NDArray[np.float64]:
    rows = of_images(image_ids)
    vectors = cycle.folder.read_table("proposals.parquet", ["image_id", "embedding"], rows)
    weights = selection.filter(rows)["p_correct"].to_numpy().astype(np.float64)
    return image_embeddings(vectors, weights, image_ids)


def _class_counts(cycle: Cycle) -> dict[str, int]:
    boxes = Counter(box.label for sample in labeled_samples(cycle.store, Split.TRAIN) for box in sample.boxes)
    return {label: boxes[label] for label in cycle.settings.data.labels}


def _commit(cycle: Cycle) -> dict[str, Any]:
    selection = cycle.folder.read_table("selection.parquet")
    queued = set(cycle.folder.read_table("queue.parquet", ["image_id"])["image_id"].to_pylist())
    settings = cycle.settings.selection
    complete, incomplete = _complete(cycle)
    whole = selection.filter(of_images(complete))
    pseudo = pseudo_images(whole, queued, settings.max_pseudo_images, settings.soft_from)
    changed = _changed(cycle, selection, queued, set(pseudo))
    version = cycle.store.commit(
        changed,
        reason=f"cycle {cycle.number}: pseudo-labels and queue",
        key=f"cycle {cycle.number} {cycle.opened_at.isoformat()} select",
        cycle=cycle.number,
        model_id=str(cycle.artefact("mining")["model_id"]),
        settings_digest=cycle.settings.digest(),
    )
    written = selection.filter(of_images(pseudo))
    sure = written.filter(pc.field("fate") == Fate.PSEUDO.value)
    by_class = Counter(sure["label"].to_pylist())
    return {
        "version": version,
        "pseudo_images": len(pseudo),
        "pseudo_boxes": len(sure),
        "soft_boxes": len(written.filter(is_soft(settings.soft_from))),
        "incomplete_images": len(incomplete - queued),
        "queued": len(queued),
        "dropped": selection["fate"].to_pylist().count(Fate.DROP.value),
        "pseudo_by_class": dict(sorted(by_class.items())),
    }


def _complete(cycle: Cycle) -> tuple[set[str], set[str]]:
    """Images with a box to learn from in which few misses are expected, and the others."""
    table = cycle.folder.read_table("background.parquet")
    most = cycle.settings.selection.max_expected_missed
    few = pc.field("expected_missed") <= (np.inf if most is None else most)
    complete = set(table.filter(few)["image_id"].to_pylist())
    return complete, set(table["image_id"].to_pylist()) - complete


def _changed(cycle: Cycle, selection: pa.Table, queued: set[str], pseudo: set[str]) -> list[Sample]:
    """Rows that the selection gives another state or other boxes."""
    settings, written = cycle.settings.selection, selection.filter(of_images(pseudo))
    learnt = is_soft(settings.soft_from)
    sure = boxes_of(written, Fate.PSEUDO, cycle.opened_at)
    soft = boxes_of(written.filter(learnt), Fate.ASK, cycle.opened_at, Source.SOFT)
    unsure = boxes_of(written.filter(~learnt), Fate.ASK, cycle.opened_at)
    weak = boxes_of(written.filter(pc.field("p_correct") >= settings.ignore_from), Fate.DROP, cycle.opened_at)
    unread = {image_id: reason for image_id, _uri, reason in cycle.artefact("mining")["faults"]}
    rows = cycle.store.table(states=MINED_STATES, splits=[Split.POOL])
    # Most of a large pool was in it and stays, without boxes.
    samples = samples_from_table(
        rows.filter((pc.field("state") != State.POOL.value) | of_images({*queued, *pseudo, *unread}))
    )

    def decided(sample: Sample) -> Sample:
        bare = replace(sample, boxes=(), ignore=(), cycle=cycle.number)
        if sample.image_id in unread:
            return replace(bare, state=State.QUARANTINED, note=unread[sample.image_id])
        if sample.image_id in queued:
            return replace(bare, state=State.QUEUED)
        if sample.image_id in pseudo:
            boxes = (*sure.get(sample.image_id, []), *soft.get(sample.image_id, []))
            left_out = ((unsure, "unsure"), (weak, "weak"))
            ignore = tuple(one for some, why in left_out for one in regions(some.get(sample.image_id, []), why))
            return replace(bare, state=State.PSEUDO, boxes=boxes, ignore=ignore)
        return replace(bare, state=State.POOL)

    pairs = ((sample, decided(sample)) for sample in samples)
    return [new for old, new in pairs if (old.state, old.boxes, old.ignore) != (new.state, new.boxes, new.ignore)]
