"""The contents of a page, gathered from the artefacts of a small workspace."""

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

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
from pipeline.cycle import Cycle, finish_cycle, load_cycle, open_cycle
from pipeline.dataset.store import SampleStore
from pipeline.detector.models.registry import CARD, ModelCard
from pipeline.records import PROPOSAL_SCHEMA, Split
from pipeline.report import Summary, render_cycle, summarize, summary_of
from pipeline.report.collect import STAGES, collect
from pipeline.settings import DetectorSettings, Settings, TrainingSettings
from tests.builders import box, sample
from tests.report.builders import ISSUES, MOMENT, certificate, certificates, gate, mining, training
from tests.report.scenes import check_table, proposal_table, queue_table, reader, scenes, selection_table

IMAGES = scenes(6)


@pytest.fixture
def cycle(tmp_path):
    """The first cycle of a project whose samples are committed, and which has done nothing else."""
    settings = Settings.model_validate(
        {
            "name": "workshop parts",
            "workspace": str(tmp_path),
            "data": {"labels": ["bolt", "nut"], "sources": []},
            "detector": {"image_size_px": 256},
            "mining": {"feather_px": 3},
        }
    )
    store = SampleStore(Cycle(settings, 0, MOMENT).workspace.samples_uri)
    store.commit([sample("one", box(), box(60, 60, 90, 90, label="nut")), sample("two")], reason="import", key="import")
    store.commit([sample("two", box(5, 5, 25, 25), split=Split.VAL)], reason="harvest", key="harvest", cycle=0)
    return open_cycle(settings, MOMENT)


def _write_everything(cycle):
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


def test_a_cycle_that_has_done_nothing_has_only_its_data(cycle):
    contents = collect(cycle)
    assert contents.opening.name == "workshop parts"
    assert [turn.cycle for turn in contents.turns] == [0]
    assert [version.reason for version in contents.versions] == ["import", "harvest"]
    assert contents.class_sources == {"bolt": {"import": 2}, "nut": {"import": 1}}
    assert contents.stage_seconds == {}
    assert (contents.harvest, contents.training, contents.mining, contents.push, contents.audit) == (None,) * 5
    assert len(contents.selection) == len(contents.proposals) == len(contents.checks) == len(contents.queue) == 0
    assert render_cycle(contents, reader([]), cycle.settings.report)


def test_every_artefact_of_a_cycle_gets_to_its_page(cycle):
    tables = _write_everything(cycle)
    contents = collect(cycle)
    turn = contents.turn
    assert (turn.labeled_images, turn.labeled_boxes) == (2, 3), "of the version that it learnt from, val among them"
    assert (turn.asked_images, turn.asked_boxes) == (5, sum(tables["queue"]["boxes"].to_pylist()))
    assert (turn.answered_images, turn.answered_boxes, turn.hours) == (4, 7, 0.5)
    assert (turn.pseudo_images, turn.pseudo_boxes, turn.soft_boxes) == (2, 3, 4)
    assert (turn.certified, turn.classes) == (1, 2)
    assert turn.gate == gate(0, 0.4, labels=("bolt", "nut"))
    assert contents.blind_audit == {"bolt": AuditCount(7, 6), "nut": AuditCount(1, 1)}
    assert contents.audit == {"bolt": AuditCount(3, 3)}
    assert contents.standings["bolt"].withdrawn
    assert [issue.uri for issue in contents.issues] == [*(issue.uri for issue in ISSUES), "/images/gone.jpg"]
    assert contents.stage_seconds["mine"] == 9.0
    assert list(contents.stage_seconds) == [name for name in STAGES if name in contents.stage_seconds]
    assert contents.changes[1].added == {"import": 1}
    assert contents.changes.keys() == {1}
    for name in ("selection", "queue", "checks"):
        assert getattr(contents, name).equals(tables[name])
    assert contents.proposals.column_names == ["proposal_id", "x1", "y1", "x2", "y2"], "embeddings are left on disk"


def test_what_a_version_changed_is_worked_out_once(cycle):
    first = collect(cycle).changes
    kept = cycle.workspace.folder("diffs")
    kept.write_record("000001.json", replace(first[1], added={"human": 77}))
    assert collect(cycle).changes[1].added == {"human": 77}


def test_hidden_truth_of_no_pseudo_label_is_no_audit(cycle):
    cycle.write(HiddenTruthAudit(labels={}))
    assert collect(cycle).audit is None


def test_pastes_are_drawn_as_the_model_that_mined_saw_them(cycle):
    for name in ("proposals", "checks"):
        cycle.folder.write_table(
            f"{name}.parquet", pa.table({column: [] for column in ("proposal_id", "x1", "y1", "x2", "y2")})
        )
    cycle.write(mining())
    assert collect(cycle).input_size_px == 256, "as the settings say, where the model's card is gone"
    card = ModelCard(("bolt", "nut"), DetectorSettings(image_size_px=512), TrainingSettings(), 0, None, 0, 0)
    cycle.workspace.models.folder(mining().model_id).write_record(CARD, card)
    contents = collect(cycle)
    assert contents.input_size_px == 512
    assert contents.mining_settings.feather_px == 3


def test_the_history_ends_with_the_cycle_that_is_shown(cycle):
    finish_cycle(cycle, MOMENT)
    second = open_cycle(cycle.settings, MOMENT + timedelta(days=1))
    assert [turn.cycle for turn in collect(second).turns] == [0, 1]
    assert [turn.cycle for turn in collect(load_cycle(cycle.settings.workspace, 0)).turns] == [0]


def test_a_summary_is_made_from_the_artefacts_or_read_where_it_was_written(cycle):
    _write_everything(cycle)
    assert summarize(cycle) == summary_of(collect(cycle))
    written = Summary("a line", "# text", [{"cycle": "0"}], "<svg></svg>")
    cycle.write(written)
    assert summarize(cycle) == written
