import numpy as np
import pytest

from pipeline.selection import diversity
from pipeline.selection.diversity import diverse, image_embeddings
from tests.selection.evidence import evidence_of

EMPTY = np.zeros((0, 2))


def embedded(rows, weights, image_ids):
    """From `(image, vector)`."""
    table = evidence_of(*({"image_id": image, "embedding": vector} for image, vector in rows))
    return image_embeddings(table, np.array(weights, dtype=np.float64), image_ids)


# Embeddings of images


@pytest.mark.parametrize("image_ids", [[], ["a"], ["a", "b"]])
def test_without_proposals_images_are_zero(image_ids):
    vectors = embedded([], [], image_ids)
    assert len(vectors) == len(image_ids)
    assert not vectors.any()


@pytest.mark.parametrize(
    ("rows", "weights", "expected"),
    [
        ([("a", [1.0, 0.0])], [0.5], [[1, 0], [0, 0]]),
        ([("a", [1.0, 0.0]), ("a", [0.0, 1.0])], [1, 1], [[0.5, 0.5], [0, 0]]),
        ([("a", [1.0, 0.0]), ("b", [0.0, 1.0]), ("a", [0.0, 1.0])], [3, 1, 1], [[0.75, 0.25], [0, 1]]),
        ([("a", [1.0, 0.0]), ("a", [0.0, 1.0])], [0, 1], [[0, 1], [0, 0]]),
        ([("a", [1.0, 0.0])], [0], [[0, 0], [0, 0]]),
        ([("other", [1.0, 0.0]), ("b", [1.0, 0.0])], [1, 1], [[0, 0], [1, 0]]),
    ],
    ids=["one", "mean", "weighted", "weight zero", "all weights zero", "another image"],
)
def test_weighted_means(rows, weights, expected):
    np.testing.assert_allclose(embedded(rows, weights, ["a", "b"]), expected)


# Diversity


@pytest.mark.parametrize(("images", "count"), [(0, 0), (0, 3), (3, 3), (3, 9)])
def test_where_there_are_not_more_all_are_taken(images, count):
    assert diverse(np.eye(max(images, 2))[:images], np.ones(images), count, 0).tolist() == list(range(images))


def test_none_are_taken_of_none_wanted():
    assert diverse(np.eye(4), np.ones(4), 0, 0).tolist() == []


def clusters(copies, spread, seed=0):
    """Two clusters far apart, one after the other."""
    noise = np.random.default_rng(seed).normal(0, spread, (2 * copies, 2))
    return np.repeat([[1.0, 0.0], [0.0, 1.0]], copies, axis=0) + noise


@pytest.mark.parametrize("spread", [0.0, 0.01], ids=["copies", "near copies"])
@pytest.mark.parametrize("seed", range(8))
def test_equal_values_take_one_of_each_cluster(seed, spread):
    chosen = diverse(clusters(10, spread), np.ones(20), 2, seed)
    assert sorted(chosen // 10) == [0, 1]


def test_more_wanted_than_kinds_takes_the_best_of_each_kind_and_then_by_value():
    embeddings = np.array([[1.0, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1]])
    values = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.2])
    assert diverse(embeddings, values, 1, 0).tolist() in [[0], [1], [2], [3], [4], [5]]
    assert diverse(embeddings, values, 2, 0).tolist() == [0, 5]
    assert diverse(embeddings, values, 3, 0).tolist() == [0, 1, 5]
    assert diverse(embeddings, values, 5, 0).tolist() == [0, 1, 2, 3, 5]


def test_all_alike_are_taken_by_value():
    assert diverse(np.zeros((6, 3)), np.array([1.0, 5, 2, 6, 3, 4]), 3, 0).tolist() == [1, 3, 5]


def test_higher_values_are_likelier():
    """Twenty images on a circle, half of them worth ten times the others."""
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    values = np.where(np.arange(20) % 2, 1.0, 0.1)
    chosen = np.concatenate([diverse(embeddings, values, 4, seed) for seed in range(40)])
    assert (chosen % 2 == 1).mean() > 0.75


@pytest.mark.parametrize(
    "values", [np.zeros(30), np.ones(30), np.geomspace(1e-9, 1e3, 30)], ids=["zero", "equal", "far apart"]
)
def test_the_number_wanted_is_drawn_without_repeats(values):
    embeddings = np.random.default_rng(0).normal(size=(30, 4))
    for count in range(30):
        chosen = diverse(embeddings, values, count, 3)
        assert len(set(chosen.tolist())) == count
        assert chosen.tolist() == sorted(chosen.tolist())


def test_the_seed_decides():
    embeddings = np.random.default_rng(0).normal(size=(50, 4))
    drawn = [diverse(embeddings, np.ones(50), 5, seed).tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    "values", [np.zeros(60), np.ones(60), np.geomspace(1e-9, 1e3, 60)], ids=["zero", "equal", "far apart"]
)
@pytest.mark.parametrize("copies", [1, 2])
def test_many_are_drawn_without_repeats(values, copies, monkeypatch):
    monkeypatch.setattr(diversity, "_GREEDY_COUNT", 0)
    embeddings = np.repeat(np.random.default_rng(0).normal(size=(60 // copies, 4)), copies, axis=0)
    for count in range(1, 30):
        chosen = diverse(embeddings, values, count, 3)
        assert len(set(chosen.tolist())) == count
        assert chosen.tolist() == sorted(chosen.tolist())


def test_many_are_drawn_as_likely_as_one_by_one(monkeypatch):
    """Pairs out of four images, against their probabilities under k-means++."""
    monkeypatch.setattr(diversity, "_GREEDY_COUNT", 0)
    embeddings, values = np.array([[0.0, 0], [1, 0], [0, 2], [3, 3]]), np.array([1.0, 2, 3, 4])
    squared = ((embeddings[:, None] - embeddings[None]) ** 2).sum(-1)
    expected = np.zeros((4, 4))
    for first in range(4):
        second = values * squared[first]
        expected[first] = values[first] / values.sum() * second / second.sum()
    seeds = 4000
    drawn = [tuple(diverse(embeddings, values, 2, seed).tolist()) for seed in range(seeds)]
    for one in range(4):
        for other in range(one + 1, 4):
            share = expected[one, other] + expected[other, one]
            assert abs(drawn.count((one, other)) / seeds - share) < 4 * np.sqrt(share / seeds)
