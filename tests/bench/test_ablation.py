from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from typer.testing import CliRunner

from pipeline.bench.ablation import VARIANTS, VariantCell, VariantResult, _through_gate
from pipeline.bench.grid import Grid
from pipeline.cli.app import app
from pipeline.errors import SettingsError
from pipeline.mining.reference import gate_loss
from pipeline.selection.held_back import HeldBack
from pipeline.selection.localisation_bias import LocalisationBias

NAMES = ["as set", "any host", "8 hosts"]


@pytest.fixture(scope="module")
def varied(tiny, root):
    cells = [VariantCell(scenario, name, 4) for scenario in tiny for name in NAMES]
    return Grid(root / "cells" / "ablation", VariantResult).run(cells)


def test_one_thing_is_changed_at_a_time(varied):
    assert [one.variant for one in varied] == NAMES
    assert len({(one.boxes, one.auroc["confidence"]) for one in varied}) == 1, "the same boxes"
    as_set, any_host, eight = (one.pastes for one in varied)
    assert as_set == any_host <= eight, "more hosts only where the first two disagree"
    assert 0 < as_set <= 2 * varied[0].boxes, "boxes at one place share their pastes"
    assert varied[0].auroc["consistency"] != varied[1].auroc["consistency"], "and other pastes"
    assert len({tuple(one.gate.items()) for one in varied}) == 1, "the gate looks at no paste"


def test_every_variant_changes_settings_and_is_a_cell_of_its_own(tiny):
    cells = [VariantCell(tiny[0], variant, 4) for variant in VARIANTS]
    assert len({cell.name for cell in cells}) == len(VARIANTS)
    usual = tiny[0].settings().mining.model_dump()
    for cell in cells:
        mining = cell.settings.mining.model_dump()
        changed = {f"mining.{key}" for key, value in mining.items() if value != usual[key]}
        # The tiny project has 2 hosts and this hit IoU anyway.
        assert changed <= {text.partition("=")[0] for text in VARIANTS[cell.variant]}
        assert cell.settings.workspace == cells[0].settings.workspace, "the same detector serves"
    assert VariantCell(tiny[0], "as set", 5).name != cells[0].name


def test_an_unknown_variant_is_refused(tiny):
    with pytest.raises(SettingsError, match=r"Expected variants among as set, no context, .*, got 'no hosts'"):
        VariantCell(tiny[0], "no hosts", 4)


def test_the_published_gate_opens_wider_and_lets_no_unlikely_box_through():
    # The loss of two classes at scores s and r: -log(max(s, 1 - s)) - log(max(r, 1 - r)).
    scores = {"score": [0.97, 0.9, 0.7, 0.03], "runner_up": [0.01, 0.05, 0.2, 0.01]}
    evidence = pa.table({**scores, **dict.fromkeys(("x1", "y1"), [0.0] * 4), **dict.fromkeys(("x2", "y2"), [9.0] * 4)})
    matched, nothing = np.array([0, -1, 1, -1]), np.array([""] * 4)
    boxes = HeldBack(evidence, LocalisationBias(), evidence, matched, nothing, [])
    losses = gate_loss(torch.tensor(list(zip(*scores.values(), strict=True)))).tolist()
    assert losses == pytest.approx([0.0405, 0.1567, 0.5798, 0.0405], abs=1e-3)
    passed = [_through_gate(boxes, most) for most in (0.01, 0.15, 0.3, 0.6)]
    assert [(one.boxes, one.right) for one in passed] == [(0, 0), (1, 1), (2, 1), (3, 2)]


def test_the_command_shows_what_was_measured(varied, config, root, never):
    never("pipeline.bench.ablation.VariantCell.measure")
    given = ["bench", "ablation", "-c", str(config), "--labelled", "4", "--images", "4", "--seed", "0"]
    given += ["--root", str(root / "cells"), *(part for name in NAMES for part in ("--variant", name))]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert "AUROC of what pastes tell" in shown.stdout
    assert "8 hosts" in shown.stdout
    assert "0.15" in shown.stdout
