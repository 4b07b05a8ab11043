"""A made-up project of many cycles for `scale.py`: every artefact that its report reads, and a hundred image files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.artefacts import (
    Acceptance,
    AcceptanceCount,
    Calibration,
    Certificate,
    Certificates,
    ClassMetrics,
    Curves,
    CycleHarvest,
    Decision,
    GateOutcome,
    ImportRun,
    Metrics,
    MiningCost,
    MiningRun,
    PushRun,
    Recall,
    ScoreQuality,
    SelectionRun,
    Standings,
    TrainingRun,
    TrainingStep,
    TrainingSummary,
)
from pipeline.cycle import Cycle, finish_cycle, open_cycle
from pipeline.detector.models.registry import CARD, ModelCard, promote
from pipeline.folder import Folder
from pipeline.records import CHECK_SCHEMA, QUEUE_SCHEMA, SELECTION_SCHEMA, State
from pipeline.settings import Settings
from pipeline.workspace import Workspace

LABELS = ("bolt", "nut", "gear", "key", "washer", "spring", "pin", "clip", "ring", "cap")
ANSWERED, FILES, SIZE_PX = 100, 100, (640, 480)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
BINS = tuple((0.05 + place / 10, 0.05 + place / 10, 100) for place in range(10))


def settings_of(folder: Folder) -> Settings:
    """Of the project."""
    data = {"labels": LABELS, "sources": []}
    return Settings.model_validate({"name": "scale", "workspace": folder.path("workspace"), "data": data})


def draw_files(folder: Folder) -> list[str]:
    """Draw image files that are neither flat nor noise; returns their paths."""
    random, paths = np.random.default_rng(0), []
    Path(folder.path("files")).mkdir()
    for number in range(FILES):
        coarse = Image.fromarray(random.integers(0, 255, (24, 32, 3), dtype=np.uint8))
        paths.append(folder.path("files") + f"/{number:03d}.jpg")
        coarse.resize(SIZE_PX, Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def with_files(rows: pa.Table, paths: Sequence[str]) -> pa.Table:
    """Rows of images that lie in so many files, one file for many rows."""
    uris = pa.array(np.take(np.array(paths), np.arange(len(rows)) % len(paths)))
    rows = rows.set_column(rows.column_names.index("uri"), "uri", uris)
    for name, side in zip(("width", "height"), SIZE_PX, strict=True):
        rows = rows.set_column(rows.column_names.index(name), name, pa.array([side] * len(rows), pa.int32()))
    return rows


def run_cycle(settings: Settings, rows: pa.Table, proposals: pa.Table) -> Cycle:
    """One more cycle: answers for some images, new pseudo-labels in half of them, and every artefact.

    Args:
        settings: Of the project.
        rows: Every image.
        proposals: `PROPOSAL_SCHEMA`.
    """
    number = len(Workspace(settings.workspace).cycles())
    cycle = open_cycle(settings, BEGAN + timedelta(days=number))
    answered = _in_state(rows.slice(number * ANSWERED % len(rows), ANSWERED), State.LABELED)
    learnt = cycle.store.commit(answered, reason="harvest", key=f"harvest {number}", cycle=number)
    half = _relabelled(rows.take(np.arange(number % 2, len(rows), 2)), number)
    selected = cycle.store.commit(
        half, reason="pseudo-labels", key=f"select {number}", cycle=number, model_id=_model(number)
    )
    _write_records(cycle, learnt, selected)
    _write_tables(cycle, proposals)
    card = ModelCard.of(settings, learnt, _model(number - 1) if number else None, number)
    cycle.workspace.models.folder(_model(number)).write_record(CARD, card)
    promote(cycle.workspace.models, _model(number))
    finish_cycle(cycle, BEGAN)
    return cycle


def _model(number: int) -> str:
    return f"{number:012x}"


def _in_state(rows: pa.Table, state: State) -> pa.Table:
    return rows.set_column(rows.column_names.index("state"), "state", pa.array([state.value] * len(rows)))


def _relabelled(rows: pa.Table, number: int) -> pa.Table:
    """Boxes that another model drew: each a little aside, with an id of its own."""
    boxes = pa.Table.from_struct_array(rows["boxes"].combine_chunks().flatten())
    for name in ("x1", "x2"):
        moved = pa.array(boxes[name].to_numpy() + np.float32(1 + number % 5), pa.float32())
        boxes = boxes.set_column(boxes.column_names.index(name), name, moved)
    ids = pa.array([f"{number:04d}{box_id[4:]}" for box_id in boxes["box_id"].to_pylist()])
    boxes = boxes.set_column(boxes.column_names.index("box_id"), "box_id", ids)
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * (len(boxes) // len(rows))
    nested = pa.ListArray.from_arrays(offsets, boxes.to_struct_array().combine_chunks())
    return rows.set_column(rows.column_names.index("boxes"), "boxes", nested.cast(rows.schema.field("boxes").type))


def _write_tables(cycle: Cycle, proposals: pa.Table) -> None:
    """What was decided of every proposal, and whom people are asked about."""
    count, random = len(proposals), np.random.default_rng(cycle.number)
    fates = np.take(np.array(["pseudo", "ask", "drop"]), np.arange(count) % 3)
    p_correct = pa.array(random.random(count, dtype=np.float32))
    decided = {"fate": pa.array(fates), "p_correct": p_correct, "reason": pa.array(["made up"] * count)}
    images = proposals["image_id"].unique()[:ANSWERED]
    asked = {
        "image_id": images,
        "rank": pa.array(range(len(images))),
        "boxes": pa.array([5] * len(images)),
        "kind": pa.array(["ask"] * len(images)),
        "reason": pa.array(["unsure"] * len(images)),
    }
    known = {name: proposals[name] for name in proposals.column_names if name != "embedding"}
    cycle.folder.write_table("proposals.parquet", pa.table(known))
    cycle.folder.write_table("checks.parquet", CHECK_SCHEMA.empty_table())
    cycle.folder.write_table("selection.parquet", _filled(SELECTION_SCHEMA, {**known, **decided}, count))
    cycle.folder.write_table("queue.parquet", _filled(QUEUE_SCHEMA, asked, len(images)))


def _filled(schema: pa.Schema, known: Mapping[str, pa.Array], rows: int) -> pa.Table:
    """A table with the columns that are known, and nulls in the others."""
    return pa.table({field.name: known.get(field.name, pa.nulls(rows, field.type)) for field in schema}).cast(schema)


def _write_records(cycle: Cycle, learnt: int, selected: int) -> None:
    number = cycle.number
    metrics = _metrics(0.3 + 0.3 * number / (number + 10))
    curve = tuple(TrainingStep(step, 1.0 / (1 + step / 100)) for step in range(0, 2000, 20))
    run = TrainingSummary(2000, 600.0, 25.0, curve=curve, labeled_images=ANSWERED * (number + 1))
    counts = {label: AcceptanceCount(50 * (number + 1), 40 * (number + 1), 5, 5) for label in LABELS}
    parent = _model(number - 1) if number else None
    for record in (
        ImportRun(version=0, imports=1),
        CycleHarvest(answered=ANSWERED, boxes={"human": 500}, hours=1.0, acceptance=Acceptance(classes=counts)),
        TrainingRun(candidate=_model(number), parent=parent, dataset_version=learnt, run=run),
        GateOutcome(candidate=_model(number), champion=parent, promoted=True, why="better", val=metrics, test=metrics),
        MiningRun(
            model_id=_model(number), images=1, held_back_images=1, cost=MiningCost(), held_back_cost=MiningCost()
        ),
        _calibration(),
        _certificates(number),
        Standings(),
        Decision(waiting=ANSWERED),
        SelectionRun(version=selected, pseudo_images=5000, pseudo_boxes=25_000),
        PushRun(created=ANSWERED),
    ):
        cycle.write(record)


def _metrics(level: float) -> Metrics:
    ends = (level - 0.02, level + 0.02)
    classes = {label: ClassMetrics(level, level + 0.2, boxes=200, interval=ends) for label in LABELS}
    curves = Curves({label: tuple(np.linspace(1, level, 101).round(4).tolist()) for label in LABELS}, BINS)
    confusions = {label: dict.fromkeys(LABELS, 3) for label in LABELS}
    return Metrics(level, level + 0.2, level, images=500, boxes=2000, per_class=classes, interval=ends,
                   confusions=confusions, curves=curves)  # fmt: skip


def _calibration() -> Calibration:
    quality = ScoreQuality(0.9, (0.88, 0.92), 0.9, 0.02, 0.1, 0.4, BINS)
    recall = tuple(Recall(label, "medium", 200, 190, 0.9, 0.98) for label in LABELS)
    own = {label: {"crosscheck": BINS, "consistency": BINS} for label in LABELS}
    return Calibration(1000, {"confidence": quality, "crosscheck": quality}, recall, own)


def _certificates(number: int) -> Certificates:
    own = {label: Certificate(label, True, 0.9, 100, 99, 0.96) for label in LABELS}
    return Certificates(_model(number), "set", 0.95, 0.95, 0.1, own)
