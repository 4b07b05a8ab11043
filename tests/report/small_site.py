"""The report of a small project with every kind of page, written to disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from pipeline.artefacts import Acceptance, AcceptanceCount, CycleHarvest, GateOutcome, MiningRun, TrainingRun
from pipeline.dataset.tags import tag_version
from pipeline.detector.models.registry import CARD, ModelCard, promote
from pipeline.labeling.backend import Harvest
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.records import Answer, Sample, Source, Split, State
from pipeline.report.names import class_page, model_page, version_page
from pipeline.settings import DetectorSettings, TrainingSettings
from pipeline.stages.report import report
from tests.builders import box, sample
from tests.report.builders import MOMENT, calibration
from tests.report.scenes import draw
from tests.report.small_workspace import IMAGES, first_cycle, write_everything

HOSTILE_LABEL = "<b onclick=alert(1)>'\"&{{ 7*7 }}\u202e\u0645\u0633\u0645\u0627\u0631</b> " + "w" * 500
KINDS = ("index", "version", "first version", "class", "empty class", "model")
MODEL = "aaaabbbbccccdddd"


def write_site(folder: Path) -> dict[str, Path]:
    """Write the report; returns a page of each kind."""
    cycle = first_cycle(str(folder))
    selection = write_everything(cycle)["selection"].to_pylist()
    samples = _images(folder)
    cycle.store.commit(samples, reason=f"images {HOSTILE_LABEL}", key="images", cycle=0)
    corrected = box(
        30, 30, 90, 90, label=HOSTILE_LABEL, source=Source.CORRECTED, proposal_id=selection[0]["proposal_id"]
    )
    labeled = replace(samples[0], boxes=(corrected, *samples[0].boxes), state=State.LABELED)
    cycle.store.commit(
        [labeled], reason="harvest", key="harvest 0", cycle=0, model_id=MODEL, details={"a": HOSTILE_LABEL}
    )
    deleted = (box(label=HOSTILE_LABEL, p_correct=0.7),)
    answer = Answer(labeled.image_id, "a", HOSTILE_LABEL, False, (corrected,), MOMENT, MOMENT, cycle=0, deleted=deleted)
    HarvestLog(cycle.workspace).save(Harvest((answer,), "", ()))
    counts = {HOSTILE_LABEL: AcceptanceCount(shown=40, accepted=31, corrected=6, deleted=3)}
    cycle.write(replace(cycle.read(CycleHarvest), harvests=1, acceptance=Acceptance(classes=counts)))
    _measure(cycle)
    tag_version(cycle.workspace, "release-1", 3)
    report(cycle)
    reports = folder / "reports"
    named = {
        "index": "index.html",
        "version": version_page(3),
        "first version": version_page(0),
        "class": class_page(HOSTILE_LABEL),
        "empty class": class_page("nut"),
        "model": model_page(MODEL),
    }
    return {kind: reports / name for kind, name in named.items()}


def _images(folder: Path) -> list[Sample]:
    """The images of the scenes as files, pseudo-labelled with what is on them."""
    samples = []
    for number, scene in enumerate(IMAGES):
        path = folder / f"{number}<b>.png"
        Image.fromarray(draw(scene)).save(path)
        boxes = [box(*corners, label=label, source=Source.PSEUDO) for label, corners in scene.boxes]
        row = sample(scene.uri, *boxes, uri=str(path), split=Split.POOL, state=State.PSEUDO)
        samples.append(replace(row, image_id=scene.image_id))
    return samples


def _measure(cycle):
    bins = tuple((place / 10, place / 10, 10) for place in range(1, 10))
    own = {HOSTILE_LABEL: {"crosscheck": bins, "consistency": bins}}
    cycle.write(replace(calibration(), classes=own))
    gate = cycle.read(GateOutcome)
    per_class = {**gate.test.per_class, HOSTILE_LABEL: gate.test.per_class["bolt"]}
    confusions = {HOSTILE_LABEL: {"bolt": 4}, "bolt": {HOSTILE_LABEL: 2}}
    test = replace(gate.test, per_class=per_class, confusions=confusions)
    cycle.write(replace(gate, candidate=MODEL, test=test))
    cycle.write(replace(cycle.read(TrainingRun), candidate=MODEL))
    cycle.write(replace(cycle.read(MiningRun), model_id=MODEL))
    card = ModelCard(("bolt", HOSTILE_LABEL), DetectorSettings(image_size_px=256), TrainingSettings(), 1, None, 0, 5)
    cycle.workspace.models.folder(MODEL).write_record(CARD, card)
    promote(cycle.workspace.models, MODEL)
