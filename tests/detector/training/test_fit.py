"""How long a run is, and that its record says why it ended and when."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from pipeline.artefacts import Look
from pipeline.detector.models.detector import build_detector
from pipeline.detector.training.fit import TrainingJob, fit
from pipeline.errors import DataError
from pipeline.folder import Folder
from pipeline.records import Split, State
from pipeline.settings import DataSettings, PlateauSettings, Settings, SourceSettings
from tests.builders import image_id
from tests.detector.small import ALL_ON, LABELS, network, painted, scenes, training

SOON = PlateauSettings(every_steps=2, smoothing=1, patience=0.5, min_steps=4, fallback_steps=6)


def run_of(tmp_path, held_back, count=4, errors=None, sources=(), changed=None, **values):
    small = network(**(changed or {}))
    settings = Settings(
        name="parts",
        workspace=str(tmp_path),
        data=DataSettings(labels=LABELS, sources=sources),
        detector=small,
        training=training(**{"plateau": SOON, "decay": 0.5, "learning_rate": 1e-6, **values}),
    )
    samples = scenes(tmp_path / "train", count)
    job = TrainingJob(settings, samples, held_back, 0, Folder(tmp_path / "run"), "run", errors=errors or {})
    return fit(build_detector(small, LABELS, settings.training), job)


@pytest.fixture
def held_back(tmp_path):
    return scenes(tmp_path / "val", 3)


def test_a_run_that_gets_no_better_ends_soon(tmp_path, held_back):
    run = run_of(tmp_path, held_back, steps=100)
    assert (run.ended_by, run.plateau_step, run.steps) == ("plateau", 4, 8)
    assert run.looks == (Look(2, 0.0), Look(4, 0.0))
    assert run.settings["steps"] == 100


@pytest.mark.parametrize("plateau", [SOON.model_copy(update={"min_steps": 50}), PlateauSettings(enabled=False)])
def test_a_run_has_no_more_steps_than_are_set(tmp_path, held_back, plateau):
    run = run_of(tmp_path, held_back, steps=8, plateau=plateau)
    assert (run.ended_by, run.plateau_step, run.steps) == ("steps", None, 8)
    assert run.looks == ()


@pytest.mark.parametrize("held_back", ["none", "without objects"])
def test_with_nothing_to_look_at_a_run_has_the_steps_set_for_that(tmp_path, held_back, caplog):
    images = [] if held_back == "none" else [painted(tmp_path, "empty", state=State.LABELED)]
    with caplog.at_level(logging.WARNING):
        run = run_of(tmp_path, images, steps=100)
    assert (run.ended_by, run.plateau_step, run.steps, run.looks) == ("fallback_steps", None, 6, ())
    assert "held-back images with objects" in caplog.text
    assert "It has 6 steps" in caplog.text


def test_steps_are_the_bound_of_a_run_without_looks_too(tmp_path):
    assert run_of(tmp_path, [], steps=3).steps == 3
    other = run_of(tmp_path / "off", [], steps=8, plateau=PlateauSettings(enabled=False, fallback_steps=2))
    assert (other.steps, other.ended_by) == (8, "steps")


def test_no_more_images_are_looked_at_than_are_set(tmp_path, held_back, monkeypatch):
    seen = []

    def measured(_, samples, __):
        seen.append([sample.image_id for sample in samples])
        return 0.0

    monkeypatch.setattr("pipeline.detector.training.fit._map_on", measured)
    run_of(tmp_path, held_back, steps=100, plateau=SOON.model_copy(update={"max_images": 2}))
    assert len(seen) == 2
    assert len(seen[0]) == 2
    assert seen[0] == seen[1]
    assert set(seen[0]) < {sample.image_id for sample in held_back}


def test_a_run_draws_by_errors(tmp_path):
    errors = {image_id("scene0"): 1.0}
    plain, wrong, unweighted = (
        run_of(tmp_path / name, [], steps=10, errors=given, boosting=boosting).curve
        for name, given, boosting in (("plain", {}, 50.0), ("wrong", errors, 50.0), ("unweighted", errors, 0.0))
    )
    assert unweighted == plain
    assert wrong != plain


def test_nothing_to_learn_from_is_refused(tmp_path, held_back):
    with pytest.raises(DataError, match=r"Expected labelled images to train on, got none"):
        run_of(tmp_path, held_back, count=0)


BRANCHES = [
    ({"visible_box": True}, "visible_box", "detector.visible_box"),
    ({"architecture": "faster_rcnn", "masks": True}, "mask", "detector.masks"),
]
"""Settings of a branch that learns what files state beside boxes, its loss, and what a warning calls it."""


@pytest.mark.parametrize(("branch", "part", "name"), BRANCHES)
def test_a_branch_that_has_nothing_to_learn_is_warned_of(tmp_path, held_back, caplog, branch, part, name):
    with caplog.at_level(logging.WARNING):
        run_of(tmp_path, held_back, steps=2)
        assert "nothing to learn" not in caplog.text
        run = run_of(tmp_path, held_back, steps=2, changed=branch)
    assert f"{name} has nothing to learn" in caplog.text
    assert {row.parts[part] for row in run.curve} == {0.0}


@pytest.mark.parametrize(("branch", "part", "_name"), BRANCHES)
def test_what_the_sources_state_beside_boxes_is_learnt(tmp_path, held_back, caplog, branch, part, _name):
    images = scenes(tmp_path / "train", 4)
    annotations = [
        {"id": 10 * i + j, "image_id": i, "category_id": 1, "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1],
         "visible_bbox": [box.x1, box.y1, 5, box.y2 - box.y1],
         "segmentation": [[box.x1, box.y1, box.x2, box.y1, box.x1, box.y2]]}
        for i, sample in enumerate(images) for j, box in enumerate(sample.boxes)
    ]  # fmt: skip
    names = [{"id": i, "file_name": Path(sample.uri).name} for i, sample in enumerate(images)]
    content = {"images": names, "annotations": annotations, "categories": [{"id": 1, "name": "any"}]}
    (tmp_path / "train.json").write_text(json.dumps(content))
    place = {"images": str(tmp_path / "train"), "annotations": str(tmp_path / "train.json")}
    sources = (SourceSettings(split=Split.TRAIN, format="coco", **place),)
    with caplog.at_level(logging.WARNING):
        run = run_of(tmp_path, held_back, steps=2, sources=sources, changed=branch, **ALL_ON)
    assert "nothing to learn" not in caplog.text
    assert all(row.parts[part] > 0 for row in run.curve)
