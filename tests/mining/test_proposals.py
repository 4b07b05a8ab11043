import math

import numpy as np
import pytest

from pipeline.mining.proposals import Neighbours, class_scores, compare_neighbours
from tests.mining.squares import found

HERE, NEAR, FAR = (0, 0, 10, 10), (0, 0, 10, 9), (20, 20, 30, 30)


# What other classes say


def test_class_scores_of_nothing():
    scores = class_scores(found(), 3)
    assert scores.entropy.shape == scores.runner_up.shape == (0,)


def nats(*shares):
    return -sum(share * math.log(share) for share in shares if share)


@pytest.mark.parametrize(
    ("boxes", "scores", "labels", "entropy", "runner_up"),
    [
        ([HERE], [1.0], [1], [0.0], [0.0]),
        ([HERE], [0.7], [1], [nats(0.7, 0.3)], [0.0]),
        ([HERE, FAR], [0.7, 0.6], [1, 2], [nats(0.7, 0.3), nats(0.6, 0.4)], [0.0, 0.0]),
        ([HERE, NEAR], [0.5, 0.3], [1, 2], [nats(0.5, 0.3, 0.2)] * 2, [0.3, 0.5]),
        ([HERE, NEAR, NEAR], [0.9, 0.6, 0.3], [3, 1, 2], [nats(0.5, 1 / 3, 1 / 6)] * 3, [0.6, 0.9, 0.9]),
        ([HERE, NEAR], [0.6, 0.4], [1, 1], [nats(0.6, 0.4), nats(0.4, 0.6)], [0.0, 0.0]),
    ],
    ids=["certain", "alone", "elsewhere does not count", "two classes", "sum above one is shared out", "same class"],
)
def test_class_scores(boxes, scores, labels, entropy, runner_up):
    measured = class_scores(found(boxes, scores, labels), 3)
    np.testing.assert_allclose(measured.entropy, entropy, atol=1e-6)
    np.testing.assert_allclose(measured.runner_up, runner_up, atol=1e-6)


# What other proposals say


def neighbours_of(proposals):
    neighbours = vars(compare_neighbours(proposals))
    return {name: [round(value, 4) for value in values.tolist()] for name, values in neighbours.items()}


def test_neighbours_of_nothing():
    assert set(map(tuple, neighbours_of(found()).values())) == {()}
    assert len(Neighbours.join([compare_neighbours(found()), compare_neighbours(found([HERE], [0.5], [1]))]).rank) == 1


def test_a_lonely_proposal():
    assert neighbours_of(found([HERE], [0.5], [1])) == {
        **{key: [0.0] for key in ("duplicate_iou", "conflict_iou", "covered", "covering", "votes", "rank")},
        "crowd": [1.0],
        "best_score": [0.5],
        "class_score": [0.5],
    }


def test_what_surer_proposals_say_of_less_sure_ones():
    """A box, a smaller one of its class inside, a larger one round it, and one of another class at its place."""
    inside, around = (0, 0, 5, 10), (0, 0, 20, 10)
    neighbours = neighbours_of(found([HERE, inside, around, HERE], [0.8, 0.6, 0.4, 0.2], [1, 1, 1, 2]))
    assert neighbours == {
        "duplicate_iou": [0.0, 0.5, 0.5, 0.0],
        "conflict_iou": [0.0, 0.0, 0.0, 1.0],
        "covered": [0.0, 1.0, 0.5, 0.0],
        "covering": [0.0, 0.5, 1.0, 0.0],
        "votes": [1.0, 0.8, 0.8, 0.0],
        "rank": [0.0, 1.0, 2.0, 3.0],
        "crowd": [4.0] * 4,
        "best_score": [0.8] * 4,
        "class_score": [1.8, 1.8, 1.8, 0.2],
    }


def test_far_proposals_have_no_vote():
    assert neighbours_of(found([HERE, FAR, (0, 7, 10, 17)], [0.8, 0.6, 0.4], [1, 1, 1]))["votes"] == [0.0] * 3


@pytest.mark.parametrize("count", [2, 17])
def test_neighbours_are_the_plain_loop(count):
    random = np.random.default_rng(count)
    corners = random.integers(0, 30, (count, 2))
    boxes = np.hstack([corners, corners + random.integers(4, 20, (count, 2))]).astype(float)
    proposals = found(boxes.tolist(), np.sort(random.random(count))[::-1].copy(), random.integers(1, 3, count).tolist())
    neighbours, rows = (
        compare_neighbours(proposals),
        list(zip(proposals.boxes.tolist(), proposals.labels.tolist(), strict=True)),
    )

    def overlap(first, second):
        sides = [min(first[2 + i], second[2 + i]) - max(first[i], second[i]) for i in (0, 1)]
        return max(sides[0], 0) * max(sides[1], 0)

    def area(box):
        return (box[2] - box[0]) * (box[3] - box[1])

    for index, (box, label) in enumerate(rows):
        surer = [other for other, other_label in rows[:index] if other_label == label]
        shares = [overlap(box, other) / area(box) for other in surer]
        assert neighbours.covered[index].item() == pytest.approx(max(shares, default=0.0))
        ious = [overlap(box, other) / (area(box) + area(other) - overlap(box, other)) for other in surer]
        assert neighbours.duplicate_iou[index].item() == pytest.approx(max(ious, default=0.0))
        assert neighbours.covering[index].item() == pytest.approx(
            max((overlap(box, other) / area(other) for other in surer), default=0.0)
        )
