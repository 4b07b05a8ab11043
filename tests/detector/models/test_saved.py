from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load as load_tensors

from pipeline.artefacts import Metrics
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.models.detector import Detector
from pipeline.detector.models.registry import (
    CARD,
    WEIGHTS,
    champion_id,
    list_models,
    load_card,
    promote,
    record_metrics,
)
from pipeline.detector.models.saved import load_model, save_model
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.settings import FocalSettings
from tests.detector.small import ARCHITECTURES, LABELS, card, detector, network, noise, training, weights_of


@pytest.fixture
def models(tmp_path):
    return Folder(tmp_path / "models")


@pytest.fixture(scope="module")
def model():
    return detector()


@pytest.fixture
def saved(models, model):
    return save_model(models, model, card())


def rewrite(models, model_id, weights=None, **values):
    """Change a model's files; the card tells the hash of the weights, as a right one does."""
    folder = models.folder(model_id)
    if weights is not None:
        folder.write_bytes(WEIGHTS, weights)
        values["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    folder.write_json(CARD, {**folder.read_json(CARD), **values})


def named(folder, name):
    """A pattern for messages that begin with or hold the path of a file."""
    return re.escape(folder.path(name))


# There and back


def bits(weights):
    return {name: tensor.numpy().tobytes() for name, tensor in weights.items()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_comes_back_bit_for_bit(models, architecture):
    model = detector(architecture, score_floor=0.0)
    odd = torch.tensor([math.nan, -0.0, math.inf, 1e-45, -1e38])
    with torch.no_grad():
        model.embedder.project[0].bias[:5] = odd
    model_id = save_model(models, model, card(architecture, detector=model.settings))
    back = load_model(models, model_id)
    assert bits(weights_of(back)) == bits(weights_of(model))
    assert not back.training
    assert (back.labels, back.settings) == (model.labels, model.settings)
    with torch.no_grad():
        for one, other in zip(model.eval()(noise(2)), back(noise(2)), strict=True):
            assert len(one["boxes"]) > 0
            assert all(torch.equal(one[name], other[name]) for name in ("boxes", "scores", "labels"))


def test_a_model_also_comes_back_from_a_store_of_objects(model):
    models = Folder("memory://models-of-a-test")
    model_id = save_model(models, model, card())
    promote(models, model_id)
    assert bits(weights_of(load_model(models, champion_id(models)))) == bits(weights_of(model))
    assert list(list_models(models)) == [model_id]


def test_a_model_is_named_by_what_it_is(models, model, saved):
    assert re.fullmatch("[0-9a-f]{12}", saved)
    before = models.folder(saved).read_bytes(CARD)
    applied = Predictor(
        Detector(model.settings, LABELS, pretrained=False), PredictionSettings(accelerator="cpu")
    ).detector
    applied.load_state_dict(model.state_dict())
    assert (
        save_model(models, applied, card(metrics={"val": Metrics(0.5, 0.5, 0.5)})) == saved
    )  # its memory lies otherwise
    elsewhere = training(learning_rate=0.1, accelerator="auto", workers=3, cache_mb=7, checkpoint_every_steps=9)
    assert save_model(models, model, card(training=elsewhere)) == saved
    assert models.folder(saved).read_bytes(CARD) == before
    bent = detector()
    with torch.no_grad():
        next(bent.parameters()).view(-1)[0] += 1e-6
    changes = ({"cycle": 2}, {"seed": 4}, {"parent_id": saved}, {"dataset_version": 8}, {"training": training()})
    others = [save_model(models, model, card(**values)) for values in changes]
    assert len({saved, save_model(models, bent, card()), *others}) == 7


def test_losses_are_as_it_was_trained_or_as_it_is_told(models, saved):
    assert load_model(models, saved).training_settings == training(learning_rate=0.1)
    other = training(label_smoothing=0.2, focal=FocalSettings(gamma=1.0))
    assert load_model(models, saved, other).training_settings == other


def test_hash_and_normalisation_are_filled_in(models, model, saved):
    folder = models.folder(saved)
    assert folder.names() == [CARD, WEIGHTS]
    written = json.loads(folder.read_bytes(CARD))
    assert written["weights_sha256"] == hashlib.sha256(folder.read_bytes(WEIGHTS)).hexdigest()
    transform = model.network.transform
    assert written["normalization"] == {"mean": list(transform.image_mean), "std": list(transform.image_std)}
    normalization = {name: tuple(values) for name, values in written["normalization"].items()}
    assert load_card(models, saved) == card(normalization=normalization, weights_sha256=written["weights_sha256"])


def test_metrics_change_neither_id_nor_weights(models, model, saved):
    weights, measured = models.folder(saved).read_bytes(WEIGHTS), Metrics(0.5, 0.75, 0.25)
    record_metrics(models, saved, {"test": measured})
    assert models.folder(saved).read_bytes(WEIGHTS) == weights
    assert save_model(models, model, card()) == saved
    assert load_card(models, saved).metrics == {"test": measured}


def test_a_save_that_was_killed_is_made_up_for(models, model, saved):
    models.folder(saved).remove(CARD)
    models.folder(saved).write_bytes(WEIGHTS, b"half")
    assert list_models(models) == {}
    with pytest.raises(ArtefactError, match=f"Expected model {saved}"):
        load_model(models, saved)
    assert save_model(models, model, card()) == saved
    assert bits(weights_of(load_model(models, saved))) == bits(weights_of(model))


# What is refused


def test_an_unknown_model_is_refused(models, saved):
    path = re.escape(models.path("0123456789ab"))
    with pytest.raises(ArtefactError, match=rf"^Expected model 0123456789ab at {path}, found none\. .*models list"):
        load_model(models, "0123456789ab")
    with pytest.raises(ValueError, match="plain name"):
        load_model(models, f"../models/{saved}")


def test_lost_weights_are_refused(models, saved):
    models.folder(saved).remove(WEIGHTS)
    with pytest.raises(ArtefactError, match=named(models.folder(saved), WEIGHTS)):
        load_model(models, saved)


@pytest.fixture(scope="module")
def broken(tmp_path_factory, model):
    """A model whose files a test may break; and its weights as they were."""
    models = Folder(tmp_path_factory.mktemp("broken"))
    model_id = save_model(models, model, card())
    return models, model_id, models.folder(model_id).read_bytes(WEIGHTS)


@settings(max_examples=25, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), cut=st.booleans())
def test_torn_weights_are_refused(broken, place, cut):
    models, model_id, data = broken
    at = int(place * len(data))
    models.folder(model_id).write_bytes(WEIGHTS, data[:at] + (b"" if cut else bytes([data[at] ^ 1]) + data[at + 1 :]))
    with pytest.raises(ArtefactError, match=rf"^{named(models.folder(model_id), WEIGHTS)}: .* Restore or retrain it\."):
        load_model(models, model_id)


def test_a_network_that_cannot_be_built_is_named(models, saved):
    rewrite(models, saved, detector=network(backbone="test_efficientmet").model_dump())
    message = f"^{named(models.folder(saved), CARD)}: expected a network that can be built, .*got 'test_efficientmet'"
    with pytest.raises(ArtefactError, match=message):
        load_model(models, saved)


@pytest.mark.parametrize(
    "values",
    [
        {"labels": ["bolt", "nut", "gear"]},
        {"labels": ["bolt"]},
        {"detector": network("faster_rcnn").model_dump()},
        {"detector": network(fpn_channels=32).model_dump()},
        {"detector": network(embedding_dim=16).model_dump()},
    ],
    ids=["more labels", "fewer labels", "architecture", "channels", "embedding"],
)
def test_weights_of_another_network_are_refused(models, saved, values):
    rewrite(models, saved, **values)
    with pytest.raises(ArtefactError, match=f"^{named(models.folder(saved), WEIGHTS)}: expected weights of "):
        load_model(models, saved)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_nothing_in_a_model_can_run(models, saved, tmp_path):
    folder = models.folder(saved)
    assert load_tensors(folder.read_bytes(WEIGHTS)).keys() == load_model(models, saved).state_dict().keys()
    with folder.create("bomb") as file:
        torch.save({"weight": Bomb(tmp_path / "exploded")}, file)
    rewrite(models, saved, folder.read_bytes("bomb"))
    with pytest.raises(ArtefactError, match=f"^{named(folder, WEIGHTS)}: expected weights of "):
        load_model(models, saved)
    assert not (tmp_path / "exploded").exists()
