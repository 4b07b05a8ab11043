"""The whole loop, stage by stage, on a tiny generated set."""

from __future__ import annotations

import json
import shutil

import pyarrow.compute as pc
import pytest

from pipeline.artefacts import MiningRun, TrainingRun
from pipeline.cycle import load_cycle
from pipeline.dataset.store import SampleStore
from pipeline.records import Source, State
from pipeline.workspace import Workspace
from tests.end_to_end.project import run_cycles, selected, versions, write_config


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
    assert pages.names() == ["cycle-0000.html", "cycle-0001.html", "index.html"]
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


def test_held_back_boxes_are_all_checked_and_those_of_the_pool_where_it_may_matter(two_cycles):
    for number in (0, 1):
        cycle = load_cycle(two_cycles.workspace, number)
        mining, selection = cycle.read(MiningRun), cycle.folder.read_table("selection.parquet")
        held_back, pool = mining.held_back_cost, mining.cost
        assert held_back.closeups == held_back.proposals > 0
        assert held_back.augmented_views > 0
        assert held_back.pastes == 2 * held_back.proposals
        assert pool.pastes <= 2 * pool.closeups <= 2 * pool.proposals
        augmented = selection.filter(pc.is_valid(selection["tta_score"]))
        assert len(set(augmented["image_id"].to_pylist())) == pool.augmented_views
        shown = [score is not None for score in selection["closeup_score"].to_pylist()]
        pastes = selection["checks"].to_pylist()
        assert (sum(shown), sum(pastes)) == (pool.closeups, pool.pastes)
        assert all(one for one, other in zip(shown, pastes, strict=True) if other), "no paste without a closer look"


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
    assert cost.pastes == 2 * cost.proposals > 0
