"""Data that lack something still make a detector: one class, no boxes, pseudo-labels alone or empty."""

from __future__ import annotations

import pytest
import torch

from pipeline.detector.training.data.batches import BatchPlan
from pipeline.detector.training.loop import fine_tune
from pipeline.detector.training.run import RunSpec
from pipeline.folder import Folder
from pipeline.records import Region, State
from tests.builders import box
from tests.detector.small import (
    ALL_ON,
    ARCHITECTURES,
    detector,
    differing,
    images_of,
    painted,
    plan,
    training,
    weights_of,
)


def one_class(folder):
    return [painted(folder, f"{i}", box(5 + i, 5, 25 + i, 25, "bolt")) for i in range(3)]


def empty(folder, state=State.LABELED, prefix="empty", **fields):
    return [painted(folder, f"{prefix}{i}", state=state, **fields) for i in range(3)]


DATA = {
    "one class": one_class,
    "no boxes": empty,
    "one image": lambda folder: one_class(folder)[:1],
    "empty among others": lambda folder: one_class(folder) + empty(folder),
    "empty pseudo-labelled images": lambda folder: one_class(folder) + empty(folder, State.PSEUDO, "machine"),
    "unsure pseudo-labelled images": lambda folder: (
        one_class(folder) + empty(folder, State.PSEUDO, "machine", ignore=(Region(0, 0, 64, 64, "unsure"),))
    ),
    "pseudo-labels alone": lambda folder: empty(folder, State.PSEUDO, "machine"),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("classification", ["focal", "ohem"])
@pytest.mark.parametrize("name", DATA)
def test_a_run_ends_well(tmp_path, architecture, classification, name):
    samples = DATA[name](tmp_path)
    settings = training(**{**ALL_ON, "classification": classification, "steps": 3, "batch_size": 4, "burn_in_steps": 1})
    model = detector(architecture, labels=["bolt"], settings=settings, score_floor=0.0)
    first = weights_of(model)
    made = BatchPlan(images_of(samples, labels=["bolt"]), settings, 0)
    result = fine_tune(model, made, RunSpec(settings, 0, Folder(tmp_path / "run"), "run"))
    assert result.steps == 3
    assert result.rollbacks == []
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(model).values() if tensor.is_floating_point())
    assert differing(first, weights_of(model))
    with torch.no_grad():
        detections = model(made[2].images)
    assert all(len(of_image["boxes"]) > 0 and torch.isfinite(of_image["boxes"]).all() for of_image in detections)


def test_a_batch_in_parts_teaches_about_the_same(tmp_path):
    """Each part is divided by its own objects, of which every image here has as many."""
    samples = [painted(tmp_path, f"{i}", box(5 + i, 5, 25 + i, 25, "bolt")) for i in range(4)]
    moved, losses = [], []
    for accumulate in (1, 2, 4):
        settings = training(steps=2, batch_size=4, accumulate=accumulate, classification="cross_entropy")
        model = detector(settings=settings)
        first = weights_of(model)
        spec = RunSpec(settings, 0, Folder(tmp_path / str(accumulate)), "run")
        result = fine_tune(model, plan(samples, settings), spec)
        assert result.images == 8
        losses.append(result.curve[-1].loss)
        moved.append(torch.cat([(tensor - first[name]).flatten() for name, tensor in weights_of(model).items()]))
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=0.05)
    assert all(torch.cosine_similarity(moved[0], other, dim=0) > 0.9 for other in moved[1:])
