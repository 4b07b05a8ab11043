from __future__ import annotations

import pytest
import torch
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from pipeline.detector.models.assign import ALPHA, BETA, NEAREST, TOP, Answers, assign, pyramid_levels
from tests.detector.small import target

SIDES = (8, 4, 2)
BOXES = {
    "nothing": [],
    "one": [(8, 8, 40, 38)],
    "tiny": [(17, 17, 19, 19)],
    "overlapping": [(4, 4, 40, 40), (10, 8, 44, 36), (30, 30, 62, 60)],
    "the same twice": [(8, 8, 40, 38), (8, 8, 40, 38)],
}


MATCHER = Matcher(0.5, 0.4, allow_low_quality_matches=True)


@pytest.fixture
def anchors():
    generator = AnchorGenerator(((24,), (48,), (96,)), ((1.0,),) * 3)
    maps = [torch.zeros(1, 1, side, side) for side in SIDES]
    return generator(ImageList(torch.zeros(1, 3, 64, 64), [(64, 64)]), maps)[0]


@pytest.fixture
def predicted(anchors):
    moved = anchors + 4 * torch.randn(anchors.shape, generator=torch.Generator().manual_seed(0))
    return torch.cat([torch.minimum(moved[:, :2], moved[:, 2:] - 1), moved[:, 2:]], dim=1)


def is_inside(anchor, box) -> bool:
    x, y = (anchor[0] + anchor[2]) / 2, (anchor[1] + anchor[3]) / 2
    return bool(box[0] < x < box[2] and box[1] < y < box[3])


def distance(anchor, box) -> float:
    return float(((anchor[:2] + anchor[2:] - box[:2] - box[2:]) / 2).norm())


def resolve(wanted: list[set[int]], overlaps) -> list[int]:
    """Give each anchor the object that it overlaps most among those that want it."""
    index = []
    for anchor in range(overlaps.shape[1]):
        rivals = [number for number, members in enumerate(wanted) if anchor in members]
        index.append(max(rivals, key=lambda number: float(overlaps[number, anchor])) if rivals else -1)
    return index


def test_levels(anchors):
    assert pyramid_levels(anchors).tolist() == [0] * 64 + [1] * 16 + [2] * 4


@pytest.mark.parametrize("name", BOXES)
def test_atss_is_what_the_paper_says(anchors, predicted, name):
    objects = target(BOXES[name])
    boxes, levels = objects["boxes"], pyramid_levels(anchors)
    overlaps, wanted = box_iou(boxes, anchors), []
    for number, box in enumerate(boxes):
        candidates = []
        for level in range(3):
            members = (levels == level).nonzero().flatten().tolist()
            candidates += sorted(members, key=lambda one: distance(anchors[one], box))[:NEAREST]
        values = overlaps[number, candidates]
        threshold = values.mean() + values.std(unbiased=False)
        wanted.append(
            {one for one in candidates if overlaps[number, one] >= threshold and is_inside(anchors[one], box)}
        )
    said = assign("atss", Answers(anchors, predicted, torch.zeros(len(anchors), 2)), objects, MATCHER)
    assert said.index.tolist() == resolve(wanted, overlaps)
    told = [float(box_iou(predicted[a : a + 1], boxes[o : o + 1])) if o >= 0 else 0.0 for a, o in enumerate(said.index)]
    assert said.quality.tolist() == pytest.approx(told)


@pytest.mark.parametrize("name", BOXES)
def test_task_aligned_is_what_the_paper_says(anchors, predicted, name):
    objects = target(BOXES[name], [number % 2 + 1 for number in range(len(BOXES[name]))])
    boxes, labels = objects["boxes"], objects["labels"]
    scores = torch.rand(len(anchors), 3, generator=torch.Generator().manual_seed(1))
    overlaps, wanted = box_iou(boxes, predicted), []
    alignment = torch.stack([scores[:, label] ** ALPHA * row**BETA for label, row in zip(labels, overlaps, strict=True)]
                            or [torch.zeros(len(anchors))])  # fmt: skip
    for number, box in enumerate(boxes):
        inside = [one for one in range(len(anchors)) if is_inside(anchors[one], box)]
        inside = inside or [min(range(len(anchors)), key=lambda one: distance(anchors[one], box))]
        wanted.append(set(sorted(inside, key=lambda one: -float(alignment[number, one]))[:TOP]))
    said = assign("task_aligned", Answers(anchors, predicted, scores), objects, MATCHER)
    assert said.index.tolist() == resolve(wanted, overlaps)
    for number in range(len(boxes)):
        own = (said.index == number).nonzero().flatten()
        if len(own):
            best = alignment[number, own].max().clamp(min=1e-9)
            expected = alignment[number, own] / best * overlaps[number, own].max()
            assert said.quality[own].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert (said.quality[said.index < 0] == 0).all()


@pytest.mark.parametrize("name", BOXES)
def test_iou_is_torchvisions_matcher(anchors, predicted, name):
    objects = target(BOXES[name])
    said = assign("iou", Answers(anchors, predicted, torch.zeros(len(anchors), 2)), objects, MATCHER)
    expected = MATCHER(box_iou(objects["boxes"], anchors)).tolist() if BOXES[name] else [-1] * len(anchors)
    assert said.index.tolist() == expected
    own = box_iou(predicted, objects["boxes"])
    assert said.quality.tolist() == [float(own[a, o]) if o >= 0 else 0.0 for a, o in enumerate(expected)]


def test_an_object_too_small_for_any_anchor_is_learnt(anchors):
    answers = Answers(anchors, anchors, torch.full((len(anchors), 2), 0.1))
    assert (assign("task_aligned", answers, target(BOXES["tiny"]), MATCHER).index == 0).sum() == 1
