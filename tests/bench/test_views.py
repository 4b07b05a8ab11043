import pytest
import torch

from pipeline.bench.views import best_match_scores, view_agreement
from pipeline.detector.stream import STRIDE
from pipeline.mining.proposals import SAME_PLACE_IOU
from tests.mining.squares import SquareFinder, found, picture

VIEWS = ("flip", "smaller", "flip_smaller")
HERE, NEAR, FAR = (0, 0, 10, 10), (0, 0, 10, 9), (20, 20, 30, 30)


# Matches


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (found(), [0.0, 0.0]),
        (found([HERE, FAR], [0.8, 0.6], [1, 2]), [0.8, 0.6]),
        (found([HERE, NEAR], [0.5, 0.7], [1, 1]), [0.7, 0.0]),
        (found([HERE, FAR], [0.8, 0.6], [2, 1]), [0.0, 0.0]),
        (found([(0, 0, 10, 6), (20, 20, 30, 25.9)], [0.8, 0.6], [1, 2]), [0.8, 0.0]),
    ],
    ids=["nothing seen", "both", "the surer of two", "classes swapped", "at and under the least overlap"],
)
def test_best_match_scores(seen, expected):
    assert SAME_PLACE_IOU == 0.6
    assert best_match_scores(found([HERE, FAR], [0.9, 0.9], [1, 2]), seen).tolist() == pytest.approx(expected)


def test_nothing_is_wanted():
    assert best_match_scores(found(), found([HERE], [0.8], [1])).tolist() == []
    assert best_match_scores(found(), found()).tolist() == []


# Agreement

SQUARES = [(4, 8, 24, 28, 1, 255), (36, 4, 56, 20, 2, 255), (40, 28, 60, 44, 3, 255)]


def images(*pictures):
    return torch.stack([torch.from_numpy(one).permute(2, 0, 1) for one in pictures])


def scene(*squares):
    return picture(*squares, size=(64, 64))


@pytest.mark.parametrize("views", [VIEWS[:1], VIEWS[1:2], VIEWS[2:], VIEWS], ids=[*VIEWS, "all"])
def test_a_perfect_detector_agrees_with_itself(views):
    finder, batch = SquareFinder(), images(scene(*SQUARES), scene(), scene(SQUARES[0]))
    agreement = view_agreement(finder, batch, finder(batch), views)
    assert [len(one) for one in agreement] == [3, 0, 1]
    torch.testing.assert_close(torch.cat(agreement), torch.ones(4), atol=0.03, rtol=0)


def test_a_detector_that_sees_nothing_agrees_with_nothing():
    class Blind(SquareFinder):
        def __call__(self, images):
            return [found() for _ in images]

    batch = images(scene(*SQUARES))
    assert view_agreement(Blind(), batch, SquareFinder()(batch), VIEWS)[0].tolist() == [0.0] * 3


def test_no_views_give_zero():
    finder, batch = SquareFinder(), images(scene(*SQUARES))
    assert view_agreement(finder, batch, finder(batch), ())[0].tolist() == [0.0] * 3


def test_agreement_is_the_mean_over_views():
    class OnlyUnflipped(SquareFinder):
        """Sees nothing where the first column of the picture is dark."""

        def __call__(self, images):
            seen = zip(super().__call__(images), images, strict=True)
            return [one if image[0, 0, 0] > 50 else found() for one, image in seen]

    pixels = scene(*SQUARES)
    pixels[:, -1] = 0
    batch = images(pixels)
    finder = OnlyUnflipped()
    agreement = view_agreement(finder, batch, finder(batch), ("flip", "smaller"))[0]
    torch.testing.assert_close(agreement, torch.full((3,), 0.5), atol=0.02, rtol=0)


@pytest.mark.parametrize(("view", "side"), [("flip", 2), ("smaller", 4), ("flip_smaller", 4)])
@pytest.mark.parametrize("width", [96, 128])
def test_boxes_come_back_exactly(view, side, width):
    """Objects so small that one pixel beside them is another place."""
    finder = SquareFinder()
    squares = [(x, y, x + side, y + side, 1, 255) for x in range(0, width - 4, 12) for y in range(0, 60, 12)]
    batch = images(picture(*squares, size=(width, 64)))
    agreement = view_agreement(finder, batch, finder(batch), (view,))[0]
    assert len(agreement) == len(squares)
    assert (agreement > 0.9).all()


@pytest.mark.parametrize("view", VIEWS)
def test_views_keep_to_the_grid_of_the_feature_pyramid(view):
    finder = SquareFinder()
    for width, height in ((64, 64), (96, 32), (320, 256)):
        view_agreement(finder, torch.zeros(1, 3, height, width, dtype=torch.uint8), [found()], (view,))
        _, _, seen_height, seen_width = finder.shapes[-1]
        share = 0.75 if "smaller" in view else 1.0
        assert seen_height % STRIDE == seen_width % STRIDE == 0
        assert 0 <= seen_height - share * height < STRIDE
        assert 0 <= seen_width - share * width < STRIDE
