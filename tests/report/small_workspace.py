"""A small workspace with the artefacts of one cycle, for the tests of what is gathered from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from pipeline.artefacts import (
    AuditCount,
    ClassStanding,
    CycleHarvest,
    HiddenTruthAudit,
    ImportRun,
    PushRun,
    SelectionRun,
    Standings,
    UnreadableImage,
)
from pipeline.cycle import Cycle, open_cycle
from pipeline.dataset.store import SampleStore
from pipeline.records import PROPOSAL_SCHEMA, Split
from pipeline.settings import Settings
from tests.builders import box, sample
from tests.report.builders import ISSUES, MOMENT, certificate, certificates, gate, mining, training
from tests.report.scenes import check_table, proposal_table, queue_table, scenes, selection_table

IMAGES = scenes(6)


def first_cycle(workspace: str, backend: str = "label_studio") -> Cycle:
    """The first cycle of a project whose samples are committed, and which has done nothing else."""
    settings = Settings.model_validate(
        {
            "name": "workshop parts",
            "workspace": workspace,
            "data": {"labels": ["bolt", "nut"], "sources": []},
            "detector": {"image_size_px": 256},
            "mining": {"feather_px": 3},
            "labeling": {"backend": backend, "label_studio": {"image_access": "url"}},
        }
    )
    store = SampleStore(Cycle(settings, 0, MOMENT).workspace.samples_uri)
    store.commit([sample("one", box(), box(60, 60, 90, 90, label="nut")), sample("two")], reason="import", key="import")
    store.commit([sample("two", box(5, 5, 25, 25), split=Split.VAL)], reason="harvest", key="harvest", cycle=0)
    return open_cycle(settings, MOMENT)


def write_everything(cycle: Cycle) -> dict[str, Any]:
    """Write every artefact that a report reads; returns the tables."""
    selection = selection_table(IMAGES)
    embedded = proposal_table(selection).append_column("embedding", pa.array([[1.0]] * len(selection)))
    tables = {
        "selection": selection,
        "proposals": embedded.cast(pa.schema([PROPOSAL_SCHEMA.field(name) for name in embedded.column_names])),
        "queue": queue_table(IMAGES, 5),
        "checks": check_table(selection, IMAGES),
    }
    for name, table in tables.items():
        cycle.folder.write_table(f"{name}.parquet", table)
    fault = UnreadableImage("i", "/images/gone.jpg", "no such file")
    audits = {0: {"bolt": AuditCount(3, 2)}, 1: {"bolt": AuditCount(4, 4), "nut": AuditCount(1, 1)}}
    for record in (
        ImportRun(version=0, imports=1, issues=ISSUES, seconds=1.5),
        CycleHarvest(answered=4, boxes={"human": 5, "accepted": 2}, hours=0.5, audits=audits, seconds=2.5),
        replace(training(), dataset_version=1),
        gate(0, 0.4, labels=("bolt", "nut")),
        replace(mining(), faults=(fault,), seconds=9.0),
        certificates(certificate("bolt"), certificate("nut", certified=False)),
        Standings({"bolt": ClassStanding(withdrawn_in=0, needed="more")}),
        SelectionRun(version=1, pseudo_images=2, pseudo_boxes=3, soft_boxes=4),
        PushRun(created=5),
        HiddenTruthAudit(labels={"bolt": AuditCount(3, 3)}),
    ):
        cycle.write(record)
    return tables
