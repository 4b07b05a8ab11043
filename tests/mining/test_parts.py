"""Mining part by part: what a killed run had finished is kept, and the tables are the same to the last byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.artefacts import MiningCost, MiningPart, UnreadableImage
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.mining.checker import CheckEverything
from pipeline.mining.partner import PARTNER_NAMES
from pipeline.mining.parts import PartedMining, known_before
from pipeline.progress import silent
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, ImageRef
from tests.mining.miners import Only, by_id, miner, pool
from tests.mining.squares import SquareFinder

TABLES = ("proposals.parquet", "checks.parquet")


class Killed(BaseException):
    """What ends a run from outside."""


class Mortal(SquareFinder):
    """Ends the run when it has seen so many batches."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def __call__(self, images):
        if self.left == 0:
            raise Killed
        self.left -= 1
        return super().__call__(images)


class Mining:
    """A mining in a folder of its own that can be killed and started again."""

    def __init__(self, folder, refs, part_images=2, before=None):
        self.folder, self.parts = Folder(folder), Folder(folder / "parts")
        self.refs, self.part_images, self.before = refs, part_images, before

    def start(self, finder=None, prefix="", policy=None, progress=silent):
        """A fresh process."""
        fresh = miner(finder=finder or SquareFinder())
        mining = PartedMining([fresh], self.folder, self.parts, self.part_images, self.before)
        return mining.run([(self.refs, policy or CheckEverything())], prefix, progress)

    def tables(self):
        return {name: self.folder.read_bytes(name) for name in TABLES}


def untimed(part):
    return replace(part, cost=replace(part.cost, seconds={}))


def test_nothing_to_mine(tmp_path):
    mining, reports = Mining(tmp_path, []), []
    assert mining.start(progress=lambda *report: reports.append(report)) == MiningPart(MiningCost())
    assert reports == []
    assert mining.folder.read_table("proposals.parquet").equals(PROPOSAL_SCHEMA.empty_table())
    assert mining.folder.read_table("checks.parquet").equals(CHECK_SCHEMA.empty_table())


@pytest.mark.parametrize("part_images", [1, 2, 7, 100])
def test_parts_hold_what_mining_at_once_finds(tmp_path, part_images):
    refs = pool(tmp_path)
    whole, mining = miner().mine(refs), Mining(tmp_path / "run", refs, part_images)
    done = mining.start()
    for name in ("proposals", "checks"):
        assert by_id(mining.folder.read_table(f"{name}.parquet")).equals(by_id(getattr(whole, name)))
    assert (done.cost.proposals, done.cost.pastes) == (whole.cost.proposals, whole.cost.pastes)
    assert done.faults == ()


def test_progress_is_reported_after_every_part(tmp_path):
    reports = []
    Mining(tmp_path / "run", pool(tmp_path, 5)).start(progress=lambda *report: reports.append(report))
    assert reports == [("mining", 2, 5), ("mining", 4, 5), ("mining", 5, 5)]


def test_lists_with_different_prefixes_do_not_meet(tmp_path):
    refs = pool(tmp_path, 4)
    mining = Mining(tmp_path / "run", refs)
    mining.start(prefix="held_back_")
    mining.refs = refs[:2]
    mining.start()
    images = [
        set(mining.folder.read_table(f"{prefix}proposals.parquet")["image_id"].to_pylist())
        for prefix in ("held_back_", "")
    ]
    assert images == [{ref.image_id for ref in refs[1:]}, {refs[1].image_id}]


@pytest.mark.parametrize("finished", [1, 2, 3])
def test_a_killed_run_keeps_its_finished_parts_and_ends_with_the_same_bytes(tmp_path, finished):
    refs = pool(tmp_path)
    whole, killed = Mining(tmp_path / "whole", refs), Mining(tmp_path / "killed", refs)
    uninterrupted, resumed = SquareFinder(), SquareFinder()
    expected = whole.start(uninterrupted)

    def kill(what, done, total):
        if done == 2 * finished:
            raise Killed

    with pytest.raises(Killed):
        killed.start(progress=kill)
    assert not any(killed.folder.exists(name) for name in TABLES), "a table is there whole or not at all"
    kept = {name: killed.parts.read_bytes(name) for name in killed.parts.names()}
    assert len(kept) == 3 * finished
    done = killed.start(resumed)
    assert {name: killed.parts.read_bytes(name) for name in kept} == kept
    assert len(resumed.shapes) < len(uninterrupted.shapes)
    assert killed.tables() == whole.tables()
    assert untimed(done) == untimed(expected)


def test_a_run_that_is_killed_within_a_part_begins_that_part_again(tmp_path):
    refs = pool(tmp_path)
    whole, killed, interruptions = Mining(tmp_path / "whole", refs), Mining(tmp_path / "killed", refs), 0
    expected = whole.start()
    for batches in (0, 1, 3, 5):
        with pytest.raises(Killed):
            killed.start(Mortal(batches))
        interruptions += 1
    done = killed.start()
    assert interruptions == 4
    assert killed.tables() == whole.tables()
    assert untimed(done) == untimed(expected)


def test_a_part_without_its_record_is_mined_again(tmp_path):
    """The record is written last: without it the tables may be torn."""
    mining = Mining(tmp_path / "run", pool(tmp_path, 4))
    mining.start()
    expected, name = mining.tables(), mining.parts.names()[0].partition(".")[0]
    mining.parts.remove(f"{name}.json")
    mining.parts.write_bytes(f"{name}.proposals.parquet", b"torn")
    mining.start()
    assert mining.tables() == expected


def test_images_that_cannot_be_read_are_noted_in_their_part_and_in_the_sum(tmp_path):
    refs = pool(tmp_path, 5)
    Path(refs[0].uri).unlink()
    Path(refs[3].uri).write_bytes(b"")
    mining = Mining(tmp_path / "run", refs)
    done = mining.start()
    assert [fault.image_id for fault in done.faults] == [refs[0].image_id, refs[3].image_id]
    assert done.faults[0] == UnreadableImage(refs[0].image_id, refs[0].uri, "no such file")
    parts = [mining.parts.read_record(name, MiningPart) for name in mining.parts.names() if name.endswith(".json")]
    assert [len(part.faults) for part in parts] == [1, 1, 0]
    assert mining.start().faults == done.faults, "parts that are kept keep their faults"


# The cycle before


def test_what_the_cycle_before_found_is_completed_and_not_detected_again(tmp_path):
    refs = pool(tmp_path)
    before, fresh = Mining(tmp_path / "before", refs), Mining(tmp_path / "fresh", refs)
    before.start(policy=Only(("gear",), ()))
    expected = fresh.start()
    after = Mining(tmp_path / "after", refs, before=before.folder)
    done = after.start()
    assert done.cost.proposals == expected.cost.proposals
    assert 0 < done.cost.closeups < expected.cost.closeups
    for name in TABLES:
        assert by_id(after.folder.read_table(name)).equals(by_id(fresh.folder.read_table(name)))


def test_row_groups_without_an_image_of_the_part_are_not_read(tmp_path):
    """Each part is a row group of the night before; a damaged one does no harm to the others."""
    folder, refs = Folder(tmp_path), [ImageRef(f"{number:064d}", "", 1, 1) for number in range(6)]
    rows = {
        name: pa.Table.from_pylist(
            [{**given, "proposal_id": f"{ref.image_id[:20]}{number}.000"} for number, ref in enumerate(refs)],
            schema=schema,
        )
        for name, schema, given in (("proposals", PROPOSAL_SCHEMA, {}), ("checks", CHECK_SCHEMA, {"number": 0}))
    }
    ids = pa.array([ref.image_id for ref in refs])
    rows["proposals"] = rows["proposals"].set_column(1, PROPOSAL_SCHEMA.field("image_id"), ids)
    for name, table in rows.items():
        with folder.create(f"{name}.parquet") as file, pq.ParquetWriter(file, table.schema) as writer:
            for number in range(len(refs)):
                writer.write_table(table.slice(number, 1))
    first = pq.ParquetFile(tmp_path / "proposals.parquet").metadata.row_group(0)
    start = first.column(0).data_page_offset
    content = bytearray((tmp_path / "proposals.parquet").read_bytes())
    content[start : start + 40] = b"x" * 40
    (tmp_path / "proposals.parquet").write_bytes(bytes(content))
    found = known_before(folder, refs[2:4], "")
    assert found is not None
    assert found.proposals.equals(rows["proposals"].slice(2, 2))
    assert found.checks.equals(rows["checks"].slice(2, 2))
    with pytest.raises(ArtefactError, match="expected parquet"):
        known_before(folder, refs[:1], "")


def test_tables_of_an_older_release_are_not_taken_up(tmp_path):
    refs = pool(tmp_path, 4)
    before, fresh = Mining(tmp_path / "before", refs), Mining(tmp_path / "fresh", refs)
    before.start()
    fresh.start()
    proposals = before.folder.read_table("proposals.parquet")
    before.folder.write_table("proposals.parquet", proposals.drop_columns(["closeup_score"]))
    after = Mining(tmp_path / "after", refs, before=before.folder)
    after.start()
    assert after.tables() == fresh.tables()


def test_tables_of_the_release_before_partners_are_taken_up(tmp_path):
    refs = pool(tmp_path, 4)
    before = Mining(tmp_path / "before", refs)
    before.start()
    proposals = before.folder.read_table("proposals.parquet")
    before.folder.write_table("proposals.parquet", proposals.drop_columns(list(PARTNER_NAMES)))
    taken = known_before(before.folder, refs, "")
    assert taken is not None
    assert taken.proposals.equals(proposals)
