"""p(correct), promises and what they rest on, from held-back images."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.artefacts import Calibration
from pipeline.errors import ArtefactError
from pipeline.records import Region
from pipeline.selection.calibration import CalibratedModel, calibrate, calibration_set, certify
from pipeline.selection.held_back import HeldBack
from pipeline.selection.localisation_bias import LocalisationBias
from tests.builders import box, sample
from tests.selection.evidence import drawn_evidence, evidence_of, with_columns
from tests.selection.keeping import written_and_read
from tests.selection.projects import LABELS, project

SETTINGS = project(
    mining={"hosts": 1, "budget": None}, selection={"target_precision": 0.8, "min_class_boxes": 1000, "folds": 3}
)
SCORES = {"confidence", "consistency", "product", "augmented view", "close-up", "all evidence", "crosscheck"}


def held_back(evidence, right, samples=()):
    """Proposals whose truth is known, each image a family of its own."""
    evidence = evidence.append_column("group_id", evidence["image_id"])
    right = np.asarray(right, dtype=bool)
    objects = np.where(right, evidence["label"].to_pylist(), "").astype(np.str_)
    return HeldBack(evidence, LocalisationBias(), evidence, np.where(right, 0, -1), objects, samples)


@pytest.fixture(scope="module")
def drawn():
    """600 proposals of 60 images whose evidence says how likely each is."""
    evidence, right, _ = drawn_evidence(600, seed=3)
    names = evidence["image_id"].unique().to_pylist()
    images = {name: sample(name, box(), width=320, height=240) for name in names}
    evidence = with_columns(evidence, image_id=[images[name].image_id for name in evidence["image_id"].to_pylist()])
    return held_back(evidence, right, list(images.values()))


@pytest.fixture(scope="module")
def calibrated(drawn):
    return calibrate(drawn, SETTINGS, "m1")


def test_without_held_back_boxes_nothing_is_promised():
    nothing = calibrate(held_back(evidence_of(), []), SETTINGS, "m1")
    assert nothing.calibration == Calibration(0)
    assert nothing.certificates.classes.keys() == set(LABELS)
    assert not any(certificate.certified for certificate in nothing.certificates.classes.values())
    assert nothing.model.cascade.predict(evidence_of({})).tolist() == [0.5]


def test_every_score_is_measured_on_the_same_boxes(calibrated, drawn):
    scores = calibrated.calibration.scores
    assert scores.keys() == SCORES
    assert calibrated.calibration.boxes == 600
    for quality in scores.values():
        assert sum(boxes for _, _, boxes in quality.reliability) == 600


def test_evidence_beats_confidence_and_is_calibrated(calibrated):
    scores = calibrated.calibration.scores
    assert scores["all evidence"].auroc > scores["confidence"].auroc + 0.03
    assert scores["all evidence"].brier < scores["crosscheck"].brier < scores["confidence"].brier
    assert scores["all evidence"].ece < scores["confidence"].ece


def test_recall_counts_the_objects_that_proposals_found(calibrated, drawn):
    """Every image has one object, which the right proposals of it match."""
    (recall,) = calibrated.calibration.recall
    images = drawn.evidence["image_id"].to_numpy(zero_copy_only=False)
    assert (recall.label, recall.objects, recall.found) == ("bolt", 60, len(set(images[drawn.right])))


def test_what_is_kept_belongs_to_the_model_and_is_read_back_as_it_was(calibrated, drawn, tmp_path):
    again = written_and_read(calibrated.model, tmp_path)
    assert again == calibrated.model
    assert isinstance(again, CalibratedModel)
    expected = calibrated.model.cascade.replay(drawn.evidence)
    np.testing.assert_array_equal(again.cascade.replay(drawn.evidence), expected)
    with pytest.raises(ArtefactError, match="Expected proposals of model m1"):
        again.cascade.predict(evidence_of({"model_id": "m2"}))


def test_each_class_has_its_own_reliability(calibrated, drawn):
    by_class = calibrated.calibration.classes
    labels = drawn.evidence["label"].to_pylist()
    assert list(by_class) == sorted(set(labels))
    for label, scores in by_class.items():
        own = drawn.right[[each == label for each in labels]]
        for name in ("crosscheck", "consistency"):
            assert sum(boxes for *_, boxes in scores[name]) == len(own)
            assert sum(share * boxes for _, share, boxes in scores[name]) == pytest.approx(own.sum())


def test_the_same_boxes_give_the_same_calibration(calibrated, drawn):
    assert calibrate(drawn, SETTINGS, "m1") == calibrated


# Certificates


def test_every_class_has_a_certificate_and_only_its_own_boxes_count():
    labels = ["bolt"] * 200 + ["nut"] * 100
    evidence = with_columns(evidence_of(*[{}] * 300), label=labels, image_id=[f"i{number}" for number in range(300)])
    right = np.arange(300) < 200
    promised = certify(held_back(evidence, right), np.full(300, 0.9), SETTINGS, "m7")
    assert (promised.model_id, promised.target, promised.confidence) == ("m7", 0.8, 0.95)
    bolt, nut, gear = (promised.classes[label] for label in LABELS)
    assert (bolt.certified, bolt.boxes, bolt.right) == (True, 200, 200)
    assert (nut.certified, nut.boxes, nut.right) == (False, 100, 0)
    assert (gear.certified, gear.boxes, gear.right) == (False, 0, 0)
    assert all(bool(certificate.needed) != certificate.certified for certificate in promised.classes.values())


def test_boxes_of_one_family_that_go_wrong_together_promise_less():
    """The same 120 right boxes and 30 wrong ones, in images of five that share their fate, and each by itself."""
    right = np.repeat(np.arange(30) % 5 > 0, 5)
    evidence = evidence_of(*[{}] * 150)
    together = with_columns(evidence, image_id=[f"i{number // 5}" for number in range(150)])
    alone = with_columns(evidence, image_id=[f"i{number}" for number in range(150)])
    loose = project(selection={"target_precision": 0.7})
    clustered, single = (certify(held_back(rows, right), np.full(150, 0.8), loose, "m1") for rows in (together, alone))
    assert clustered.correlation == pytest.approx(1.0, abs=0.05)
    assert single.correlation == 0
    assert single.classes["bolt"].certified
    assert not clustered.classes["bolt"].certified


def test_promises_are_refused_for_other_models_and_labels(calibrated, drawn):
    current = calibration_set(drawn.samples, SETTINGS)
    calibrated.certificates.check("m1", current)
    with pytest.raises(ArtefactError, match="certificates for model m2, got those of m1"):
        calibrated.certificates.check("m2", current)
    with pytest.raises(ArtefactError, match="have changed since"):
        calibrated.certificates.check("m1", calibration_set(drawn.samples[1:], SETTINGS))


# What promises rest on

IMAGES = [sample("a", box(), box(label="nut"), ignore=(Region(0, 0, 5, 5, "crowd"),)), sample("b")]
HASH = calibration_set(IMAGES, SETTINGS)


def test_the_order_of_images_and_boxes_has_no_part_in_it():
    first, second = IMAGES
    turned = sample("a", *first.boxes[::-1], ignore=first.ignore)
    assert calibration_set([second, turned], SETTINGS) == HASH
    assert len(HASH) == 12


@pytest.mark.parametrize(
    "images",
    [
        [],
        IMAGES[:1],
        [*IMAGES, sample("c")],
        [sample("a", box(), ignore=IMAGES[0].ignore), IMAGES[1]],
        [sample("a", box(), box(label="gear"), ignore=IMAGES[0].ignore), IMAGES[1]],
        [sample("a", box(), box(label="nut", x1=11.0), ignore=IMAGES[0].ignore), IMAGES[1]],
        [sample("a", box(), box(label="nut")), IMAGES[1]],
    ],
    ids=["no images", "fewer", "more", "a box less", "another label", "a box moved", "no ignore region"],
)
def test_other_labels_are_another_set(images):
    assert calibration_set(images, SETTINGS) != HASH


def changed(**sections):
    before = SETTINGS.model_dump(mode="json")
    return project(**{name: {**before[name], **values} for name, values in sections.items()}, **{
        name: before[name] for name in ("mining", "selection") if name not in sections
    })  # fmt: skip


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("mining", "hosts", 3),
        ("mining", "hit_iou", 0.7),
        ("mining", "tta_scale", 1.0),
        ("mining", "budget", 0.5),
        ("mining", "proposal_score", 0.2),
        ("mining", "paste_px", 32),
        ("mining", "look_budget", 0.5),
        ("mining", "engine", "torch"),
        ("mining", "float32_share", 0.5),
        ("selection", "rule", "consistency"),
        ("selection", "drop_below", 0.2),
        ("selection", "match_iou", 0.6),
        ("selection", "target_precision", 0.9),
        ("selection", "confidence", 0.9),
        ("selection", "folds", 4),
        ("selection", "min_class_boxes", 5),
        ("selection", "correct_localisation", False),
        ("data", "labels", [*LABELS, "washer"]),
    ],
)
def test_settings_that_promises_rest_on_are_part_of_it(section, key, value):
    assert calibration_set(IMAGES, changed(**{section: {key: value}})) != HASH


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("mining", "batch_size", 3),
        ("mining", "chunk_images", 7),
        ("mining", "decode_threads", 1),
        ("mining", "max_hosts_cached", 9),
        ("selection", "audit_share", 0.4),
        ("selection", "soft_from", None),
        ("selection", "query", {"images": 3}),
    ],
)
def test_settings_of_cost_and_of_the_queue_are_none(section, key, value):
    assert calibration_set(IMAGES, changed(**{section: {key: value}})) == HASH
