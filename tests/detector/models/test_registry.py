from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from pipeline.artefacts import ClassMetrics, Metrics
from pipeline.detector.models.registry import (
    CARD,
    CHAMPION,
    champion_before,
    champion_id,
    champions,
    list_models,
    load_card,
    promote,
    record_metrics,
    reinstate,
)
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from tests.detector.small import LABELS, card, network, training

FIRST, SECOND, THIRD, NOWHERE = "a" * 12, "b" * 12, "c" * 12, "0123456789ab"


@pytest.fixture
def models(tmp_path):
    """Three models of three cycles, by their cards alone."""
    folder = Folder(tmp_path / "models")
    for cycle, model_id in enumerate((FIRST, SECOND, THIRD), 1):
        folder.folder(model_id).write_record(CARD, card(cycle=cycle))
    return folder


@pytest.fixture
def nothing(tmp_path):
    return Folder(tmp_path / "models")


def named(folder, name):
    """A pattern for the path of a file at the beginning of a message."""
    return f"^{re.escape(folder.path(name))}"


def metrics(level):
    return Metrics(level, level, None, images=4, boxes=9, per_class={"bolt": ClassMetrics(level, level, boxes=9)})


@pytest.mark.parametrize(
    "modules",
    [
        "pipeline.detector.models.registry, pipeline.cycle, pipeline.artefacts",
        "pipeline.detector.models.registry, pipeline.stages.rollback",
    ],
)
def test_who_only_reads_cards_and_pointers_does_not_wait_for_torch(modules):
    loaded = "[name for name in ('torch', 'torchvision', 'timm', 'sklearn') if name in sys.modules]"
    script = f"import sys, {modules}; print({loaded})"
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "[]"


# The card


def test_a_card_comes_back_as_it_was_written(models):
    written = card(
        architecture="faster_rcnn",
        parent_id=FIRST,
        normalization={"mean": (0.5, 0.25, 0.125), "std": (1.0, 1.0, 1.0)},
        metrics={"val": metrics(0.25)},
        weights_sha256="abc",
    )
    models.folder(NOWHERE).write_record(CARD, written)
    assert load_card(models, NOWHERE) == written
    assert (written.detector, written.training) == (network("faster_rcnn"), training(learning_rate=0.1))


def test_a_card_is_plain_json(models):
    values = json.loads(models.folder(FIRST).read_bytes(CARD))
    assert values["labels"] == list(LABELS)
    assert values["detector"]["architecture"] == "retinanet"
    assert values["training"]["learning_rate"] == 0.1
    assert (values["dataset_version"], values["parent_id"], values["cycle"], values["seed"]) == (7, None, 1, 3)


def test_metrics_are_added_by_split_and_the_rest_stays(models):
    for split, level in (("val", 0.25), ("test", 0.5), ("val", 0.75)):
        record_metrics(models, FIRST, {split: metrics(level)})
    assert load_card(models, FIRST) == card(metrics={"val": metrics(0.75), "test": metrics(0.5)})


def test_a_key_of_a_newer_release_is_left_out(models):
    folder = models.folder(FIRST)
    folder.write_json(CARD, {**folder.read_json(CARD), "colour": "green"})
    assert load_card(models, FIRST) == card()


@pytest.mark.parametrize("data", [b"", b"{", b"\x00" * 20, b"{}", b"[]", b"null", b'{"labels": ["bolt"]}'])
@pytest.mark.parametrize("read", [load_card, promote, lambda models, name: record_metrics(models, name, {})])
def test_a_damaged_card_is_named(models, data, read):
    models.folder(FIRST).write_bytes(CARD, data)
    with pytest.raises(
        ArtefactError, match=f"{named(models.folder(FIRST), CARD)}: expected a ModelCard, got .* Restore"
    ):
        read(models, FIRST)
    assert models.folder(FIRST).read_bytes(CARD) == data


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"labels": 3}, "labels"),
        ({"labels": None}, "labels"),
        ({"cycle": "two"}, "cycle"),
        ({"training": []}, "training"),
        ({"detector": {"backbone": "x", "depth": 5}}, "detector.depth"),
        ({"metrics": {"val": {"map": 0.5}}}, "metrics.val.map50"),
    ],
    ids=str,
)
def test_a_card_of_another_form_is_named_with_its_key(models, values, key):
    folder = models.folder(FIRST)
    folder.write_json(CARD, {**folder.read_json(CARD), **values})
    with pytest.raises(ArtefactError, match=rf"{named(folder, CARD)}: expected a ModelCard, got .*{re.escape(key)}: "):
        load_card(models, FIRST)


def test_a_card_of_an_earlier_release_is_refused(models):
    """It does not describe the head, and its network would be built with another one."""
    folder = models.folder(FIRST)
    values = folder.read_json(CARD)
    for key in ("anchors_per_place", "head_norm", "head_shared"):
        del values["detector"][key]
    values["training"] |= {"warmup": 0.1, "burn_in": 0.2, "early_stop": {"enabled": False}}
    folder.write_json(CARD, values)
    with pytest.raises(ArtefactError, match=r"training.warmup: Extra .* a model of an earlier release cannot be read"):
        load_card(models, FIRST)


@pytest.mark.parametrize("read", [load_card, promote, lambda models, name: record_metrics(models, name, {})])
def test_an_unknown_model_is_refused(models, read):
    path = re.escape(models.path(NOWHERE))
    with pytest.raises(ArtefactError, match=rf"^Expected model {NOWHERE} at {path}, found none\. .*models list"):
        read(models, NOWHERE)
    with pytest.raises(ValueError, match="plain name"):
        read(models, f"../models/{FIRST}")


# The champion


def test_the_champion_is_a_pointer(models):
    assert champion_id(models) is None
    for model_id in (FIRST, SECOND, SECOND):
        promote(models, model_id)
        assert champion_id(models) == model_id
        assert json.loads(models.read_bytes(CHAMPION))["model_id"] == model_id
    reinstate(models, FIRST)
    assert champion_id(models) == FIRST
    for _ in range(2):
        reinstate(models, None)
        assert champion_id(models) is None
    assert list_models(models).keys() == {FIRST, SECOND, THIRD}


@pytest.mark.parametrize("change", [promote, reinstate])
def test_a_model_that_is_not_there_does_not_become_champion(models, change):
    promote(models, FIRST)
    with pytest.raises(ArtefactError, match=f"Expected model {NOWHERE} at {re.escape(models.path(NOWHERE))}"):
        change(models, NOWHERE)
    assert champion_id(models) == FIRST


def test_champions_are_remembered_so_that_one_can_go_back(models):
    assert champions(models) == []
    for model_id in (FIRST, SECOND, SECOND, THIRD):
        promote(models, model_id)
    assert champions(models) == [FIRST, SECOND, THIRD]
    for expected in (SECOND, FIRST):
        assert champion_before(models) == expected
        reinstate(models, expected)
        assert champion_id(models) == expected
    with pytest.raises(ArtefactError, match=f"Expected a champion before this one to go back to, found only {FIRST}"):
        champion_before(models)
    promote(models, THIRD)
    assert champions(models) == [FIRST, THIRD], "what came between is forgotten"


def test_a_champion_that_came_back_is_left_for_the_last_one_before_it(models):
    for model_id in (FIRST, SECOND, FIRST, SECOND):
        promote(models, model_id)
    reinstate(models, FIRST)
    assert champions(models) == [FIRST, SECOND, FIRST]


def test_there_is_nothing_to_go_back_to_before_the_first_champion(models):
    with pytest.raises(ArtefactError, match=r"found none\. `crosscheck models list` tells which models there are"):
        champion_before(models)


def test_a_pointer_without_memory_is_read(models):
    """As earlier versions of this program wrote it."""
    models.write_json(CHAMPION, {"model_id": FIRST})
    assert champions(models) == [FIRST]


def test_one_does_not_go_back_to_a_model_that_is_gone(models):
    models.write_json(CHAMPION, {"model_id": FIRST, "before": [NOWHERE]})
    with pytest.raises(ArtefactError, match=f"Expected model {NOWHERE}"):
        champion_before(models)
    assert champion_id(models) == FIRST


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"{}", b"[]", b"3", b"null", b'{"model_id": 3}'])
@pytest.mark.parametrize("read", [champion_id, champions, champion_before])
def test_a_damaged_pointer_is_named_and_a_promotion_writes_it_anew(models, data, read):
    models.write_bytes(CHAMPION, data)
    message = rf"{named(models, CHAMPION)}: expected a Champion, got .*`crosscheck models promote` writes it anew\."
    with pytest.raises(ArtefactError, match=message):
        read(models)
    promote(models, FIRST)
    assert champions(models) == [FIRST]


# Lists


def test_finished_models_are_listed(models):
    promote(models, SECOND)
    models.folder(NOWHERE).write_bytes("weights.safetensors", b"the run was killed here")
    models.write_bytes("notes.txt", b"not a model")
    cycles = {model_id: one.cycle for model_id, one in list_models(models).items()}
    assert cycles == {FIRST: 1, SECOND: 2, THIRD: 3}


def test_no_models(nothing):
    assert list_models(nothing) == {}
    assert champion_id(nothing) is None
    assert champions(nothing) == []
