"""Every ingredient of the loss, switched or set otherwise, leads a short run elsewhere."""

from __future__ import annotations

import functools

import pytest

from pipeline.detector.training.loop import fine_tune
from pipeline.settings import (
    AugmentSettings,
    CopyPasteSettings,
    FocalSettings,
    MixupSettings,
    MosaicSettings,
    OhemSettings,
    StrongViewSettings,
    TripletSettings,
)
from pipeline.workspace import Folder
from tests.detector.small import ARCHITECTURES, detector, differing, plan, scenes, training, weights_of

MIXED = {"mixup": MixupSettings(start=0.0, end=1.0, probability=1.0)}
PULLED = {"triplet": TripletSettings(weight=1.0, margin=0.1)}
CHANGES = {
    "mixup on": ({}, MIXED),
    "mixup alpha": (MIXED, {"mixup": MixupSettings(start=0.0, end=1.0, probability=1.0, alpha=0.3)}),
    "mixup probability": (MIXED, {"mixup": MixupSettings(start=0.0, end=1.0, probability=0.5)}),
    "mixup window": (MIXED, {"mixup": MixupSettings(start=0.5, end=1.0, probability=1.0)}),
    "label smoothing on": ({}, {"label_smoothing": 0.1}),
    "label smoothing eps": ({"label_smoothing": 0.1}, {"label_smoothing": 0.2}),
    "focal off": ({}, {"classification": "cross_entropy"}),
    "hard examples": ({"classification": "cross_entropy"}, {"classification": "ohem"}),
    "fewer hard examples": (
        {"classification": "ohem"},
        {"classification": "ohem", "ohem": OhemSettings(negatives_per_object=0.5)},
    ),
    "focal alpha": ({}, {"focal": FocalSettings(alpha=0.5)}),
    "focal gamma": ({}, {"focal": FocalSettings(gamma=1.0)}),
    "triplet on": ({}, PULLED),
    "triplet weight": (PULLED, {"triplet": TripletSettings(weight=0.3, margin=0.1)}),
    "triplet margin": (PULLED, {"triplet": TripletSettings(weight=1.0, margin=0.0)}),
    "triplet mining": (PULLED, {"triplet": TripletSettings(weight=1.0, margin=0.1, mining="batch_all")}),
    "triplet semi-hard": (PULLED, {"triplet": TripletSettings(weight=1.0, margin=0.1, mining="semi_hard")}),
    "triplet sample": (PULLED, {"triplet": TripletSettings(weight=1.0, margin=0.1, boxes_per_class=2)}),
    "triplet background": (PULLED, {"triplet": TripletSettings(weight=1.0, margin=0.1, background_negatives=3)}),
    "mosaic on": ({}, {"mosaic": MosaicSettings(enabled=True, probability=1.0)}),
    "copy-paste on": ({}, {"copy_paste": CopyPasteSettings(enabled=True, probability=1.0)}),
    "strong view on": (
        {"augment": AugmentSettings()},
        {"augment": AugmentSettings(strong=StrongViewSettings(enabled=True, labeled_too=True))},
    ),
    "rotation": ({"augment": AugmentSettings()}, {"augment": AugmentSettings(rotate_deg=20.0)}),
}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Weights after two steps, each run made once."""
    folder = tmp_path_factory.mktemp("switches")
    samples = scenes(folder)

    @functools.cache
    def run(architecture, frozen):
        settings = training(steps=2, batch_size=3, **dict(frozen))
        model = detector(architecture, settings=settings)
        checkpoints = Folder(folder / "run")
        fine_tune(model, plan(samples, settings), settings, seed=0, checkpoints=checkpoints, identity="run")
        return weights_of(model)

    return lambda architecture, values: run(architecture, tuple(sorted(values.items())))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", CHANGES)
def test_a_switch_or_number_changes_training(train, architecture, name):
    one, other = (train(architecture, values) for values in CHANGES[name])
    changed = differing(one, other)
    if name.startswith("focal") and architecture == "faster_rcnn":
        assert changed == []  # its classifier has softmax cross-entropy
    else:
        assert any(tensor.startswith("network.backbone.body.") for tensor in changed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_switched_off_has_no_influence(train, architecture):
    off = {
        "mixup": MixupSettings(enabled=False, alpha=0.2),
        "triplet": TripletSettings(enabled=False, weight=50.0),
        "label_smoothing": 0.0,
    }
    assert differing(train(architecture, {}), train(architecture, off)) == []
