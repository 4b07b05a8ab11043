from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artefacts import TrainingRun
from pipeline.bench.grid import Taken
from pipeline.bench.scenario import Scenario, alone, labelled_images, scenarios, train
from pipeline.errors import DataError, SettingsError
from pipeline.records import Split
from tests.end_to_end.project import write_config


def test_a_scenario_has_its_own_workspace_for_whatever_the_detector_depends_on(tiny, tmp_path):
    first = tiny[0]
    same = [
        first,
        replace(first, labelled=None),
        replace(first, overrides=("mining.hosts=1",)),
        replace(first, overrides=("selection.target_precision=0.7", "report.image_px=200")),
    ]
    others = [
        replace(first, labelled=5),
        replace(first, seed=1),
        replace(first, overrides=("training.steps=31",)),
        replace(first, overrides=("detector.image_size_px=64",)),
        replace(first, overrides=("labeling.simulated.error_rate=0.1",)),
        replace(first, root=tmp_path),
    ]
    assert len({one.settings().workspace for one in same}) == 1
    assert len({one.settings().workspace for one in [first, *others]}) == 1 + len(others)


def test_its_own_overrides_win_over_those_of_an_arm(tiny):
    scenario = replace(tiny[0], overrides=("training.steps=7",))
    assert scenario.settings("training.steps=9", "training.batch_size=2").training.steps == 7
    assert scenario.settings("training.batch_size=2").training.batch_size == 2


@pytest.mark.parametrize(("labelled", "expected"), [(None, 4), (7, 7)])
def test_labelled_images(tiny, labelled, expected):
    assert labelled_images(replace(tiny[0], labelled=labelled).settings()) == expected


def test_only_a_simulated_project_can_be_measured(tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data, labeling={"backend": "none"})
    with pytest.raises(SettingsError, match=r"expected labeling\.backend 'simulated' .*, got 'none'"):
        Scenario(config, 4, 0, tmp_path).settings()


def test_all_sets_come_with_one_seed_before_the_next():
    found = scenarios([Path("a"), Path("b")], [5, 9], [0, 1], Path("root"))
    assert [(str(one.config), one.labelled, one.seed) for one in found] == [
        ("a", 5, 0), ("b", 5, 0), ("a", 5, 1), ("b", 5, 1), ("a", 9, 0), ("b", 9, 0), ("a", 9, 1), ("b", 9, 1)
    ]  # fmt: skip
    assert scenarios([], [5], [0], Path("root")) == []
    (changed,) = scenarios([Path("a")], [5], [0], Path("root"), ["training.steps=3"])
    assert changed.overrides == ("training.steps=3",)


def test_a_detector_is_trained_once_on_as_many_images_as_the_scenario_says(tiny, never):
    settings = tiny[0].settings()
    cycle = train(settings)
    trained = cycle.read(TrainingRun)
    assert trained.run.labeled_images == 8 + 4, "those of its sources, and those that start labelled"
    assert len(cycle.store.labeled(Split.TRAIN)) == 12
    never("pipeline.stages.finetune.fit")
    assert train(settings).read(TrainingRun) == trained


def test_a_workspace_in_use_is_taken(tiny, tmp_path):
    settings = tiny[0].settings().model_copy(update={"workspace": str(tmp_path / "w")})
    with alone(settings), pytest.raises(Taken, match="Another run is under way"):
        train(settings)
    with pytest.raises(DataError, match="within"), alone(settings):
        raise DataError("a fault within is no claim of another process")
