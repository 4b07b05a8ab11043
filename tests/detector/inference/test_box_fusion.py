import pytest
import torch
from pydantic import ValidationError

from pipeline.detector.inference.box_fusion import detect_fused, fuse
from pipeline.settings import FusionSettings
from tests.mining.miners import miner, pool
from tests.mining.squares import SquareFinder, found, image

SQUARES = [(4, 8, 24, 28, 1, 255), (36, 4, 56, 20, 2, 204), (40, 28, 60, 44, 3, 153)]
HERE, NEAR, ELSEWHERE = (10, 10, 30, 30), (12, 10, 32, 30), (40, 40, 60, 60)


def assert_same(detections, expected, atol=1e-5):
    for name in ("boxes", "scores", "embeddings"):
        torch.testing.assert_close(getattr(detections, name), getattr(expected, name), atol=atol, rtol=0)
    assert detections.labels.tolist() == expected.labels.tolist()


def test_one_view_is_taken_as_it_is():
    seen = found([HERE, ELSEWHERE], [0.9, 0.4], [1, 2])
    assert_same(fuse([seen], 0.55), seen)


def test_a_box_lies_where_the_surer_views_see_it():
    fused = fuse([found([HERE], [0.9], [1]), found([NEAR], [0.3], [1])], 0.55)
    assert_same(fused, found([(10.5, 10, 30.5, 30)], [0.6], [1]))


def test_what_half_of_the_views_see_has_half_its_score():
    fused = fuse([found([HERE, ELSEWHERE], [0.8, 0.6], [1, 1]), found([HERE], [0.8], [1])], 0.55)
    assert_same(fused, found([HERE, ELSEWHERE], [0.8, 0.3], [1, 1]))


def test_a_view_counts_once_however_often_it_sees_an_object():
    fused = fuse([found([HERE, NEAR], [0.8, 0.8], [1, 1]), found()], 0.55)
    assert_same(fused, found([(11, 10, 31, 30)], [0.4], [1]))


def test_classes_are_fused_apart():
    fused = fuse([found([HERE], [0.8], [1]), found([HERE], [0.6], [2])], 0.55)
    assert_same(fused, found([HERE, HERE], [0.4, 0.3], [1, 2]))


def test_what_no_view_sees_is_not_there():
    assert len(fuse([found(), found()], 0.55)) == 0


@pytest.mark.parametrize(
    ("scales", "mirrored", "views"), [((1.0,), False, 1), ((1.0, 1.5), True, 4), ((0.75, 1.0, 1.2), False, 3)]
)
def test_objects_are_found_where_they_are(scales, mirrored, views):
    finder = SquareFinder()
    images = torch.from_numpy(image(*SQUARES, size=(64, 64))).permute(2, 0, 1)[None]
    (fused,) = detect_fused(finder, images, FusionSettings(scales=scales, mirrored=mirrored))
    assert len(finder.shapes) == views
    assert fused.labels.tolist() == [1, 2, 3]
    torch.testing.assert_close(
        fused.boxes, torch.tensor([square[:4] for square in SQUARES], dtype=torch.float32), atol=1.0, rtol=0
    )
    torch.testing.assert_close(fused.scores, torch.tensor([1.0, 0.8, 0.6]), atol=0.05, rtol=0)


def test_proposals_are_what_the_views_agree_on(tmp_path):
    refs, finder = pool(tmp_path), SquareFinder()
    plain = miner().mine(refs)
    fused = miner(finder=finder, fusion={"enabled": True}).mine(refs)
    assert len(fused.proposals) == len(plain.proposals) > 0
    assert set(fused.proposals["image_id"].to_pylist()) == set(plain.proposals["image_id"].to_pylist())
    for name in ("x1", "y1", "x2", "y2"):
        assert fused.proposals[name].to_pylist() == pytest.approx(plain.proposals[name].to_pylist(), abs=1.0)
    assert fused.checks["proposal_id"].to_pylist() == plain.checks["proposal_id"].to_pylist()


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, 5.0)])
def test_impossible_views_are_refused(scales):
    with pytest.raises(ValidationError):
        FusionSettings(scales=scales)
