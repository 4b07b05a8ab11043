import json

import numpy as np
import pytest

from pipeline.bench.ablation import VARIANTS, bench_ablation
from pipeline.bench.calibration import bench_calibration
from pipeline.bench.mining import bench_mining
from pipeline.bench.missed_objects import bench_missed_objects
from pipeline.bench.trained_cell import cell_settings, train_cell
from pipeline.dataset.store import SampleStore
from pipeline.errors import SettingsError
from pipeline.records import Split, State
from pipeline.settings import MiningSettings
from pipeline.workspace import Workspace
from tests.end_to_end.project import write_config


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def config(tiny_data, root):
    return write_config(root, tiny_data)


def cell(config, root, *, labelled=4, seed=0):
    return cell_settings(config, labelled, seed, str(root / "cells"))


# Cells


def test_a_cell_has_its_own_workspace_for_whatever_the_detector_depends_on(config, root, tiny_data, tmp_path):
    base = cell(config, root)
    others = [
        cell(config, root, labelled=5),
        cell(config, root, seed=1),
        cell(write_config(tmp_path / "a", tiny_data, training={"steps": 31}), root),
    ]
    assert len({one.workspace for one in (base, *others)}) == 4
    mined_otherwise = cell(write_config(tmp_path / "b", tiny_data, mining={"hosts": 1}), root)
    assert mined_otherwise.workspace == base.workspace, "the same detector serves"


def test_only_a_simulated_project_can_be_measured(tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data, labeling={"backend": "none"})
    with pytest.raises(SettingsError, match=r"expected labeling\.backend 'simulated'"):
        cell_settings(config, 4, 0, str(tmp_path))


def test_a_cell_is_trained_once_on_as_many_images_as_it_says(config, root):
    settings = cell(config, root)
    cycle = train_cell(settings)
    given = SampleStore(Workspace(settings.workspace).samples_uri).samples(states=[State.LABELED], splits=[Split.TRAIN])
    trained = cycle.artefact("training")
    assert len(given) == trained["labeled_images"] == 8 + 4, "those of its sources, and those that are given away"
    assert train_cell(settings).artefact("training") == trained


# Calibration


@pytest.fixture(scope="module")
def calibrated(config, root):
    return bench_calibration([config], [4], [0, 1], root=str(root / "cells"))


def test_every_score_is_measured_in_every_cell(calibrated):
    rows = calibrated["evidence"]
    scores = [row["evidence"] for row in rows if row["seed"] == 0]
    assert {"confidence", "consistency", "product", "flip agreement", "crosscheck"} <= set(scores)
    assert len(rows) == 2 * len(scores)
    for row in rows:
        assert {"set", "labelled", "seed", "evidence", "auroc", "ap", "ece", "brier", "recall_at_p95"} <= row.keys()
        assert 0 <= row["ece"] <= 1
    assert all(row["gain"] == [0.0, 0.0] for row in rows if row["evidence"] == "confidence")
    json.dumps(calibrated, allow_nan=False)


def test_few_held_back_images_are_a_cell_of_their_own(calibrated, config, root):
    told = bench_calibration([config], [4], [0], held_back=3, root=str(root / "cells"))
    (few,), (every,) = told["held_back"], [row for row in calibrated["held_back"] if row["seed"] == 0]
    assert few["images"] == 3 < every["images"]
    assert 0 < few["right"] < few["boxes"] < every["boxes"]
    confidence, again = (
        next(row for row in one["evidence"] if row["evidence"] == "confidence") for one in (told, calibrated)
    )
    assert confidence == again, "the same pool"


def test_wrong_boxes_are_told_apart_by_kind(calibrated):
    rows = calibrated["mistakes"]
    assert [row["kind"] for row in rows] == ["another class", "duplicate", "misplaced or background"] * 2
    evidence = {(row["seed"], row["evidence"]): row for row in calibrated["evidence"]}
    for seed in (0, 1):
        wrong = sum(row["boxes"] for row in rows if row["seed"] == seed)
        assert 0 < wrong < evidence[seed, "confidence"]["boxes"]
        told = [(row["boxes"], row["auroc"]["confidence"]) for row in rows if row["seed"] == seed and row["boxes"]]
        # Each right box meets each wrong one once, so that the parts weigh as many boxes as they hold.
        whole = sum(boxes * one for boxes, one in told) / wrong
        assert whole == pytest.approx(evidence[seed, "confidence"]["auroc"])


def test_promises_are_held_against_images_that_nothing_learnt_from(calibrated):
    for one in calibrated["certificates"]:
        assert 0 <= one["right"] <= one["boxes"]
        assert one["lower_bound"] >= one["target"]


def test_a_finished_cell_is_read_not_measured_again(calibrated, config, root, monkeypatch):
    def fail(*_given):
        raise AssertionError("measured again")

    monkeypatch.setattr("pipeline.bench.calibration._measure", fail)
    assert bench_calibration([config], [4], [0, 1], root=str(root / "cells")) == calibrated
    with pytest.raises(AssertionError, match="measured again"):
        bench_calibration([config], [5], [0], root=str(root / "cells"))


# Mining


def test_mining_is_measured_beside_the_published_way(config, root):
    told = bench_mining(config, [0, 1], images=4, proposals=6, root=str(root / "cells"))
    assert [run["seed"] for run in told["runs"]] == [0, 1]
    for run in told["runs"]:
        assert run["speedup"] == pytest.approx(
            run["seconds"]["reference"] / run["reference_proposals"] * run["proposals"] / run["seconds"]["engine"]
        )
        assert run["cost_over_plain_pass"] == pytest.approx(run["seconds"]["engine"] / run["seconds"]["plain"])
        assert run["reference_proposals"] == 6 <= run["proposals"]
    assert told["speedup"] == pytest.approx(np.mean([run["speedup"] for run in told["runs"]]))
    assert told["seconds"]["plain"] == pytest.approx(np.mean([run["seconds"]["plain"] for run in told["runs"]]))
    json.dumps(told, allow_nan=False)


# Misses


def test_missed_objects_are_counted_with_and_without_the_estimate(config, root):
    (told,) = bench_missed_objects([config], 4, [0], target=0.5, root=str(root / "cells"))["cells"]
    assert told["images"] == 4
    assert 0 <= told["never_proposed"] <= told["objects"]
    assert told["expected_never_proposed"] > 0
    before, weak, after = (told["pseudo_labels"][name] for name in ("before", "weak regions", "half"))
    assert before["background"] >= weak["background"] >= after["background"] >= 0
    assert (before["images"], before["boxes"]) == (weak["images"], weak["boxes"])
    assert before["images"] >= after["images"]
    assert told["background_at_random"] <= weak["background"]
    assert all(one["background"] <= one["missed"] <= told["objects"] for one in (before, weak, after))
    assert sum(one["objects"] for one in told["recall"]) > 0


def test_the_mining_of_one_benchmark_serves_the_others(config, root, calibrated, monkeypatch):
    def fail(*_given):
        raise AssertionError("mined again")

    monkeypatch.setattr("pipeline.bench.labelled_mining.Bench.mine", fail)
    bench_missed_objects([config], 4, [1], target=0.6, root=str(root / "cells"))


# Ablation


def test_one_thing_is_changed_at_a_time(config, root):
    names = ["as set", "any host", "8 hosts"]
    rows = bench_ablation(config, 4, [0], names, images=4, root=str(root / "cells"))["rows"]
    assert [row["variant"] for row in rows] == names
    assert len({(row["boxes"], row["auroc_confidence"]) for row in rows}) == 1, "the same boxes"
    assert [row["pastes"] // row["boxes"] for row in rows] == [2, 2, 8]
    for row in rows:
        passed = [row["gate"][most]["boxes"] for most in ("0.15", "0.30", "0.50")]
        assert passed == sorted(passed)
        assert all(one["right"] <= one["boxes"] <= row["boxes"] for one in row["gate"].values())
    assert bench_ablation(config, 4, [0], names, images=4, root=str(root / "cells"))["rows"] == rows


def test_every_variant_is_a_setting():
    for changes in VARIANTS.values():
        MiningSettings(**changes)
