import pytest
import torch

from pipeline.detector.inference.stream import STRIDE
from pipeline.mining.augmented_view import LIKELY, NEAR_IOU, AugmentedViewEvidence, compare_augmented_view
from pipeline.mining.proposals import SAME_PLACE_IOU
from tests.mining.squares import SquareFinder, found, image

SQUARES = [(4, 8, 24, 28, 1, 255), (36, 4, 56, 20, 2, 204), (40, 28, 60, 44, 3, 153)]


def batch_of(*images):
    return torch.stack([torch.from_numpy(pixels).permute(2, 0, 1) for pixels in images])


def scene(*squares):
    return image(*squares, size=(64, 64))


class Sees(SquareFinder):
    """Sees the same in every image, whatever is in it."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __call__(self, images):
        self.shapes.append(tuple(images.shape))
        return [self.seen for _ in images]


@pytest.mark.parametrize("enlarged", [1.0, 1.2, 1.5, 0.75])
def test_what_is_there_is_seen_again_and_what_is_not_is_not(enlarged):
    finder, batch = SquareFinder(), batch_of(scene(*SQUARES), scene(), scene(SQUARES[0]))
    proposals = [finder(batch)[0], found(), found([(30, 30, 50, 50)], [0.9], [1])]
    seen = compare_augmented_view(finder, batch, proposals, enlarged)
    assert [len(of_image.score) for of_image in seen] == [3, 0, 1]
    torch.testing.assert_close(seen[0].score, proposals[0].scores, atol=0.05, rtol=0)
    assert (seen[0].iou > 0.8).all()
    assert seen[0].mass.tolist() == pytest.approx([2.4] * 3, abs=0.1)
    assert [float(getattr(seen[2], name)[0]) for name in ("score", "iou", "near", "conflict", "votes")] == [0.0] * 5
    assert seen[2].mass.tolist() == pytest.approx([1.0], abs=0.05)


@pytest.mark.parametrize(
    ("enlarged", "shape"), [(1.0, (64, 64)), (1.5, (96, 96)), (1.2, (96, 96))], ids=["same", "larger", "padded"]
)
def test_the_image_is_mirrored_and_larger(enlarged, shape):
    finder = Sees(found())
    compare_augmented_view(finder, batch_of(scene(*SQUARES)), [found()], enlarged)
    assert finder.shapes == [(1, 3, *shape)]
    assert all(side % STRIDE == 0 for side in shape)


# Boxes of a mirrored 64-pixel image: x runs from the right.
HERE = (44, 10, 64, 30)
PROPOSAL = found([(0, 10, 20, 30)], [0.7], [1])


def of(*seen):
    boxes, scores, labels = zip(*seen, strict=True)
    (evidence,) = compare_augmented_view(Sees(found(boxes, scores, labels)), batch_of(scene()), [PROPOSAL], 1.0)
    return {name: pytest.approx(float(value[0]), abs=1e-6) for name, value in vars(evidence).items()}


def expected(**given):
    return {**dict.fromkeys(("score", "iou", "near", "conflict", "votes", "mass"), 0.0), **given}


def test_the_surest_of_the_same_class_at_the_same_place():
    evidence = of((HERE, 0.5, 1), ((46, 10, 64, 30), 0.6, 1), ((0, 0, 10, 10), 0.9, 1))
    assert evidence == expected(score=0.6, iou=0.9, near=0.6, votes=1.1, mass=2.0)


def test_near_and_overlapping_ones():
    assert SAME_PLACE_IOU == 0.6
    assert NEAR_IOU == 0.4
    evidence = of(((54, 10, 64, 30), 0.5, 1), ((57, 10, 64, 30), 0.4, 1))
    assert evidence == expected(near=0.5, votes=0.9, mass=0.9)


def test_another_class_at_the_same_place_contradicts():
    assert of((HERE, 0.8, 2)) == expected(conflict=0.8, mass=0.8)


def test_unlikely_ones_do_not_count_as_mass():
    assert LIKELY == 0.1
    assert of((HERE, 0.09, 1)) == expected(score=0.09, iou=1.0, near=0.09, votes=0.09)


def test_joined_in_order():
    first, second = (
        compare_augmented_view(SquareFinder(), batch_of(scene(*SQUARES)), [proposals], 1.0)[0]
        for proposals in (PROPOSAL, found())
    )
    assert len(AugmentedViewEvidence.join([second, first, first]).score) == 2
