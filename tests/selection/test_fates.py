from datetime import UTC, datetime

import numpy as np
import pytest

from pipeline.artefacts import Certificate, PastedBoxes
from pipeline.records import SELECTION_SCHEMA
from pipeline.selection.fates import (
    AUDITED,
    REASONS,
    count_pasted,
    decide,
    expected_background,
    is_background,
    is_soft,
    pseudo_images,
)
from pipeline.selection.missed_objects import MissedObjectsModel
from pipeline.settings import SelectionSettings
from tests.selection.evidence import drawn_evidence, evidence_of, selection_of

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


def certificate(label, threshold):
    certified = threshold is not None
    return Certificate(label, certified, threshold, 100, 99, 0.96 if certified else None)


CERTIFICATES = {"bolt": certificate("bolt", 0.8), "gear": certificate("gear", None)}


def decided(evidence, p_correct, certificates=CERTIFICATES, drop_below=0.05, withdrawn=()):
    settings = SelectionSettings(drop_below=drop_below)
    return decide(evidence, np.array(p_correct, dtype=np.float64), certificates, settings, withdrawn)


# Fates


def test_no_proposals():
    selection = decided(evidence_of(), [])
    assert selection.equals(SELECTION_SCHEMA.empty_table())
    assert pseudo_images(selection, set(), None) == []


@pytest.mark.parametrize(
    ("label", "p_correct", "fate", "reason", "threshold"),
    [
        ("bolt", 0.95, "pseudo", "certified", 0.8),
        ("bolt", 0.8, "pseudo", "certified", 0.8),
        ("bolt", 0.79, "ask", "below_threshold", 0.8),
        ("bolt", 0.05, "ask", "below_threshold", 0.8),
        ("bolt", 0.04, "drop", "unlikely", 0.8),
        ("bolt", 0.0, "drop", "unlikely", 0.8),
        ("gear", 1.0, "ask", "uncertified_class", None),
        ("gear", 0.04, "drop", "unlikely", None),
        ("nut", 1.0, "ask", "uncertified_class", None),
        ("nut", 0.04, "drop", "unlikely", None),
    ],
    ids=[
        "sure", "at the threshold", "just under it", "at the lowest that is asked", "unlikely", "impossible",
        "a class that could not be certified", "and unlikely", "a class without certificate", "and unlikely too",
    ],
)  # fmt: skip
def test_three_fates(label, p_correct, fate, reason, threshold):
    row = decided(evidence_of({"label": label}), [p_correct]).to_pylist()[0]
    assert (row["fate"], row["reason"]) == (fate, reason)
    assert row["threshold"] == (None if threshold is None else pytest.approx(threshold))
    assert reason in REASONS


def test_every_reason_is_used():
    rows = [{"label": "bolt"}] * 3 + [{"label": "gear"}, {"label": "nut"}, {"label": "nut"}]
    certificates = {**CERTIFICATES, "nut": certificate("nut", 0.8)}
    selection = decided(evidence_of(*rows), [0.9, 0.5, 0.0, 0.9, 0.9, 0.5], certificates, withdrawn=["nut"])
    assert set(selection["reason"].to_pylist()) == set(REASONS)


def test_nothing_is_written_of_a_withdrawn_class_but_it_goes_on_being_audited():
    evidence = evidence_of(*[{"label": "bolt", "image_id": f"i{n}"} for n in range(3)])
    selection = decided(evidence, [0.9, 0.5, 0.01], withdrawn=["bolt"])
    assert selection["fate"].to_pylist() == ["ask", "ask", "drop"]
    assert selection["reason"].to_pylist() == ["withdrawn_class", "mistrusted", "unlikely"]
    assert pseudo_images(selection, set(), None, soft_from=0.0) == []
    assert selection.filter(AUDITED)["image_id"].to_pylist() == ["i0"]
    trusted = decided(evidence, [0.9, 0.5, 0.01])
    assert trusted.filter(AUDITED)["image_id"].to_pylist() == ["i0"]


def test_a_certificate_below_the_drop_limit_still_counts():
    selection = decided(evidence_of({}), [0.3], {"bolt": certificate("bolt", 0.2)}, drop_below=0.5)
    assert selection["fate"].to_pylist() == ["pseudo"]


def test_columns_are_carried_over_in_order():
    evidence, _, _ = drawn_evidence(20)
    selection = decided(evidence, np.linspace(0, 1, 20))
    assert selection.schema == SELECTION_SCHEMA
    for name in set(evidence.schema.names) & set(SELECTION_SCHEMA.names):
        assert selection[name].equals(evidence[name])
    assert selection["p_correct"].to_pylist() == pytest.approx(np.linspace(0, 1, 20).tolist())


def test_no_box_is_stored_on_the_wrong_side_of_its_threshold():
    """Probabilities so close to the threshold that storing them in half the precision could carry them across."""
    random = np.random.default_rng(0)
    thresholds = random.random(200)
    p_correct = thresholds + random.uniform(-1e-8, 1e-8, 200)
    p_correct[:20] = thresholds[:20]
    labels = [f"class{number}" for number in range(len(thresholds))]
    certificates = {label: certificate(label, at) for label, at in zip(labels, thresholds, strict=True)}
    rows = [{"label": label} for label in certificates]
    selection = decided(evidence_of(*rows), p_correct, certificates, drop_below=0.0)
    stored, threshold = selection["p_correct"].to_numpy(), selection["threshold"].to_numpy()
    assert stored.dtype == threshold.dtype == np.float32
    pseudo = np.array(selection["fate"].to_pylist()) == "pseudo"
    np.testing.assert_array_equal(pseudo, stored >= threshold)
    assert pseudo[:20].all()


def test_without_certificates_nothing_is_written_by_the_machine():
    evidence, _, _ = drawn_evidence(200, labels=("bolt", "gear", "nut"))
    fates = decided(evidence, np.linspace(0, 1, 200), {"gear": certificate("gear", None)})["fate"].to_pylist()
    assert set(fates) == {"ask", "drop"}


# Images


def decided_rows(*rows):
    """From `(image, fate, p_correct)`."""
    return selection_of(*({"image_id": image, "fate": fate, "p_correct": p} for image, fate, p in rows))


SURE = decided_rows(
    ("c", "pseudo", 0.9), ("a", "pseudo", 0.95), ("a", "pseudo", 0.85), ("b", "pseudo", 0.99), ("b", "ask", 0.1),
    ("d", "ask", 0.5), ("e", "drop", 0.01),
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "limit", "expected"),
    [
        (set(), None, ["b", "a", "c"]),
        (set(), 0, []),
        (set(), 1, ["b"]),
        (set(), 2, ["b", "a"]),
        (set(), 9, ["b", "a", "c"]),
        ({"b"}, None, ["a", "c"]),
        ({"b"}, 1, ["a"]),
        ({"a", "b", "c", "d"}, None, []),
    ],
    ids=[
        "all", "none", "the surest", "equals by id", "more than there are", "asked", "asked leaves room", "all asked",
    ],
)  # fmt: skip
def test_images_that_are_pseudo_labeled(asked, limit, expected):
    assert pseudo_images(SURE, asked, limit) == expected


def test_images_do_not_depend_on_the_order_of_the_rows():
    assert pseudo_images(SURE.take([4, 2, 6, 0, 3, 5, 1]), set(), None) == ["b", "a", "c"]


# What training would take for background


def missing(per_image):
    """As many missed bolts in every image, whatever is proposed."""
    nothing = (0.0,) * 4
    return MissedObjectsModel(("bolt",), (per_image,), nothing, (1.0,) * 4, nothing, 0.0)


def test_boxes_that_are_neither_learnt_nor_ignored_and_what_was_never_proposed_are_expected_as_background():
    selection = selection_of(
        {"image_id": "a", "fate": "pseudo", "p_correct": 0.99},
        {"image_id": "a", "fate": "ask", "p_correct": 0.5},
        {"image_id": "a", "fate": "drop", "p_correct": 0.03},
        {"image_id": "a", "fate": "drop", "p_correct": 0.01},
        {"image_id": "b", "fate": "drop", "p_correct": 0.04},
        {"image_id": "elsewhere", "fate": "drop", "p_correct": 0.04},
    )

    def expected(missed: float, soft_from: float | None, ignore_from: float | None):
        background = is_background(soft_from, ignore_from)
        return expected_background(selection, missing(missed), ["b", "a", "empty"], background).tolist()

    assert expected(0.5, None, 0.02) == pytest.approx([0.5, 0.51, 0.5])
    assert expected(0.0, 0.5, None) == pytest.approx([0.04, 0.04, 0.0])
    assert expected(0.0, None, None) == pytest.approx([0.04, 0.54, 0.0])
    assert expected(0.0, None, 0.0) == [0.0] * 3


# Soft labels


SOFT = selection_of(
    {"image_id": "a", "fate": "pseudo", "p_correct": 0.9, "reason": "certified"},
    {"image_id": "a", "fate": "ask", "p_correct": 0.6, "reason": "below_threshold"},
    {"image_id": "b", "fate": "ask", "p_correct": 0.5, "reason": "uncertified_class"},
    {"image_id": "c", "fate": "ask", "p_correct": 0.4, "reason": "uncertified_class"},
    {"image_id": "d", "fate": "ask", "p_correct": 0.99, "reason": "withdrawn_class"},
    {"image_id": "e", "fate": "drop", "p_correct": 0.6, "reason": "unlikely"},
)


@pytest.mark.parametrize(
    ("soft_from", "expected"), [(None, []), (0.0, ["a", "b", "c"]), (0.5, ["a", "b"]), (0.61, []), (1.0, [])]
)
def test_soft_labels_are_questions_that_are_likely_enough(soft_from, expected):
    assert SOFT.filter(is_soft(soft_from))["image_id"].to_pylist() == expected


def test_images_with_soft_labels_alone_are_learnt_from_too():
    assert pseudo_images(SOFT, set(), None) == ["a"]
    assert pseudo_images(SOFT, set(), None, 0.5) == ["a", "b"]
    assert pseudo_images(SOFT, {"a"}, None, 0.5) == ["b"]
    assert pseudo_images(SOFT, set(), 1, 0.5) == ["a"]


def test_pasted_boxes_are_counted_by_fate():
    rows = [
        {"fate": "pseudo", "checks": 2, "hit_fraction": 1.0, "p_correct": 0.99},
        {"fate": "pseudo", "checks": 4, "hit_fraction": 0.75, "p_correct": 0.98},
        {"fate": "ask", "checks": 2, "hit_fraction": 0.0, "p_correct": 0.6},
        {"fate": "ask", "checks": 0, "hit_fraction": None, "p_correct": 0.2},
        {"fate": "drop", "checks": 0, "hit_fraction": None, "p_correct": 0.01},
    ]
    counted = count_pasted(selection_of(*rows), soft_from=0.5)
    assert counted == {
        "pseudo": PastedBoxes(2, 2, 6, 5),
        "soft": PastedBoxes(1, 1, 2, 0),
        "ask": PastedBoxes(1, 0, 0, 0),
        "drop": PastedBoxes(1, 0, 0, 0),
    }
    assert (counted["pseudo"].share, counted["ask"].share) == (1.0, 0.0)
    assert count_pasted(selection_of(), None)["pseudo"].share is None
