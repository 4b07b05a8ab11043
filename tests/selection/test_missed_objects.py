import numpy as np
import pytest

from pipeline.detector.evaluation.proposal_matching import match_proposals
from pipeline.selection.missed_objects import fit_missed_objects, recall_by_class_and_size
from tests.builders import box, sample
from tests.selection.evidence import evidence_of
from tests.selection.keeping import written_and_read

LABELS = ("bolt", "nut")
SMALL, MEDIUM, LARGE = (0, 0, 31, 32), (100, 0, 132, 32), (200, 0, 296, 96)


# Recall


def proposal(image, corners, label="bolt"):
    x1, y1, x2, y2 = corners
    return {"image_id": image, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "label": label}


def recall_of(samples, *proposals):
    rows = evidence_of(*proposals)
    return recall_by_class_and_size(samples, rows, match_proposals(rows, samples, 0.5))


def test_recall_by_class_and_size():
    first = sample("a", box(*SMALL), box(*MEDIUM), box(*LARGE, label="nut"))
    second = sample("b", box(*SMALL))
    found = recall_of([first, second], proposal(first.image_id, MEDIUM), proposal(second.image_id, SMALL))
    counts = [(row.label, row.size, row.objects, row.found) for row in found]
    assert counts == [("bolt", "small", 2, 1), ("bolt", "medium", 1, 1), ("nut", "large", 1, 0)]


@pytest.mark.parametrize(
    ("objects", "found", "lower", "upper"),
    [(10, 10, 0.6915, 1.0), (10, 0, 0.0, 0.3085), (10, 5, 0.1871, 0.8129), (1, 1, 0.025, 1.0)],
    ids=["all", "none", "half", "a single one"],
)
def test_its_interval_is_that_of_clopper_and_pearson(objects, found, lower, upper):
    samples = [sample(f"i{number}", box(*MEDIUM)) for number in range(objects)]
    (recall,) = recall_of(samples, *(proposal(own.image_id, MEDIUM) for own in samples[:found]))
    assert (recall.objects, recall.found) == (objects, found)
    assert (recall.lower, recall.upper) == pytest.approx((lower, upper), abs=1e-4)


def test_an_object_that_two_proposals_find_is_found_once():
    own = sample("a", box(*MEDIUM), box(*LARGE))
    (medium, large) = recall_of([own], proposal(own.image_id, MEDIUM), proposal(own.image_id, MEDIUM))
    assert (medium.found, large.found) == (1, 0)


def test_no_objects_have_no_recall():
    assert recall_of([sample("a")]) == []


# Expected missed objects


def world(count, seed=0):
    """Images in which as many bolts are missed as are seen weakly, and nuts now and then."""
    random = np.random.default_rng(seed)
    samples, rows, p_correct, right = [], [], [], []
    for number in range(count):
        weak, sure = random.poisson(2), random.poisson(3)
        missed, nuts = random.poisson(0.5 * weak), random.poisson(0.2)
        own = sample(
            f"i{seed}-{number}",
            *(box(*MEDIUM) for _ in range(sure + missed)),
            *(box(*MEDIUM, label="nut") for _ in range(nuts)),
        )
        samples.append(own)
        rows += [{"image_id": own.image_id}] * (weak + sure)
        p_correct += [0.2] * weak + [0.95] * sure
        right += [False] * weak + [True] * sure
    return samples, evidence_of(*rows), np.array(p_correct), np.array(right, dtype=bool)


def fitted(count=200):
    return fit_missed_objects(*world(count), LABELS)


def test_misses_are_expected_where_they_are():
    samples, rows, p_correct, right = world(800, seed=1)
    images = [own.image_id for own in samples]
    expected = fitted(800).predict(rows, p_correct, images)
    true = np.array([len(own.boxes) for own in samples]) - np.bincount(
        [images.index(image_id) for image_id in rows["image_id"].to_pylist()], weights=right, minlength=len(images)
    )
    assert expected.shape == (800, 2)
    assert expected.sum() == pytest.approx(true.sum(), rel=0.15)
    assert np.corrcoef(expected[:, 0], true)[0, 1] > 0.4
    assert expected[:, 1].mean() == pytest.approx(0.2, abs=0.08)


def test_an_image_far_from_all_that_was_held_back_gets_no_absurd_number():
    crowd = evidence_of(*[{"image_id": "crowd"}] * 5_000)
    expected = fitted().predict(crowd, np.full(5_000, 0.3), ["crowd"])
    assert 0 < expected.sum() < 100


def test_the_order_of_images_and_proposals_has_no_part_in_it():
    samples, rows, p_correct, _ = world(20, seed=2)
    images, backwards = [own.image_id for own in samples], np.arange(len(p_correct))[::-1]
    model = fitted()
    np.testing.assert_allclose(
        model.predict(rows, p_correct, images)[::-1],
        model.predict(rows.take(backwards), p_correct[backwards], images[::-1]),
    )


def test_without_held_back_images_next_to_nothing_is_expected():
    model = fit_missed_objects([], evidence_of(), np.zeros(0), np.zeros(0, dtype=bool), LABELS)
    assert (model.predict(evidence_of({"image_id": "a"}), np.array([0.5]), ["a", "b"]) < 0.05).all()


def test_where_nothing_was_missed_little_is_expected_and_less_the_more_was_looked_at():
    def expected(count):
        samples = [sample(f"i{number}", box(*MEDIUM)) for number in range(count)]
        rows = evidence_of(*({"image_id": own.image_id} for own in samples))
        model = fit_missed_objects(samples, rows, np.full(count, 0.9), np.ones(count, dtype=bool), LABELS)
        return float(model.predict(rows, np.full(count, 0.9), ["i"]).sum())

    assert 0 < expected(100) < expected(5) < 0.05


def test_it_is_read_back_as_it_was(tmp_path):
    model = fitted(50)
    assert written_and_read(model, tmp_path) == model
