from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipeline.bench.grid import Grid
from pipeline.bench.stacking import FUSED, KINDS, MEMBER, StackingCell, StackingResult, _average_precision
from pipeline.bench.stacking import _detected as detected
from pipeline.bench.stacking import _trained as trained
from pipeline.cli.app import app
from pipeline.detector.evaluation.metrics import map_on
from pipeline.records import Split


@pytest.fixture(scope="module")
def measured(tiny, root):
    return Grid(root / "cells" / "stacking", StackingResult).run([StackingCell(tiny[0], 4)])[0]


def test_every_way_is_judged_in_the_same_images(measured):
    assert set(measured.ways) == {MEMBER, *KINDS, FUSED}
    assert len({measured.ways[name].boxes for name in (MEMBER, *KINDS)}) == 1, "they rank the boxes of one member"
    assert all(0.0 <= way.recall_at_p95 <= 1.0 for way in measured.ways.values())


def test_precision_of_ranked_boxes_is_that_of_the_detector(measured, tiny, never):
    never("pipeline.selection.committee_training.fit")
    settings = StackingCell(tiny[0], 4).settings
    cycle, miners = trained(settings, lambda *_: None)
    samples, predictor = cycle.store.labeled(Split.TEST), miners[0].predictor
    found = detected(predictor, samples, 0.0)
    score = found["score"].to_numpy().astype(float)
    assert len(found) > 0
    assert _average_precision(found, score, samples, settings.data.labels) == pytest.approx(map_on(predictor, samples))


def test_the_command_takes_what_is_measured(measured, config, root, never):
    never("pipeline.bench.stacking._trained")
    asked = ["--config", str(config), "--labelled", "4", "--images", "4", "--seed", "0", "--root", str(root / "cells")]
    shown = CliRunner().invoke(app, ["bench", "stacking", *asked])
    assert shown.exit_code == 0, shown.output
    assert FUSED in shown.output
    told = CliRunner().invoke(app, ["bench", "stacking", *asked, "--json"])
    assert set(json.loads(told.stdout)["cells"][0]["ways"]) == set(measured.ways)
