"""A project as DataFrames: they say what the table, the artefacts and the report say."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from pipeline.api import Workspace
from pipeline.artefacts import Certificates, CycleEnd, MiningRun
from pipeline.errors import ArtefactError
from tests.end_to_end.project import run_cycles, write_config


@pytest.fixture(scope="module")
def project(tiny_data, tmp_path_factory):
    settings = run_cycles(write_config(tmp_path_factory.mktemp("api"), tiny_data), cycles=2)
    return Workspace.open(settings.workspace)


def test_versions_and_what_changed_between_them(project):
    versions = project.versions()
    assert versions["version"].tolist() == [0, 1, 2, 3]
    assert versions["parent"].tolist() == [pd.NA, 0, 1, 2]
    assert versions["images_labeled"].tolist() == [22, 22, 25, 25]
    assert versions["images_queued"].tolist()[:2] == [0, 3]
    changes = project.diff(1, 2)
    answered = changes[(changes["of"] == "image") & (changes["which"] == "queued->labeled")]
    assert answered["number"].tolist() == [3]
    added = changes[(changes["of"] == "box") & (changes["change"] == "added")]
    boxes = [version.count("boxes") for version in project.store.history()]
    removed = changes[(changes["of"] == "box") & (changes["change"] == "removed")]
    assert added["number"].sum() - removed["number"].sum() == boxes[2] - boxes[1]
    assert project.diff(3, 3).empty


def test_answered_boxes_are_traced_to_their_proposals(project):
    boxes, proposals = project.boxes(2), project.proposals(0).set_index("proposal_id")
    begun = boxes[boxes["source"].isin(["accepted", "corrected"])]
    assert len(begun)
    for box in begun.itertuples():
        proposal = proposals.loc[box.proposal_id]
        assert (box.model_id, box.score, box.p_correct) == (proposal.model_id, proposal.score, proposal.p_correct)
        story = project.blame(box.uri, box.box_id)
        assert story["change"].tolist()[-1] == "box added"
        assert story["version"].tolist()[-1] == 2
    asked = project.queue(0)
    undropped = proposals[
        proposals["image_id"].isin(asked.query("kind in ('ask', 'verify')")["image_id"]) & (proposals["fate"] != "drop")
    ]
    stories = pd.concat([project.blame(image) for image in asked["image_id"]])
    deleted = stories[stories["change"] == "proposal deleted"]
    traced = [*deleted["proposal_id"], *begun["proposal_id"]]
    assert len(set(traced)) == len(traced), "a proposal ends once"
    # Only boxes that are cheaper to correct than to draw are shown.
    assert set(traced) < set(undropped.index)


def test_samples_and_boxes_are_those_of_the_table(project):
    samples, boxes = project.samples(), project.boxes()
    assert len(samples) == 34
    assert samples["boxes"].sum() == len(boxes)
    assert set(boxes.columns) >= {"image_id", "uri", "split", "x1", "label", "source", "p_correct"}
    assert (
        boxes.groupby("image_id").size().to_dict()
        == samples.query("boxes > 0").set_index("image_id")["boxes"].to_dict()
    )
    assert len(project.samples(version=0).query("state == 'queued'")) == 0


def test_every_proposal_has_an_image_and_a_fate(project):
    proposals = project.proposals(0)
    assert len(proposals) == project.cycle(0).folder.read_table("selection.parquet").num_rows
    assert proposals["uri"].notna().all()
    assert set(proposals["fate"]) <= {"pseudo", "ask", "drop"}
    assert project.proposals()["model_id"].unique().tolist() == [project.cycle(1).read(MiningRun).model_id]


def test_a_cycle_under_way_is_shown_only_when_it_is_asked_for(project, tmp_path):
    shutil.copytree(project.folder.uri, tmp_path / "copy")
    copy = Workspace.open(str(tmp_path / "copy"))
    copy.folder.cycle(1).remove(CycleEnd.FILE)
    assert (copy.cycle().number, copy.cycle(1).number) == (0, 1)
    assert copy.proposals()["proposal_id"].tolist() == project.proposals(0)["proposal_id"].tolist()


def test_galleries_show_what_the_report_shows(project):
    asked = project.gallery("asked", 1)
    shown = project.queue(1).query("kind in ('ask', 'verify')")
    assert len(asked) == min(2, len(shown)) > 0, "as many as the settings allow"
    assert [card.lines[0] for card in asked] == shown["reason"].tolist()[:2]
    assert all(card.image.height == 200 for card in asked)
    with pytest.raises(ValueError, match="Expected one of asked, pseudo, dropped, pastes, got 'best'"):
        project.gallery("best")


def test_the_queue_is_in_the_order_of_asking(project):
    queue = project.queue()
    assert queue["rank"].tolist() == [0, 1, 2]
    assert queue["uri"].notna().all()


def test_certificates_count_what_became_of_the_boxes(project):
    certificates, proposals = project.certificates(1), project.proposals(1)
    promised = project.cycle(1).read(Certificates).classes
    assert certificates["label"].tolist() == sorted(promised)
    assert certificates["certified"].tolist() == [promised[label].certified for label in sorted(promised)]
    assert certificates[["pseudo", "ask", "drop"]].to_numpy().sum() == len(proposals)


def test_evaluation_has_one_row_per_cycle_split_and_class(project):
    evaluation, cycles = project.evaluation(), project.cycles()
    assert len(evaluation) == 2 * 2 * 2
    means = evaluation[evaluation["split"] == "test"].groupby("cycle")["ap"].mean()
    assert means.tolist() == pytest.approx(cycles["map_test"].tolist())
    assert cycles["labeled_images"].tolist() == [18, 21], "ten of them of val"


def test_models_know_the_champion(project):
    models = project.models()
    assert models["cycle"].tolist() == [0, 1]
    assert models["champion"].sum() == 1
    assert models["dataset_version"].tolist() == [0, 2]


def test_the_tables_of_the_report(project):
    tables = project.report_tables(1)
    assert set(tables) == {"versions", "cycles", "evaluation", "certificates", "scores", "recall", "queue"}
    assert not any(table.empty for table in tables.values())


def test_what_is_not_there_is_said(tmp_path, project):
    with pytest.raises(ArtefactError, match=r"Expected a workspace with a sample table at .*nowhere, found none"):
        Workspace.open(str(tmp_path / "nowhere"))
    with pytest.raises(ArtefactError, match=r"cycles/0007/cycle\.json"):
        project.proposals(7)
