"""The whole loop, stage by stage, on a tiny generated set."""

from __future__ import annotations

import json
import shutil

import pyarrow.compute as pc
import pytest

from pipeline.artefacts import MiningRun, SelectionRun, TrainingRun
from pipeline.cycle import load_cycle
from pipeline.dataset.store import SampleStore
from pipeline.records import Source, State
from pipeline.workspace import Workspace
from tests.end_to_end.project import LABELS, labeled_sources, run_cycles, selected, versions, write_config


@pytest.fixture(scope="module")
def two_cycles(tiny_data, tmp_path_factory):
    return run_cycles(write_config(tmp_path_factory.mktemp("loop"), tiny_data), cycles=2)


def test_two_cycles_learn_from_answers_and_from_the_machine(two_cycles):
    workspace = Workspace(two_cycles.workspace)
    store = SampleStore(workspace.samples_uri)
    reasons = [one.reason for one in store.history()]
    assert reasons == [
        "import of 34 images",
        "cycle 0: pseudo-labels and queue",
        "harvest of 3 answered images",
        "cycle 1: pseudo-labels and queue",
    ]
    counts = [one.counts["images"] for one in store.history()]
    assert counts[0] == {"labeled": 22, "pool": 12}
    assert counts[1]["queued"] == 3
    assert counts[2]["labeled"] == 25
    assert counts[3]["queued"] == 3
    sources = {box.source for sample in store.samples() for box in sample.boxes}
    assert Source.IMPORT in sources
    assert sources & {Source.HUMAN, Source.CORRECTED, Source.ACCEPTED}
    assert Source.PSEUDO in sources


def test_images_that_wait_for_people_teach_nothing(two_cycles):
    store = SampleStore(Workspace(two_cycles.workspace).samples_uri)
    assert all(not sample.boxes for sample in store.samples(states=[State.QUEUED, State.POOL]))


def test_every_cycle_has_a_page_and_the_index_links_them(two_cycles):
    pages = Workspace(two_cycles.workspace).reports
    written = [name for name in pages.names() if name.endswith(".html")]
    assert written == ["cycle-0000.html", "cycle-0001.html", "index.html", "lead.html"]
    index = pages.read_bytes("index.html").decode()
    assert "cycle-0000.html" in index
    assert "cycle-0001.html" in index


def test_the_second_model_comes_from_the_first(two_cycles):
    first, second = (load_cycle(two_cycles.workspace, number).read(TrainingRun) for number in (0, 1))
    assert first.parent is None
    assert second.parent == first.candidate
    assert second.run.labeled_images == first.run.labeled_images + 3


def test_same_seed_same_selection_byte_for_byte(two_cycles, tiny_data, tmp_path):
    again = run_cycles(write_config(tmp_path, tiny_data), cycles=2)
    for cycle in (0, 1):
        assert selected(again, cycle) == selected(two_cycles, cycle)
    assert versions(again) == versions(two_cycles)


def test_pasted_objects_teach_and_the_same_seed_pastes_the_same(two_cycles, tiny_data, tmp_path):
    """As by default, into pseudo-labelled images too."""
    pasting = {"training": {"copy_paste": {"enabled": True}}, "selection": {"soft_from": 0.2}}
    first, again = (run_cycles(write_config(tmp_path / name, tiny_data, **pasting), 2) for name in ("first", "again"))
    assert load_cycle(first.workspace, 1).read(TrainingRun).run.pseudo_images > 0
    assert versions(again) == versions(first)
    for cycle in (0, 1):
        assert selected(again, cycle) == selected(first, cycle) != selected(two_cycles, cycle)


def test_another_seed_selects_otherwise(two_cycles, tiny_data, tmp_path):
    other = run_cycles(write_config(tmp_path, tiny_data, seed=6))
    assert selected(other, 0)["queue.parquet"] != selected(two_cycles, 0)["queue.parquet"]


def test_nothing_depends_on_hidden_labels_until_they_are_asked_for(two_cycles, tiny_data, tmp_path):
    """Other truth about the pool, same selection: nothing but the annotator can have looked."""
    data = shutil.copytree(tiny_data, tmp_path / "data")
    hidden = json.loads((data / "hidden.json").read_text())
    for annotation in hidden["annotations"]:
        annotation["bbox"] = [1.0, 1.0, 9.0, 9.0]
        annotation["category_id"] = hidden["categories"][0]["id"]
    (data / "hidden.json").write_text(json.dumps(hidden))
    other = run_cycles(write_config(tmp_path, tiny_data, labeling={
        "backend": "simulated",
        "simulated": {"annotations": str(data / "hidden.json"), "images": str(tiny_data / "pool")},
    }), cycles=2)  # fmt: skip
    assert selected(other, 0) == selected(two_cycles, 0)
    assert versions(other)[:2] == versions(two_cycles)[:2]
    assert versions(other)[2] != versions(two_cycles)[2], "the answers themselves are the annotator's to give"


def test_every_box_that_teaches_or_is_asked_about_was_pasted(two_cycles):
    cycles = [load_cycle(two_cycles.workspace, number) for number in (0, 1)]
    # A model that stays in use leaves nothing to mine again.
    models = {cycle.read(MiningRun).model_id: cycle for cycle in reversed(cycles)}
    for cycle in models.values():
        mining, selection = cycle.read(MiningRun), cycle.folder.read_table("selection.parquet")
        held_back, pool = mining.held_back_cost, mining.cost
        assert held_back.closeups == held_back.proposals == held_back.pasted > 0
        assert held_back.augmented_views > 0
        assert held_back.readings == 2 * held_back.proposals
        kept = selection.filter(pc.field("fate") != "drop")
        assert len(kept) > 0
        assert set(kept["checks"].to_pylist()) == {2}, "two hosts are set"
        assert (pool.pasted_share, pool.pastes_per_box) == (1.0, 2.0)
        assert sum(selection["checks"].to_pylist()) == pool.readings >= pool.pastes
        augmented = selection.filter(pc.is_valid(selection["tta_score"]))
        assert len(set(augmented["image_id"].to_pylist())) == pool.augmented_views
        assert len(selection) - selection["closeup_score"].null_count == pool.closeups
        pasted = cycle.read(SelectionRun).pasted
        assert [pasted[fate].share for fate in ("pseudo", "soft", "ask")].count(0.0) == 0
        assert sum(own.boxes for own in pasted.values()) == pool.proposals


def test_without_held_back_images_boxes_are_pasted_all_the_same(tiny_data, tmp_path):
    sources = [source for source in labeled_sources(tiny_data) if source["split"] != "val"]
    data = {"labels": list(LABELS), "sources": sources}
    settings = run_cycles(
        write_config(tmp_path, tiny_data, training={"steps": 6}, data=data, selection={"committee": 1})
    )
    mining = load_cycle(settings.workspace, 0).read(MiningRun)
    assert mining.held_back_images == 0
    assert mining.cost.pasted == mining.cost.proposals > 0


def test_the_published_rule_gets_every_box_pasted(tiny_data, tmp_path):
    settings = run_cycles(
        write_config(
            tmp_path,
            tiny_data,
            training={"steps": 6},
            selection={"query": {"images": 3, "strategy": "ssm"}, "target_precision": 0.5, "confidence": 0.8},
        )
    )
    cost = load_cycle(settings.workspace, 0).read(MiningRun).cost
    assert cost.pasted == cost.proposals > 0
    assert cost.readings == 2 * cost.proposals
