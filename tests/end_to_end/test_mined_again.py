"""What one model found in a cycle is not looked for again in the next."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.artefacts import MiningRun
from pipeline.cycle import open_cycle
from pipeline.settings import load_settings
from pipeline.stages.mine import mine
from tests.end_to_end.project import run_cycles, write_config


@pytest.fixture(scope="module")
def config(tiny_data, tmp_path_factory):
    path = write_config(tmp_path_factory.mktemp("again"), tiny_data, mining={"precision": "auto"})
    run_cycles(path)
    return path


def test_the_same_model_detects_only_in_images_where_it_had_found_nothing(config):
    first, second = (open_cycle(load_settings(config), datetime.now(UTC)) for _ in range(2))
    assert first.number == second.number == 1, "not finished, so the same cycle"
    before, again = first.before().read(MiningRun), mine(second)
    assert again.model_id == before.model_id
    for cost, prefix in ((again.cost, ""), (again.held_back_cost, "held_back_")):
        assert cost.passes == cost.augmented_views == cost.closeups == cost.pastes == 0
        for name in ("proposals", "checks"):
            tables = [first.workspace.cycle(number).read_table(f"{prefix}{name}.parquet") for number in (0, 1)]
            keys = [(key, "ascending") for key in ("proposal_id", "number") if key in tables[0].column_names]
            assert tables[1].sort_by(keys).equals(tables[0].sort_by(keys))


def test_proposals_of_an_older_version_are_mined_afresh(config):
    cycle = open_cycle(load_settings(config), datetime.now(UTC))
    before = cycle.workspace.cycle(0)
    for prefix in ("", "held_back_"):
        table = before.read_table(f"{prefix}proposals.parquet")
        before.write_table(f"{prefix}proposals.parquet", table.drop_columns(["tta_score"]))
    cycle.folder.remove("mining.json")
    assert mine(cycle).held_back_cost.augmented_views > 0
    assert "tta_score" in cycle.folder.read_table("proposals.parquet").column_names
