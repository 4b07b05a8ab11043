import numpy as np
import pyarrow as pa
import pytest
from scipy.special import logit

from pipeline.selection.calibrator import feature_matrix, folds_of
from pipeline.selection.class_affinity import (
    AFFINITY,
    MEMBER,
    NOTHING,
    ClassAffinity,
    affinity_out_of_fold,
    fit_affinities,
    fit_class_affinity,
    measure_affinity,
    with_affinity,
)
from tests.selection.evidence import evidence_of, with_columns
from tests.selection.keeping import written_and_read

CENTERS = {"bolt": (1.0, 0.0, 0.0), "gear": (0.0, 1.0, 0.0), NOTHING: (0.0, 0.0, 1.0)}


def drawn(count=300, seed=0, noise=0.2, classes=tuple(CENTERS), label="bolt"):
    """Proposals of one class that show objects of several, each class about a place of its own."""
    random = np.random.default_rng(seed)
    shown = random.choice(np.array(classes), count)
    vectors = np.array([CENTERS[name] for name in shown]).reshape(count, 3) + random.normal(0, noise, (count, 3))
    rows = with_columns(
        evidence_of(*[{}] * count),
        embedding=vectors.tolist(),
        label=[label] * count,
        image_id=[f"i{number // 10}" for number in range(count)],
    )
    return rows, shown


def test_an_object_of_its_class_is_like_it_and_another_is_not():
    rows, shown = drawn()
    own, other = fit_class_affinity(rows, shown).measure(drawn(seed=1)[0]).T
    shown = drawn(seed=1)[1]
    assert own[shown == "bolt"].min() > 0 > own[shown != "bolt"].max()
    assert other[shown == "bolt"].min() > 0 > other[shown == "gear"].max()
    background = other[shown == NOTHING]
    assert abs(background.mean()) < abs(other[shown == "gear"].mean()) / 2, "background is no other class"


def test_features_are_bounded():
    rows, shown = drawn(noise=0.0)
    own, other = fit_class_affinity(rows, shown).measure(rows).T
    assert np.abs(own).max() <= logit(1 - 1e-3) + 1e-9
    assert np.abs(other).max() <= np.log(999) + 1e-9
    assert min(np.abs(own).max(), np.abs(other).max()) > 3, "objects that are all alike are recognised surely"


@pytest.mark.parametrize("pair", [("bolt", "gear"), ("bolt", NOTHING), ("gear", NOTHING)])
def test_two_classes(pair):
    """Where scikit-learn keeps a single row of weights."""
    rows, shown = drawn(classes=pair, label=pair[0])
    own = fit_class_affinity(rows, shown).measure(rows)[:, 0]
    assert own[shown == pair[0]].min() > 0 > own[shown == pair[1]].max()


def test_of_a_class_that_nobody_saw_nothing_is_known():
    rows, shown = drawn()
    of_another = with_columns(rows, label=["nut"] * len(rows))
    assert np.isnan(fit_class_affinity(rows, shown).measure(of_another)).all()
    features = feature_matrix(with_affinity(of_another, fit_class_affinity(rows, shown).measure(of_another)), AFFINITY)
    assert (features == 0).all(), "neither for it nor against it"


@pytest.mark.parametrize("shown", [[], [NOTHING], ["bolt", "bolt"]])
def test_where_there_is_nothing_to_learn(shown):
    rows = evidence_of(*[{}] * len(shown))
    made = fit_class_affinity(rows, np.array(shown, dtype=np.str_))
    assert made == ClassAffinity()
    assert made.measure(rows).shape == (len(shown), 2)
    assert np.isnan(made.measure(rows)).all()


@pytest.mark.parametrize("embedding", [[], [0.6, 0.8]])
def test_embeddings_that_are_all_the_same(embedding):
    rows = with_columns(evidence_of({}, {}), embedding=[embedding, embedding])
    assert fit_class_affinity(rows, np.array(["bolt", NOTHING])) == ClassAffinity()


def test_the_affinity_of_an_image_is_learnt_from_other_images():
    """Each image has a look of its own, which gives its own objects away and no others."""
    random = np.random.default_rng(5)
    looks = random.normal(size=(60, 40)).repeat(10, axis=0)
    shown = np.repeat(np.where(random.permutation(60) % 2 == 0, "bolt", NOTHING), 10)
    rows = with_columns(drawn(600)[0], embedding=looks.tolist())
    by_heart = fit_class_affinity(rows, shown).measure(rows)[:, 0]
    unseen = affinity_out_of_fold(rows, shown, folds_of(rows, 5))[:, 0]
    gap = [own[shown == "bolt"].mean() - own[shown == NOTHING].mean() for own in (by_heart, unseen)]
    assert gap[0] > 3
    assert gap[1] < 1
    assert not np.isnan(unseen).any()


def test_without_folds_nothing_is_known():
    rows, shown = drawn(10)
    assert np.isnan(affinity_out_of_fold(rows, shown, [])).all()


def test_each_detector_has_embeddings_of_its_own():
    """The same looks mean the opposite to the second: what is learnt of both at once says nothing."""
    rows, shown = drawn()
    embeddings = np.stack(rows["embedding"].to_pylist())
    both = pa.concat_tables([rows, with_columns(rows, embedding=(-embeddings).tolist())])
    both = both.append_column(MEMBER, pa.array(np.repeat([0, 1], len(rows))))
    objects = np.concatenate([shown, shown])
    affinities = fit_affinities(both, objects, 2)
    measured = measure_affinity(both, affinities)
    assert affinities[0] == fit_class_affinity(rows, shown)
    np.testing.assert_allclose(measured[: len(rows)], affinities[0].measure(rows))
    np.testing.assert_allclose(measured[len(rows) :], measured[: len(rows)], atol=1e-4)
    assert fit_affinities(both.slice(0, len(rows)), shown, 3)[1:] == (ClassAffinity(), ClassAffinity())


def test_one_detector_need_not_be_named():
    rows, shown = drawn()
    made = fit_class_affinity(rows, shown)
    np.testing.assert_array_equal(measure_affinity(rows, [made]), made.measure(rows))
    assert measure_affinity(rows.slice(0, 0), [made]).shape == (0, 2)


def test_it_is_read_back_as_it_was(tmp_path):
    rows, shown = drawn()
    made = fit_class_affinity(rows, shown)
    again = written_and_read(made, tmp_path)
    assert again == made
    np.testing.assert_array_equal(again.measure(rows), made.measure(rows))
