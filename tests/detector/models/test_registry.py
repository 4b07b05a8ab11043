from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load as load_tensors

from pipeline.detector.inference.predictor import Predictor
from pipeline.detector.models.detector import Detector
from pipeline.detector.models.registry import (
    CARD,
    CHAMPION,
    WEIGHTS,
    ModelCard,
    champion_before,
    champion_id,
    champions,
    list_models,
    load_card,
    load_model,
    promote,
    record_metrics,
    reinstate,
    save_model,
)
from pipeline.errors import ArtefactError
from pipeline.settings import FocalSettings
from pipeline.workspace import Folder
from tests.detector.small import ARCHITECTURES, LABELS, detector, network, noise, training, weights_of


def card(architecture="retinanet", **values) -> ModelCard:
    fields = {
        "labels": LABELS,
        "detector": network(architecture),
        "training": training(learning_rate=0.1),
        "dataset_version": 7,
        "parent_id": None,
        "cycle": 1,
        "seed": 3,
    }
    return ModelCard(**{**fields, **values})


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
    applied = Predictor(Detector(model.settings, LABELS, pretrained=False), accelerator="cpu").detector
    applied.load_state_dict(model.state_dict())
    assert save_model(models, applied, card(metrics={"val": 0.5})) == saved  # its memory lies otherwise
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


# The card


def test_the_card_tells_what_the_model_is(models, model, saved):
    folder = models.folder(saved)
    assert folder.names() == [CARD, WEIGHTS]
    written = json.loads(folder.read_bytes(CARD))
    assert written["labels"] == list(LABELS)
    assert written["detector"]["architecture"] == "retinanet"
    assert written["training"]["learning_rate"] == 0.1
    assert (written["dataset_version"], written["parent_id"], written["cycle"], written["seed"]) == (7, None, 1, 3)
    assert written["weights_sha256"] == hashlib.sha256(folder.read_bytes(WEIGHTS)).hexdigest()
    transform = model.network.transform
    assert written["normalization"] == {"mean": list(transform.image_mean), "std": list(transform.image_std)}
    read = load_card(models, saved)
    assert read == card(normalization=written["normalization"], weights_sha256=written["weights_sha256"])
    assert read.to_json() == written


def test_metrics_are_added_and_the_id_stays(models, model, saved):
    weights = models.folder(saved).read_bytes(WEIGHTS)
    record_metrics(models, saved, {"val": {"map": 0.25}})
    record_metrics(models, saved, {"test": {"map": 0.5}})
    record_metrics(models, saved, {"val": {"map": 0.75}})
    assert load_card(models, saved).metrics == {"val": {"map": 0.75}, "test": {"map": 0.5}}
    assert models.folder(saved).read_bytes(WEIGHTS) == weights
    assert save_model(models, model, card()) == saved
    assert load_card(models, saved).metrics["test"] == {"map": 0.5}


# The champion


def test_the_champion_is_a_pointer(models, model, saved):
    other = save_model(models, model, card(cycle=2, parent_id=saved))
    assert champion_id(models) is None
    for model_id in (saved, other, other):
        promote(models, model_id)
        assert champion_id(models) == model_id
        assert json.loads(models.read_bytes(CHAMPION))["model_id"] == model_id
    reinstate(models, saved)
    assert champion_id(models) == saved
    for _ in range(2):
        reinstate(models, None)
        assert champion_id(models) is None
    assert list_models(models).keys() == {saved, other}


@pytest.mark.parametrize("change", [promote, reinstate])
def test_a_model_that_is_not_there_does_not_become_champion(models, saved, change):
    promote(models, saved)
    with pytest.raises(ArtefactError, match=f"Expected model 0123456789ab at {named(models, '0123456789ab')}"):
        change(models, "0123456789ab")
    assert champion_id(models) == saved


def test_champions_are_remembered_so_that_one_can_go_back(models, model, saved):
    second, third = (save_model(models, model, card(cycle=cycle)) for cycle in (2, 3))
    assert champions(models) == []
    for model_id in (saved, second, second, third):
        promote(models, model_id)
    assert champions(models) == [saved, second, third]
    for expected in (second, saved):
        assert champion_before(models) == expected
        reinstate(models, expected)
        assert champion_id(models) == expected
    with pytest.raises(ArtefactError, match=f"Expected a champion before this one to go back to, found only {saved}"):
        champion_before(models)
    promote(models, third)
    assert champions(models) == [saved, third], "what came between is forgotten"


def test_a_champion_that_came_back_is_left_for_the_last_one_before_it(models, model, saved):
    other = save_model(models, model, card(cycle=2))
    for model_id in (saved, other, saved, other):
        promote(models, model_id)
    reinstate(models, saved)
    assert champions(models) == [saved, other, saved]


def test_there_is_nothing_to_go_back_to_before_the_first_champion(models):
    with pytest.raises(ArtefactError, match=r"found none\. `crosscheck models list` tells which models there are"):
        champion_before(models)


def test_a_pointer_without_memory_is_read(models, saved):
    """As earlier versions of this program wrote it."""
    models.write_json(CHAMPION, {"model_id": saved})
    assert champions(models) == [saved]


def test_one_does_not_go_back_to_a_model_that_is_gone(models, saved):
    models.write_json(CHAMPION, {"model_id": saved, "before": ["0123456789ab"]})
    with pytest.raises(ArtefactError, match="Expected model 0123456789ab"):
        champion_before(models)
    assert champion_id(models) == saved


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"{}", b"[]", b"3", b"null"])
def test_a_damaged_pointer_is_named(models, saved, data):
    models.write_bytes(CHAMPION, data)
    with pytest.raises(ArtefactError, match=f"^{named(models, CHAMPION)}: expected "):
        champion_id(models)
    promote(models, saved)
    assert champion_id(models) == saved


# Lists


def test_finished_models_are_listed(models, model, saved):
    other = save_model(models, model, card(cycle=2, parent_id=saved))
    promote(models, other)
    models.folder("0123456789ab").write_bytes(WEIGHTS, b"the run was killed here")
    models.write_bytes("notes.txt", b"not a model")
    assert {name: one.cycle for name, one in list_models(models).items()} == {saved: 1, other: 2}


def test_no_models(models):
    assert list_models(models) == {}
    assert champion_id(models) is None


def test_a_save_that_was_killed_is_made_up_for(models, model, saved):
    models.folder(saved).remove(CARD)
    models.folder(saved).write_bytes(WEIGHTS, b"half")
    assert list_models(models) == {}
    with pytest.raises(ArtefactError, match=f"Expected model {saved}"):
        load_model(models, saved)
    assert save_model(models, model, card()) == saved
    assert bits(weights_of(load_model(models, saved))) == bits(weights_of(model))


# What is refused


@pytest.mark.parametrize("read", [load_card, load_model, promote, lambda m, name: record_metrics(m, name, {})])
def test_an_unknown_model_is_refused(models, saved, read):
    path = named(models, "0123456789ab")
    with pytest.raises(ArtefactError, match=rf"^Expected model 0123456789ab at {path}, found none\. .*models list"):
        read(models, "0123456789ab")
    with pytest.raises(ValueError, match="plain name"):
        read(models, f"../models/{saved}")


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


@pytest.mark.parametrize("data", [b"", b"{", b"\x00" * 20, b"{}", b"[]", b"null", b'{"labels": ["bolt"]}'])
def test_a_damaged_card_is_named(models, saved, data):
    models.folder(saved).write_bytes(CARD, data)
    for read in (load_card, load_model, promote):
        with pytest.raises(ArtefactError, match=f"^{named(models.folder(saved), CARD)}: expected "):
            read(models, saved)


@pytest.mark.parametrize(
    "values",
    [{"labels": 3}, {"labels": None}, {"seeed": 1}, {"training": []}, {"detector": {"backbone": "x", "depth": 5}}],
    ids=str,
)
def test_a_card_of_another_form_is_named(models, saved, values):
    rewrite(models, saved, **values)
    with pytest.raises(ArtefactError, match=f"^{named(models.folder(saved), CARD)}: expected a model card, got "):
        load_model(models, saved)


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


def test_a_card_can_be_copied_with_other_metrics():
    one = card(metrics={"val": {"map": 0.5}})
    assert ModelCard.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert replace(one, metrics={}) == card()
