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
from tests.mining.miners import Only, by_id, miner, pool
from tests.mining.squares import LABELS, image, save_image

# What is worth a check


@pytest.mark.parametrize(
    ("alone", "pasted"),
    [((), ()), (("bolt", "gear"), ()), (("bolt", "gear"), ("gear",)), ((), ("gear",)), (LABELS, LABELS)],
    ids=["none", "some alone", "some pasted", "never shown alone, so never pasted", "all"],
)
def test_only_what_is_worth_it_is_checked(tmp_path, alone, pasted):
    policy, refs = Only(alone, pasted), pool(tmp_path)
    everything, mined = miner().mine(refs), miner().mine(refs, policy)
    tta, closeup = [name for name, _ in TTA_FIELDS], ["closeup_score", "closeup_iou"]
    kept = [name for name in PROPOSAL_SCHEMA.names if name not in (*tta, *closeup)]
    assert mined.proposals.select(kept).equals(everything.proposals.select(kept))
    labels, images = (mined.proposals[name].to_pylist() for name in ("label", "image_id"))
    shown = [label in alone for label in labels]
    augmented_images = {image for image, is_shown in zip(images, shown, strict=True) if is_shown}
    augmented = [image in augmented_images for image in images]
    for names, rows in ((tta, augmented), (closeup, shown)):
        for name in names:
            values = zip(rows, everything.proposals[name].to_pylist(), strict=True)
            assert mined.proposals[name].to_pylist() == [value if measured else None for measured, value in values]
    assert mined.cost.augmented_views == len(augmented_images)
    wanted = [label in alone and label in pasted for label in labels]
    ids = [name for name, chosen in zip(mined.proposals["proposal_id"].to_pylist(), wanted, strict=True) if chosen]
    assert Counter(mined.checks["proposal_id"].to_pylist()) == dict.fromkeys(ids, 4)
    assert (mined.cost.closeups, mined.cost.pastes) == (sum(shown), 4 * sum(wanted))


def test_checks_of_a_chosen_proposal_are_its_own(tmp_path):
    """Ids, never positions: what is found of the gear is written to the gear, whoever else is left out."""
    ref = save_image(tmp_path, "one", image((4, 6, 16, 20, 1, 250), (24, 6, 40, 20, 2, 180), (46, 6, 58, 20, 3, 130)))
    mined = miner().mine([ref], Only(("gear",), ("gear",)))
    gear = mined.proposals.filter(pc.equal(mined.proposals["label"], "gear")).to_pylist()[0]
    assert gear["closeup_score"] == pytest.approx(180 / 255, abs=0.05)
    assert set(mined.checks["proposal_id"].to_pylist()) == {gear["proposal_id"]}
    assert mined.checks["score"].to_pylist() == pytest.approx([180 / 255] * 4, abs=0.05)


class HalfPasted(Only):
    """Pastes every class once, and some classes in every round."""

    def advances(self, evidence):
        again = np.array([label in self.pasted for label in evidence["label"].to_pylist()], dtype=bool)
        return again | (evidence["checks"].to_numpy() == 0)


def test_a_box_whose_fate_is_certain_is_pasted_no_more(tmp_path):
    mined = miner(hosts=5).mine(pool(tmp_path), HalfPasted(pasted=("gear",)))
    checks = gather_evidence(mined.proposals, mined.checks).to_pydict()
    assert {"gear", "bolt"} <= set(checks["label"])
    for label, count in zip(checks["label"], checks["checks"], strict=True):
        assert count == (5 if label == "gear" else 3), "three of five, then two more"


def test_rounds_are_the_pastes_that_would_have_been_drawn_at_once(tmp_path):
    refs = pool(tmp_path)
    whole, half = miner(hosts=5).mine(refs), miner(hosts=5).mine(refs, HalfPasted())
    assert by_id(half.checks).equals(by_id(whole.checks.filter(pc.field("number") < 3)))


# What checks may cost


def spent(mined, sizes):
    """Detection passes, by what the tables say was done."""
    proposals, settings = mined.proposals, MiningSettings()
    augmented = proposals.filter(pc.is_valid(proposals["tta_score"]))
    boxes = np.stack([proposals[name].to_numpy() for name in CORNERS], axis=1)
    sides = torch.tensor([sizes[image] for image in proposals["image_id"].to_pylist()])
    each = prices(as_boxes(boxes), sides, settings).numpy()
    closer = proposals["closeup_score"].is_valid().to_numpy(zero_copy_only=False)
    pasted = gather_evidence(proposals, mined.checks)["checks"].to_numpy()[:, None] >= np.array(settings.rounds)
    views = settings.tta_scale**2 * len(set(augmented["image_id"].to_pylist()))
    return views + each[closer, 1].sum() + (each[:, 2:] * pasted).sum()


@pytest.mark.parametrize("budget", [0.0, 0.25, 1.0, 2.0])
def test_checks_cost_no_more_than_their_budget(tmp_path, budget):
    """Here every box is worth every check."""
    refs = pool(tmp_path, count=24)
    mined = miner(batch_size=4).mine(refs, Only(LABELS, LABELS, budget))
    sizes = {ref.image_id: (ref.width, ref.height) for ref in refs}
    cost, without = (spent(result, sizes) for result in (mined, miner().mine(refs)))
    assert cost <= budget * len(refs) < without
    assert cost >= 0.8 * budget * len(refs), "and are not left out while there is money"


def test_what_cannot_be_paid_is_left_out_evenly(tmp_path):
    """Early images do not use up what late ones may cost."""
    refs = pool(tmp_path, count=32)
    mined = miner(batch_size=4).mine(refs, Only(LABELS, LABELS, 0.5))
    looked = mined.proposals.filter(pc.is_valid(mined.proposals["tta_score"]))["image_id"].to_pylist()
    order = sorted(refs, key=lambda ref: (ref.height / ref.width, ref.image_id))
    places = [number for number, ref in enumerate(order) if ref.image_id in set(looked)]
    assert min(sum(place < 16 for place in places), sum(place >= 16 for place in places)) >= len(places) // 3
