"""A model of one set starts a detector of another set with other classes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.detector.models.box_logits import box_logits
from pipeline.detector.models.detector import build_detector
from pipeline.detector.models.saved import save_model
from pipeline.detector.training.start import starting_point
from pipeline.detector.training.transfer import seen_similarity, transferred
from pipeline.errors import ArtefactError, DataError, SettingsError
from pipeline.folder import Folder
from pipeline.records import State
from pipeline.settings import DataSettings, Settings
from tests.builders import box
from tests.detector.small import (
    ARCHITECTURES,
    LABELS,
    LEFT,
    RIGHT,
    card,
    detector,
    differing,
    images_of,
    network,
    noise,
    painted,
    scenes,
    training,
    weights_of,
)

THERE = ("screw", "nut", "gear")


def settings_of(architecture="retinanet", labels=LABELS, values=None, **of_training):
    return Settings(
        name="parts",
        workspace="unused",
        data=DataSettings(labels=labels),
        detector=network(architecture, **(values or {})),
        training=training(**of_training),
    )


@pytest.fixture
def models(tmp_path):
    return Folder(tmp_path / "elsewhere" / "models")


def saved(models, architecture="retinanet", labels=THERE):
    """Folder of a model, and the model."""
    model = detector(architecture, labels=labels, score_floor=0.0).eval()
    model_id = save_model(models, model, card(architecture, labels=labels, detector=model.settings))
    return models.path(model_id), model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_of_the_same_classes_predicts_the_same(models, tmp_path, architecture):
    place, source = saved(models, architecture, LABELS)
    settings = settings_of(architecture, values={"score_floor": 0.0})
    model = transferred(settings, place, scenes(tmp_path, 2)).eval()
    assert differing(weights_of(model), weights_of(source)) == []
    for one, other in zip(model(noise(2)), source(noise(2)), strict=True):
        assert len(one["boxes"]) > 0
        assert all(torch.equal(one[name], other[name]) for name in other)


def test_the_same_classes_in_another_order_keep_their_scores(models, tmp_path):
    place, source = saved(models, labels=LABELS)
    settings = settings_of(labels=("shaft", *LABELS[::-1]), label_map={"bolt": "shaft"}, values={"score_floor": 0.0})
    model, boxes = transferred(settings, place, scenes(tmp_path, 0)).eval(), as_boxes([LEFT, RIGHT])
    logits = box_logits(model, noise(), boxes)
    assert torch.equal(logits[:, :2], box_logits(source, noise(), boxes))
    assert model.labels == ("shaft", "nut", "bolt")


def test_rows_follow_from_how_the_source_sees_boxes(models, tmp_path):
    place, source = saved(models)
    settings, samples = settings_of(start_from=place), scenes(tmp_path, 3)
    model = starting_point(models, None, settings, 0, samples)
    images = images_of(samples)
    seen = []
    for index in range(3):
        item = images.load(index)
        pixels = torch.from_numpy(item.pixels).permute(2, 0, 1)[None]
        seen += list(box_logits(source, pixels, item.boxes[item.labels == 1]))
    shares = torch.stack(seen).mean(0).softmax(0)
    layer = "network.head.classification_head.cls_logits.weight"
    before, after = (weights_of(one)[layer].reshape(9, -1, 16, 3, 3) for one in (source, model))
    torch.testing.assert_close(after[:, 1], sum(share * before[:, 1 + at] for at, share in enumerate(shares)))
    assert torch.equal(after[:, 2], before[:, 2]), "nut"
    changed = {name for name, tensor in weights_of(source).items() if not torch.equal(tensor, weights_of(model)[name])}
    assert changed == {layer, layer.replace("weight", "bias")}


def test_how_a_source_sees_classes_is_the_mean_over_boxes_of_people(models, tmp_path):
    source = saved(models)[1]
    settings = settings_of(labels=(*LABELS, "gear"))
    samples = scenes(tmp_path, 3)
    unread = replace(painted(tmp_path, "gone", state=State.LABELED), boxes=(box(*LEFT, "gear"),))
    (tmp_path / "gone.png").unlink()
    machine = scenes(tmp_path, 2, State.PSEUDO, "pseudo")
    mean = seen_similarity(source, settings, [*samples, unread, *machine])
    each = torch.stack([seen_similarity(source, settings, [sample]) for sample in samples])
    torch.testing.assert_close(mean, each.mean(0))
    assert mean.shape == (3, 3)
    assert torch.equal(mean[2], torch.zeros(3)), "no box of it"
    assert torch.equal(seen_similarity(source, settings, []), torch.zeros(3, 3))


def test_off_by_default(models):
    settings = settings_of()
    model = starting_point(models, None, settings, 3, [])
    assert (settings.training.start_from, settings.training.label_map) == (None, {})
    plain = build_detector(settings.detector, LABELS, settings.training, 3)
    assert differing(weights_of(model), weights_of(plain)) == []


def test_a_model_of_its_own_comes_first(models, tmp_path):
    settings = settings_of(start_from=str(tmp_path / "none" / "such"))
    model_id = save_model(models, detector(), card(training=settings.training))
    assert starting_point(models, model_id, settings, 0, []).labels == LABELS


def test_a_model_that_is_not_there_is_named(models, tmp_path):
    place, _ = saved(models)
    missing = re.escape(models.path("0123456789ab"))
    with pytest.raises(
        ArtefactError, match=rf"^training\.start_from: Expected model 0123456789ab at {missing}, found none"
    ):
        transferred(settings_of(), models.path("0123456789ab"), [])
    models.folder(place.rpartition("/")[2]).write_bytes("weights.safetensors", b"torn")
    with pytest.raises(ArtefactError, match=r"^training\.start_from: .*not the bytes that were written"):
        transferred(settings_of(), place, [])
    with pytest.raises(ArtefactError, match=r"^training\.start_from: Expected the plain name"):
        transferred(settings_of(), "", [])


@pytest.mark.parametrize(
    ("architecture", "values", "named"),
    [
        ("fcos", {}, "detector.architecture 'retinanet' (here 'fcos')"),
        ("faster_rcnn", {}, "detector.architecture 'retinanet' (here 'faster_rcnn')"),
        ("retinanet", {"fpn_channels": 32}, "detector.fpn_channels 16 (here 32)"),
        ("retinanet", {"anchors_per_place": 1}, "detector.anchors_per_place 9 (here 1)"),
    ],
)
def test_a_model_of_another_network_is_refused(models, architecture, values, named):
    place, _ = saved(models)
    message = rf"^training\.start_from: .*{re.escape(place)} has .*{re.escape(named)}.*Set detector as there"
    with pytest.raises(SettingsError, match=message):
        transferred(settings_of(architecture, values=values), place, [])


@pytest.mark.parametrize(
    ("renamed", "message"),
    [
        ({"screw": "washer"}, "expected classes among bolt, nut, got washer"),
        ({"washer": "nut"}, "expected classes of the source (gear, nut, screw), got washer"),
    ],
)
def test_a_label_map_of_classes_that_are_not_is_refused(models, renamed, message):
    place, _ = saved(models)
    with pytest.raises(DataError, match=rf"^training\.label_map: {re.escape(message)}"):
        transferred(settings_of(label_map=renamed), place, [])
