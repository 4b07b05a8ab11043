from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from pipeline.bench.evidence import KINDS, EvidenceCell, EvidenceResult, _seen_by_another
from pipeline.bench.grid import Grid
from pipeline.bench.labeled_mining import LabeledMining
from pipeline.cli.app import app
from pipeline.records import Split, of_images


@pytest.fixture(scope="module")
def measured(tiny, root):
    return Grid(root / "cells" / "evidence", EvidenceResult).run([EvidenceCell(tiny[0], 4, 1)])[0]


def test_every_kind_of_evidence_is_judged_on_the_same_boxes(measured):
    assert set(measured.auroc) == set(measured.recall_at_p95) == set(KINDS)
    assert 0 < measured.right < measured.boxes
    assert all(0.0 <= score <= 1.0 for score in measured.auroc.values())
    assert len(set(measured.auroc.values())) > 1, "what is known makes a difference, where 20 boxes can show it"


def test_another_detector_looks_at_the_same_boxes(measured):
    assert set(measured.consistency) == {"self", "other"}
    assert measured.consistency["self"] != measured.consistency["other"]


def test_another_detector_says_nothing_of_images_without_proposals(tiny):
    cell = EvidenceCell(tiny[0], 4, 1)
    mining, other = (LabeledMining.trained(replace(tiny[0], seed=seed).settings(*cell.changes)) for seed in (0, 1))
    samples = mining.samples(Split.TEST, 4)
    mined = mining.mine(samples).proposals
    some = mined.filter(of_images([samples[0].image_id]))
    assert 0 < len(some) < len(mined)
    assert len(_seen_by_another(mining, other, samples, some)) == len(some)


def test_the_other_detector_makes_a_cell_of_its_own(tiny):
    cells = [EvidenceCell(tiny[0], 4, 1), EvidenceCell(tiny[0], 4, 2), EvidenceCell(tiny[0], 5, 1)]
    assert len({cell.name for cell in cells}) == 3
    assert len({cell.settings.workspace for cell in cells}) == 1, "the same detector proposes"


def test_the_command_takes_what_is_measured(measured, config, root, never):
    never("pipeline.bench.evidence._seen_by_another")
    asked = ["--config", str(config), "--labelled", "4", "--images", "4", "--seed", "0", "--root", str(root / "cells")]
    shown = CliRunner().invoke(app, ["bench", "evidence", *asked])
    assert shown.exit_code == 0, shown.output
    assert all(kind in shown.output for kind in KINDS)
    told = CliRunner().invoke(app, ["bench", "evidence", *asked, "--json"])
    assert json.loads(told.stdout)["cells"][0]["boxes"] == measured.boxes
