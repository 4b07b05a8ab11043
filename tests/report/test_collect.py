"""The contents of a page, gathered from the artefacts of a small workspace."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from pipeline.artefacts import (
    AuditCount,
    HiddenTruthAudit,
)
from pipeline.cycle import finish_cycle, load_cycle, open_cycle
from pipeline.dataset.row_removal import remove_rows
from pipeline.detector.models.registry import CARD, ModelCard
from pipeline.errors import RowsGoneError
from pipeline.records import Source, Split, State
from pipeline.report import Summary, page_name, render_cycle, summarize, summary_of
from pipeline.report.collect import STAGES, collect
from pipeline.report.data_tables import class_sources
from pipeline.report.names import INDEX_PAGE
from pipeline.report.notices import attention
from pipeline.settings import DetectorSettings, TrainingSettings
from pipeline.stages.report import renew_index, report
from tests.builders import box, sample
from tests.report.builders import ISSUES, MOMENT, gate, mining, training
from tests.report.scenes import reader
from tests.report.small_workspace import first_cycle, write_everything


@pytest.fixture
def cycle(tmp_path):
    return first_cycle(str(tmp_path))


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
    tables = write_everything(cycle)
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


def test_where_nobody_is_asked_the_queue_counts_for_nothing(tmp_path):
    cycle = first_cycle(str(tmp_path), backend="none")
    write_everything(cycle)
    contents = collect(cycle)
    assert (contents.turn.asked_images, contents.turn.asked_boxes, contents.asks_people) == (0, 0, False)
    assert summary_of(contents).line.endswith("; nobody asked")


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
    write_everything(cycle)
    assert summarize(cycle) == summary_of(collect(cycle))
    written = Summary("a line", "# text", [{"cycle": "0"}], "<svg></svg>")
    cycle.write(written)
    assert summarize(cycle) == written


def test_a_page_does_not_need_rows_that_were_removed(cycle):
    write_everything(cycle)
    kept = collect(cycle).turn
    cycle.store.commit([sample("two", box(5, 5, 25, 25))], reason="r", key="r")
    cycle.store.restore(0, "back")
    remove_rows(cycle.store.uri, [], apply=True)
    with pytest.raises(RowsGoneError):
        cycle.store.table(1)
    assert collect(cycle).turn == kept
    cycle.workspace.folder("diffs").remove("000001-learnt.json")
    turn = collect(cycle).turn
    assert (turn.labeled_images, turn.labeled_boxes) == (training().run.labeled_images, None)
    assert render_cycle(collect(cycle), reader([]), cycle.settings.report)


def test_the_index_follows_versions_made_between_cycles(cycle):
    report(cycle)
    pages = cycle.workspace.reports
    assert "dataset version 1" in pages.read_bytes(INDEX_PAGE).decode()
    cycle.store.commit([sample("three", box())], reason="a later harvest", key="later")
    renew_index(cycle.settings)
    assert "dataset version 2" in pages.read_bytes(INDEX_PAGE).decode()
    assert "a later harvest" in pages.read_bytes(INDEX_PAGE).decode()
    assert page_name(0) in pages.read_bytes(INDEX_PAGE).decode()


def test_no_index_is_begun_between_cycles(cycle):
    renew_index(cycle.settings)
    assert not cycle.workspace.reports.exists(INDEX_PAGE)


def test_the_page_adds_up_to_the_table(cycle):
    """Every number that the page tells of the version is what the rows of the version give."""
    write_everything(cycle)
    store, pool = cycle.store, {"split": Split.POOL}
    store.commit(
        [
            sample(
                "p1", box(source=Source.PSEUDO), box(60, 60, 90, 90, source=Source.SOFT), state=State.PSEUDO, **pool
            ),
            sample("p2", box(source=Source.SOFT, label="nut"), state=State.PSEUDO, **pool),
            sample("q", state=State.QUEUED, **pool),
            sample("s", state=State.SKIPPED, **pool),
            sample("bad", box(label="nut"), state=State.QUARANTINED),
            sample("one", box(source=Source.ACCEPTED), box(60, 60, 90, 90, source=Source.HUMAN)),
        ],
        reason="changes",
        key="changes",
    )
    contents, rows = collect(cycle), store.samples()
    usable = [each for each in rows if each.state is not State.QUARANTINED]
    boxes = Counter((each.label, str(each.source)) for one in usable for each in one.boxes)
    told = {(label, source): n for label, own in contents.class_sources.items() for source, n in own.items()}
    assert told == boxes
    latest = contents.versions[-1]
    assert latest.counts["images"] == Counter(str(one.state) for one in rows)
    assert latest.count("boxes") == boxes.total()
    foot = class_sources(contents.class_sources).foot
    assert foot[1] == str(boxes.total())
    assert sum(map(int, foot[3:])) == boxes.total()
    assert contents.pool == sum(one.state in {State.POOL, State.PSEUDO, State.QUEUED} for one in rows) == 3
    assert not [notice for notice in attention(contents) if "pool is empty" in notice.text]
    before = {one.image_id: one for one in store.samples(1)}
    added = Counter(str(b.source) for one in usable for b in set(one.boxes) - set(before.get(one.image_id, one).boxes))
    new = Counter(str(b.source) for one in usable if one.image_id not in before for b in one.boxes)
    quarantined = Counter(str(b.source) for one in rows if one.state is State.QUARANTINED for b in one.boxes)
    assert contents.changes[2].added == added + new + quarantined
    assert sum(contents.changes[2].images.values()) == len([one for one in rows if one.image_id not in before])
