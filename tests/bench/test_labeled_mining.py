from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.bench.grid import Taken, claim
from pipeline.bench.labeled_mining import LabeledMining
from pipeline.records import Split


@pytest.fixture(scope="module")
def mining(tiny):
    return LabeledMining.trained(tiny[0].settings())


@pytest.fixture(scope="module")
def held_back(mining):
    return mining.fully_checked(Split.VAL)


def test_every_proposal_of_a_split_is_checked(mining, held_back):
    hosts = mining.settings.mining.hosts
    assert {sample.split for sample in held_back.samples} == {Split.VAL}
    assert set(held_back.evidence["checks"].to_pylist()) == {hosts}
    assert held_back.evidence["tta_score"].null_count == held_back.evidence["closeup_score"].null_count == 0
    assert 0 < held_back.right.sum() < len(held_back.right)


def test_what_was_mined_is_read_by_the_next_benchmark(mining, held_back, never):
    never("pipeline.mining.miner.Miner.mine")
    again = mining.fully_checked(Split.VAL)
    assert again.evidence.equals(held_back.evidence)
    assert again.matched.tolist() == held_back.matched.tolist()


def test_other_settings_of_mining_mine_anew(mining, held_back, never):
    settings = mining.settings
    changed = settings.model_copy(update={"mining": settings.mining.model_copy(update={"margin": 0.0})})
    never("pipeline.mining.miner.Miner.mine")
    with pytest.raises(AssertionError, match="was called"):
        LabeledMining.trained(changed).fully_checked(Split.VAL)


def test_a_part_of_a_split_is_judged_by_itself(mining, held_back):
    few = mining.fully_checked(Split.VAL, most=3)
    assert few.samples == held_back.samples[:3]
    own = {sample.image_id for sample in few.samples}
    assert few.evidence["proposal_id"].to_pylist() == [
        row["proposal_id"]
        for row in held_back.evidence.select(["proposal_id", "image_id"]).to_pylist()
        if row["image_id"] in own
    ]
    assert set(few.evidence["checks"].to_pylist()) == {mining.settings.mining.hosts}


def test_a_split_that_another_process_mines_is_taken(mining, held_back):
    folder = mining.cycle.folder.folder("bench")
    (table,) = [name for name in folder.names() if name.startswith("val-") and name.endswith("proposals.parquet")]
    with claim(Path(folder.uri) / table.replace(".proposals.parquet", ".lock")), pytest.raises(Taken):
        mining.fully_checked(Split.VAL)


def test_p_correct_of_the_pool_comes_from_the_held_back_images_alone(mining, held_back):
    applied = mining.applied()
    assert applied.held_back.evidence.equals(held_back.evidence)
    assert {sample.split for sample in applied.pool.samples} == {Split.TEST}
    assert applied.pool.bias == held_back.bias, "the pool is corrected as held-back images tell"
    assert len(applied.p_correct) == len(applied.pool.right)
    assert ((applied.p_correct > 0) & (applied.p_correct < 1)).all()
    assert len(applied.out_of_fold) == len(held_back.right)
