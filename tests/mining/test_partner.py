"""What a second detector says of proposals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from pipeline.mining.partner import FOUND_IOU, PARTNER_NAMES, compare_partner
from tests.mining.miners import by_id, miner, pool
from tests.mining.squares import SquareFinder, found

BOX = [0, 0, 10, 10]


@pytest.mark.parametrize(
    ("seen", "score", "iou"),
    [
        (found(), 0.0, 0.0),
        (found([BOX], [0.7], [1]), 0.7, 1.0),
        (found([BOX], [0.7], [2]), 0.0, 0.0),
        (found([[0, 0, 10, 5]], [0.7], [1]), 0.7, 0.5),
        (found([[0, 0, 10, 4.9]], [0.7], [1]), 0.0, 0.0),
        (found([BOX, [0, 0, 10, 8]], [0.3, 0.6], [1, 1]), 0.6, 0.8),
    ],
    ids=["nothing", "the same", "another class", "just there", "elsewhere", "the surest"],
)
def test_it_finds_the_object_or_not(seen, score, iou):
    said = compare_partner(found([BOX], [0.9], [1]), seen)
    assert said.score.tolist() == pytest.approx([score])
    assert said.iou.tolist() == pytest.approx([iou])


@pytest.mark.parametrize("seen", [found(), found([BOX], [0.7], [1])])
def test_no_proposals(seen):
    assert len(compare_partner(found(), seen)) == 0


def test_each_proposal_is_compared_as_if_it_were_alone():
    random = torch.Generator().manual_seed(0)

    def drawn(count):
        corners = torch.rand(count, 2, generator=random) * 20
        boxes = torch.cat([corners, corners + 5 + torch.rand(count, 2, generator=random) * 10], 1)
        labels = torch.randint(1, 3, (count,), generator=random)
        return found(boxes.tolist(), torch.rand(count, generator=random).tolist(), labels.tolist())

    proposals, seen = drawn(30), drawn(40)
    said = compare_partner(proposals, seen)
    for row, (box, label) in enumerate(zip(proposals.boxes, proposals.labels, strict=True)):
        best, place = 0.0, 0.0
        for other, score, theirs in zip(seen.boxes, seen.scores, seen.labels, strict=True):
            iou = float(box_iou(box[None], other[None]))
            if theirs == label and iou >= FOUND_IOU and score > best:
                best, place = float(score), iou
        assert (float(said.score[row]), float(said.iou[row])) == pytest.approx((best, place))
    assert 0 < (said.score > 0).sum() < 30


class Blind(SquareFinder):
    """Finds squares of the first class alone, half as surely."""

    def _find(self, pixels):
        seen = super()._find(pixels)
        own = seen[seen.labels == 1]
        return replace(own, scores=own.scores / 2)


def test_a_partner_is_asked_about_every_proposal(tmp_path):
    refs, blind = pool(tmp_path), Blind()
    mined = replace(miner(), partner=blind).mine(refs).proposals
    label, score = (mined[name].to_numpy(zero_copy_only=False) for name in ("label", "score"))
    first = label == SquareFinder().labels[0]
    assert 0 < first.sum() < len(first)
    assert mined["partner_score"].to_numpy() == pytest.approx(np.where(first, score / 2, 0), abs=1e-6)
    assert mined["partner_iou"].to_numpy() == pytest.approx(first.astype(float))
    assert sum(shape[0] for shape in blind.shapes) == len(refs), "one look at each image, and none at pastes"


def test_a_partner_changes_nothing_else(tmp_path):
    refs = pool(tmp_path)
    alone, beside = miner().mine(refs), replace(miner(), partner=Blind()).mine(refs)
    assert all(alone.proposals[name].null_count == len(alone.proposals) for name in PARTNER_NAMES)
    assert by_id(beside.checks).equals(by_id(alone.checks))
    without = [by_id(mined.proposals).drop_columns(list(PARTNER_NAMES)) for mined in (alone, beside)]
    assert without[0].equals(without[1])
