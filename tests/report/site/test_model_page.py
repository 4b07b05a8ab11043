"""The page of a model, from its card and the artefacts of a small workspace."""

import json
from dataclasses import replace

import pytest

from pipeline.artefacts import GateOutcome, MiningRun, TrainingRun
from pipeline.detector.models.registry import CARD, ModelCard, promote
from pipeline.report.site.model_contents import settings_of
from pipeline.settings import DetectorSettings, TrainingSettings
from pipeline.stages.report import renew_index, report
from tests.report.builders import calibration
from tests.report.reading import Page
from tests.report.small_workspace import first_cycle, write_everything

CHILD, PARENT = "aaaabbbbccccdddd", "1111222233334444"


def card(parent=None, **detector):
    return ModelCard(("bolt", "<b>"), DetectorSettings(**detector), TrainingSettings(steps=7), 1, parent, 0, 5)


@pytest.fixture
def cycle(tmp_path):
    """A cycle that trained a model from another one, promoted it, and mined with it."""
    cycle = first_cycle(str(tmp_path))
    write_everything(cycle)
    models = cycle.workspace.models
    for name, own in ((PARENT, card()), (CHILD, card(PARENT, image_size_px=256))):
        models.folder(name).write_record(CARD, own)
        promote(models, name)
    models.folder(CHILD).write_bytes("onnx.onnx", b"x" * 2_000_000)
    cycle.write(replace(cycle.read(TrainingRun), candidate=CHILD, parent=PARENT))
    cycle.write(replace(cycle.read(GateOutcome), candidate=CHILD, champion=PARENT))
    cycle.write(replace(cycle.read(MiningRun), model_id=CHILD))
    cycle.write(calibration())
    return cycle


def page(cycle, model_id):
    return Page(cycle.workspace.reports.folder("models").read_bytes(f"{model_id}.html").decode())


def text(page):
    return " ".join(element.text for element in page.elements)


def test_a_model_tells_where_it_comes_from_and_what_became_of_it(cycle):
    report(cycle)
    shown = page(cycle, CHILD)
    assert shown.all("h1")[0].text == f"Model {CHILD[:12]} champion"
    links = set(shown.values("href"))
    assert {f"../models/{PARENT}.html", "../cycle-0000.html", "../versions/0001.html"} <= links
    assert [row[0] for row in shown.table("Certificates of its boxes")[1:]] == ["bolt", "nut"]
    assert shown.table("Settings that differ")[1:] == [["detector.image_size_px", "256"], ["training.steps", "7"]]
    assert shown.table("Files beside its card")[1:] == [["onnx.onnx", "2.00"]]
    assert [row[0] for row in shown.table("Each class on test")[1:]] == ["bolt", "nut"]
    assert shown.table("Measured on 1,000 held-back")
    assert "all steps were done" in text(shown)


def test_a_model_that_no_cycle_trained_has_its_card(cycle):
    report(cycle)
    shown = page(cycle, PARENT)
    assert "champion before" in shown.all("h1")[0].text
    assert "No cycle put it through the gate." in text(shown)
    assert f"../models/{CHILD}.html" in shown.values("href"), "which was fine-tuned from it"


def test_a_rollback_changes_both_pages(cycle):
    report(cycle)
    promote(cycle.workspace.models, PARENT)
    renew_index(cycle.settings)
    assert page(cycle, PARENT).all("h1")[0].text.endswith(" champion")
    assert page(cycle, CHILD).all("h1")[0].text.endswith("champion before")


def test_the_data_hold_the_card_and_the_metrics(cycle):
    report(cycle)
    found = json.loads(cycle.workspace.reports.folder("data").read_bytes(f"models-{CHILD}.json"))
    assert found["card"]["training"]["steps"] == 7
    assert found["gate"]["test"]["map"] == 0.4
    assert found["standing"] == "champion"


def test_a_damaged_card_costs_its_page_alone(cycle, caplog):
    cycle.workspace.models.folder(PARENT).write_bytes(CARD, b"{")
    cycle.workspace.models.write_bytes("champion.json", b"{")
    report(cycle)
    assert cycle.workspace.reports.folder("models").names() == [f"{CHILD}.html"]
    assert f"No page is made of model {PARENT}" in caplog.text
    assert "does not know the champion" in caplog.text


def test_only_settings_that_differ_are_told():
    assert settings_of(card()) == {"detector": {}, "training": {"steps": 7}}
