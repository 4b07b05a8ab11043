"""Which proposals are checked, and what that may cost."""

from collections import Counter

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.mining.columns import CORNERS
from pipeline.mining.consistency import gather_evidence
from pipeline.mining.redetection import prices
from pipeline.records import PROPOSAL_SCHEMA, TTA_FIELDS
from pipeline.settings import MiningSettings
from tests.mining.miners import PLACES, WINDOW_PX, Only, miner, pool
from tests.mining.squares import LABELS, SquareFinder, empty_hosts, found, image, save_image

# What is worth a check


@pytest.mark.parametrize(
    ("closer", "pasted"),
    [((), ()), (("bolt", "gear"), ()), (("bolt", "gear"), ("gear",)), ((), ("gear",)), (LABELS, LABELS)],
    ids=["none", "some closer", "some closer, some pasted", "pasted without another look", "all"],
)
def test_only_what_is_worth_it_is_checked(tmp_path, closer, pasted):
    policy, refs = Only(closer, pasted), pool(tmp_path)
    everything, mined = miner(hosts=2).mine(refs), miner(hosts=2).mine(refs, policy)
    tta, closeup = [name for name, _ in TTA_FIELDS], ["closeup_score", "closeup_iou"]
    kept = [name for name in PROPOSAL_SCHEMA.names if name not in (*tta, *closeup)]
    assert mined.proposals.select(kept).equals(everything.proposals.select(kept))
    labels, images = (mined.proposals[name].to_pylist() for name in ("label", "image_id"))
    shown = [label in closer for label in labels]
    augmented_images = {image for image, is_shown in zip(images, shown, strict=True) if is_shown}
    augmented = [image in augmented_images for image in images]
    for names, rows in ((tta, augmented), (closeup, shown)):
        for name in names:
            values = zip(rows, everything.proposals[name].to_pylist(), strict=True)
            assert mined.proposals[name].to_pylist() == [value if measured else None for measured, value in values]
    assert mined.cost.augmented_views == len(augmented_images)
    wanted = [label in pasted for label in labels]
    ids = [name for name, chosen in zip(mined.proposals["proposal_id"].to_pylist(), wanted, strict=True) if chosen]
    assert Counter(mined.checks["proposal_id"].to_pylist()) == dict.fromkeys(ids, 2)
    assert (mined.cost.closeups, mined.cost.pastes) == (sum(shown), 2 * sum(wanted))
    assert (mined.cost.due, mined.cost.pasted, mined.cost.readings) == (sum(wanted), sum(wanted), 2 * sum(wanted))


def test_checks_of_a_chosen_proposal_are_its_own(tmp_path):
    """Ids, never positions: what is found of the gear is written to the gear, whoever else is left out."""
    ref = save_image(tmp_path, "one", image((4, 6, 16, 20, 1, 250), (24, 6, 40, 20, 2, 180), (46, 6, 58, 20, 3, 130)))
    mined = miner(hosts=2).mine([ref], Only(("gear",), ("gear",)))
    gear = mined.proposals.filter(pc.equal(mined.proposals["label"], "gear")).to_pylist()[0]
    assert gear["closeup_score"] == pytest.approx(180 / 255, abs=0.05)
    assert set(mined.checks["proposal_id"].to_pylist()) == {gear["proposal_id"]}
    assert mined.checks["score"].to_pylist() == pytest.approx([180 / 255] * 2, abs=0.05)


# Rounds


class NowAndThen(SquareFinder):
    """Sees no gears on every second canvas."""

    def __call__(self, images):
        self.calls = getattr(self, "calls", 0)
        seen = []
        for detections in super().__call__(images):
            self.calls += 1
            seen.append(detections[detections.labels != 2] if self.calls % 2 else detections)
        return seen


WHOLE = {"window": 100.0, "into": empty_hosts(5), "hosts": 5}
"""Whole hosts: each paste has a canvas of its own."""


@pytest.mark.parametrize(("label", "name", "hits"), [(2, "gear", {False, True}), (1, "bolt", {True})])
def test_a_box_gets_more_pastes_where_the_first_two_disagree(tmp_path, label, name, hits):
    ref = save_image(tmp_path, name, image((20, 10, 34, 22, label, 204)))
    before = miner().mine([ref], Only())
    mined = miner(finder=NowAndThen(), **WHOLE).mine([ref], Only((), LABELS), before)
    assert set(mined.checks["hit"].to_pylist()[:2]) == hits
    assert len(mined.checks) == (5 if len(hits) == 2 else 2)


def test_pastes_that_are_added_follow_those_that_were_drawn_before(tmp_path):
    ref = save_image(tmp_path, "gear", image((20, 10, 34, 22, 2, 204)))
    before = miner().mine([ref], Only())
    more, two = (
        miner(finder=finder, **WHOLE).mine([ref], Only((), LABELS), before).checks.sort_by("number")
        for finder in (NowAndThen(), SquareFinder())
    )
    assert (more["number"].to_pylist(), two["number"].to_pylist()) == ([0, 1, 2, 3, 4], [0, 1])
    assert two.select(PLACES[:-1]).equals(more.slice(0, 2).select(PLACES[:-1]))
    assert len(set(more["host_id"].to_pylist())) == 5


# Boxes at one place


class TwoNames(SquareFinder):
    """Calls every gear a nut as well, with half of its score."""

    def _find(self, pixels):
        seen = super()._find(pixels)
        gears = seen[seen.labels == 2]
        return found(
            torch.cat([seen.boxes, gears.boxes]),
            [*seen.scores.tolist(), *(gears.scores / 2).tolist()],
            [*seen.labels.tolist(), *[3] * len(gears)],
        )


def test_boxes_at_one_place_share_a_paste_and_each_reads_its_own_class(tmp_path):
    ref = save_image(tmp_path, "one", image((4, 6, 16, 20, 1, 250), (30, 6, 44, 20, 2, 200)))
    mined = miner(finder=TwoNames(), hosts=2).mine([ref])
    assert mined.cost.pastes == 4, "two objects, two hosts each"
    assert (mined.cost.pasted, mined.cost.readings) == (3, 6)
    names = dict(zip(*(mined.proposals[name].to_pylist() for name in ("proposal_id", "label")), strict=True))
    rows = {(names[row["proposal_id"]], row["number"]): row for row in mined.checks.to_pylist()}
    for number in range(2):
        gear, nut, bolt = (rows[label, number] for label in ("gear", "nut", "bolt"))
        assert [names[row["shown_id"]] for row in (gear, nut, bolt)] == ["gear", "gear", "bolt"]
        assert (gear["host_id"], gear["paste_x1"]) == (nut["host_id"], nut["paste_x1"])
        assert gear["score"] == pytest.approx(200 / 255, abs=0.05)
        assert nut["score"] == pytest.approx(100 / 255, abs=0.05)


# What checks may cost


def spent(mined):
    """Detection passes for augmented views and close-ups, and for pastes, by what the tables say was done."""
    proposals, settings = mined.proposals, MiningSettings(window_px=WINDOW_PX)
    augmented = proposals.filter(pc.is_valid(proposals["tta_score"]))
    boxes = np.stack([proposals[name].to_numpy() for name in CORNERS], axis=1)
    each = prices(as_boxes(boxes), torch.tensor([[64, 48]]), settings).numpy()
    closer = proposals["closeup_score"].is_valid().to_numpy(zero_copy_only=False)
    pasted = gather_evidence(proposals, mined.checks)["checks"].to_numpy()[:, None] >= np.array(settings.rounds)
    views = settings.tta_scale**2 * len(set(augmented["image_id"].to_pylist()))
    return views + each[closer, 1].sum(), (each[:, 2:] * pasted).sum()


@pytest.mark.parametrize("budget", [0.0, 0.1, 0.25, 1.0])
def test_checks_cost_no_more_than_their_budgets(tmp_path, budget):
    """Here every box is worth every check."""
    refs = pool(tmp_path, count=24)
    mined = miner(batch_size=4).mine(refs, Only(LABELS, LABELS, budget, budget))
    for cost, without in zip(spent(mined), spent(miner().mine(refs)), strict=True):
        assert cost <= budget * len(refs)
        assert cost >= min(0.7 * budget * len(refs), without), "and are not left out while there is money"
    assert mined.cost.due == len(mined.proposals)


def test_the_surest_boxes_are_pasted_first_where_not_all_can_be(tmp_path):
    refs = pool(tmp_path, count=24)
    mined = miner(batch_size=4).mine(refs, Only((), LABELS, 0.1))
    evidence = gather_evidence(mined.proposals, mined.checks)
    pasted, scores = evidence["checks"].to_numpy() > 0, evidence["score"].to_numpy()
    assert 0 < pasted.sum() == mined.cost.pasted < mined.cost.due == len(pasted)
    assert pasted[scores.argmax()]
    assert scores[pasted].mean() > scores[~pasted].mean()


def test_what_cannot_be_paid_is_left_out_evenly(tmp_path):
    """Early images do not use up what late ones may cost."""
    refs = pool(tmp_path, count=32)
    mined = miner(batch_size=4).mine(refs, Only(LABELS, (), None, 0.5))
    looked = mined.proposals.filter(pc.is_valid(mined.proposals["tta_score"]))["image_id"].to_pylist()
    order = sorted(refs, key=lambda ref: (ref.height / ref.width, ref.image_id))
    places = [number for number, ref in enumerate(order) if ref.image_id in set(looked)]
    assert min(sum(place < 16 for place in places), sum(place >= 16 for place in places)) >= len(places) // 3
