from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from pipeline.bench.catalogue import (
    CatalogueRow,
    MapResult,
    StructureCell,
    TrainedCell,
    bench_catalogue,
    chosen_entries,
    multiply_adds,
)
from pipeline.bench.catalogue_entries import ENTRIES
from pipeline.bench.catalogue_files import read_catalogue, write_catalogue
from pipeline.bench.catalogue_page import TITLES, catalogue_page
from pipeline.cli.app import app
from pipeline.detector.models.bodies.own_family import OWN
from pipeline.errors import ArtefactError, SettingsError
from pipeline.folder import Folder
from pipeline.settings import TripletSettings, load_settings
from pipeline.settings.detector import BatchNormKind, DetectorSettings
from pipeline.settings.losses import Assigner, BoxIouLoss, Classification

BCCD = Path(__file__).parents[2] / "configs/bccd.yaml"
FROZEN = CatalogueRow("norm", "frozen", ("detector.batch_norm=frozen",), 3_700_000, 1_310_000_000, 184.1)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda each: each.name)
def test_every_setting_is_one(entry):
    assert load_settings(BCCD, list(entry.structure)).detector.weights == "none"
    assert entry.kind in TITLES
    assert len(entry.when) > 10


def test_names_are_unique_and_choices_complete():
    assert max(Counter((each.kind, each.name) for each in ENTRIES).values()) == 1
    set_to = {key for each in ENTRIES for key in each.setting}
    choices = {
        "detector.batch_norm": get_args(BatchNormKind),
        "detector.architecture": get_args(DetectorSettings.model_fields["architecture"].annotation),
        "training.classification": get_args(Classification),
        "training.assigner": get_args(Assigner),
        "training.box_loss": get_args(BoxIouLoss),
        "training.triplet.mining": get_args(TripletSettings.model_fields["mining"].annotation),
    }
    missing = [f"{key}={value}" for key, values in choices.items() for value in values]
    assert not set(missing) - set_to
    families = {key.split(":")[1].split("_x")[0].rstrip("0123456789") for key in set_to if "own:" in key}
    assert families == {name.split("_x")[0].rstrip("0123456789") for name in OWN}


def test_multiply_adds_of_a_convolution():
    assert multiply_adds(nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 10, 10)) == 8 * 3 * 9 * 100


def test_a_method_is_measured_once(config, tiny, root, never):
    entries = chosen_entries(["synchronised", "neck"])
    scenario = replace(tiny[0], root=root / "catalogue", overrides=("training.steps=2",))
    rows = bench_catalogue(entries, [], [scenario])
    plain, pooled, norm = rows
    assert [row.name for row in rows] == ["feature pyramid", "strip pooling", "synchronised"]
    assert pooled.parameters > plain.parameters
    assert norm.multiply_adds >= plain.multiply_adds > 1e6
    assert all(row.latency_ms > 0 and row.map is None for row in rows)
    never("pipeline.bench.catalogue.build_detector")
    assert bench_catalogue(entries, [], [scenario]) == rows


def test_a_method_is_trained_and_the_command_writes_both_files(config, root, tmp_path):
    out, page = tmp_path / "catalogue.json", tmp_path / "catalogue.md"
    arguments = ["--bench", "--only", "frozen", "--train", "frozen", "--config", config, "--labelled", 4]
    arguments += ["--set", "training.steps=2", "--root", root / "catalogue", "--out", out, "--page", page]
    result = CliRunner().invoke(app, ["models", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(out.read_text())
    figures = ["parameters", "multiply_adds", "latency_ms", "map", "map_by_seed"]
    others = [f"map_{kind}{of}" for kind in ("converged", "from_scratch") for of in ("", "_by_seed")]
    assert list(row) == ["kind", "name", "setting", *figures, *others]
    assert row["map_converged"] is None
    assert row["map_from_scratch"] is None
    assert 0 <= row["map"] <= 1
    assert row["map_by_seed"] == {"0": row["map"]}
    assert f"| {row['map']:.3f} | – | – |" in page.read_text()
    refused = CliRunner().invoke(app, ["models", "--bench", "--only", "frosen"])
    assert refused.exit_code == 1
    assert "got 'frosen'" in refused.stderr


def test_without_bench_help_is_shown():
    assert "rollback" in CliRunner().invoke(app, ["models"]).stdout


def test_a_page_has_a_row_for_every_method():
    page = catalogue_page([replace(FROZEN, map=0.25, map_by_seed={0: 0.2, 1: 0.3})])
    assert all(f"| {each.name} |" in page for each in ENTRIES)
    assert "| 3.7 | 1.31 | 184 | 0.200, 0.300 |" in page
    assert page.count("| – | – | – | – | – | – |") == len(ENTRIES) - 1


def test_rows_are_kept_over_runs(tmp_path):
    out, page = tmp_path / "catalogue.json", tmp_path / "catalogue.md"
    group = replace(FROZEN, name="group", map=0.1, map_by_seed={0: 0.1})
    write_catalogue([group], out, page)
    write_catalogue([FROZEN], out, page)
    assert read_catalogue(out) == [FROZEN, group]
    write_catalogue([replace(FROZEN, latency_ms=1.0), replace(group, map=None, map_by_seed={})], out, page)
    assert read_catalogue(out) == [replace(FROZEN, latency_ms=1.0), group]
    write_catalogue([replace(group, map=0.2, map_by_seed={0: 0.2}, map_from_scratch_by_seed={1: 0.3})], out, page)
    write_catalogue([replace(group, map=0.4, map_by_seed={1: 0.4}, map_from_scratch_by_seed={0: 0.1})], out, page)
    write_catalogue([replace(group, map_by_seed={}, map_converged_by_seed={0: 0.5})], out, page)
    (_, merged) = read_catalogue(out)
    assert (merged.map_converged_by_seed, merged.map_converged) == ({0: 0.5}, 0.5)
    assert (merged.map_by_seed, merged.map) == ({0: 0.2, 1: 0.4}, 0.3)
    assert (merged.map_from_scratch_by_seed, merged.map_from_scratch) == ({0: 0.1, 1: 0.3}, 0.2)
    out.write_text("[{}]")
    with pytest.raises(ArtefactError, match=r"catalogue\.json: expected the rows of a catalogue, got .*Remove it"):
        write_catalogue([group], out, page)


def test_a_row_has_the_mean_of_the_seeds_that_were_trained(tiny, root):
    starts = [replace(tiny[0], seed=seed, root=root / "seeds") for seed in (0, 1, 2)]
    entries = chosen_entries(["frozen"])
    for start, found in zip(starts[:2], (0.5, 0.25), strict=True):
        Folder(root / "seeds/catalogue/map").write_record(
            f"{TrainedCell(entries[0], start).name}.json", MapResult(found)
        )
    (row,) = bench_catalogue(entries, [], starts)
    assert row.map_by_seed == {0: 0.5, 1: 0.25}
    assert row.map == 0.375


@pytest.mark.parametrize("entry", chosen_entries(["backbone", "norm"]), ids=lambda each: each.name)
def test_from_scratch_nothing_is_given(entry):
    settings = load_settings(BCCD, list(entry.from_scratch.setting))
    assert settings.detector.weights == "none"
    assert settings.training.frozen_stages == 0
    assert not settings.training.frozen_depthwise
    assert load_settings(BCCD, list(entry.setting)).detector.backbone == settings.detector.backbone
    assert settings.detector.batch_norm == (entry.name if entry.kind == "norm" else "group")


def test_a_method_is_trained_from_scratch(tiny, root):
    scenario = replace(tiny[0], root=root / "scratch", overrides=("training.steps=2",))
    (entry,) = chosen_entries(["frozen"])
    (row,) = bench_catalogue([entry], [entry.from_scratch], [scenario])
    assert row.map is None
    assert row.map_from_scratch_by_seed == {scenario.seed: row.map_from_scratch}
    (used,) = (root / "scratch").glob("*/cycles/0000/settings.yaml")
    assert load_settings(used).detector.weights == "none"


def test_a_method_is_trained_until_it_converges(config, tiny, root):
    overrides = ("training.steps=20", "training.plateau.every_steps=2", "training.plateau.min_steps=8")
    scenario = replace(tiny[0], root=root / "converged", overrides=overrides)
    (entry,) = chosen_entries(["frozen"])
    (row,) = bench_catalogue([entry], [entry.converged], [scenario])
    assert row.map is None
    assert row.map_converged_by_seed == {scenario.seed: row.map_converged}
    (used,) = (root / "converged").glob("*/cycles/0000/training.json")
    assert len(json.loads(used.read_text())["run"]["looks"]) > 1
    assert entry.converged.converged == entry.converged != entry


def test_a_training_of_fixed_length_converges_nowhere(tiny, root):
    scenario = replace(tiny[0], root=root / "fixed", overrides=("training.plateau.enabled=false",))
    (entry,) = chosen_entries(["frozen"])
    with pytest.raises(SettingsError, match=r"frozen: expected a training that held-back images end.*another run"):
        bench_catalogue([entry], [entry.converged], [scenario])


def test_what_is_in_no_catalogue_is_refused():
    with pytest.raises(SettingsError, match=r"Expected names or kinds of the catalogue .*got 'resnet'"):
        chosen_entries(["resnet"])


def test_names_of_cells_depend_on_the_method_and_the_network():
    names = {StructureCell(each, BCCD).name for each in ENTRIES}
    assert len(names) == len(ENTRIES)
