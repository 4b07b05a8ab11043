"""Proposals and checks, written and read side by side."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.mining import tables
from pipeline.mining.tables import read_mined, write_mined
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA


def part(*names, pastes=2):
    """Proposals of these names, and so many checks of each."""
    proposals = [{"proposal_id": name, "image_id": name[0]} for name in names]
    checks = [{"proposal_id": name, "number": number} for name in names for number in range(pastes)]
    return pa.Table.from_pylist(proposals, PROPOSAL_SCHEMA), pa.Table.from_pylist(checks, CHECK_SCHEMA)


def names(table):
    return " ".join(dict.fromkeys(table["proposal_id"].to_pylist()))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "GROUP_ROWS", 3)
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("parts", "groups"),
    [
        ([], []),
        ([part()], [""]),
        ([part("a1"), part("b1"), part("c1", "c2"), part("d1")], ["a1 b1 c1 c2", "d1"]),
        ([part("a1", "a2", "a3"), part(), part("b1")], ["a1 a2 a3", "b1"]),
        ([part("a1", "a2", "a3", "a4", "a5")], ["a1 a2 a3 a4 a5"]),
    ],
)
def test_parts_are_joined_and_never_torn(folder, parts, groups):
    write_mined(folder, "", parts)
    found = list(read_mined(folder))
    assert [names(proposals) for proposals, _ in found] == groups
    assert [names(checks) for _, checks in found] == groups


def test_proposals_without_checks_have_an_empty_group_beside_them(folder):
    write_mined(folder, "", [part("a1", "a2", "a3", pastes=0), part("b1")])
    assert [(names(proposals), len(checks)) for proposals, checks in read_mined(folder)] == [("a1 a2 a3", 0), ("b1", 2)]


def test_some_columns_of_checks(folder):
    write_mined(folder, "", [part("a1")])
    ((proposals, checks),) = read_mined(folder, ["number"])
    assert proposals.schema.names == PROPOSAL_SCHEMA.names
    assert checks.to_pydict() == {"number": [0, 1]}


def test_tables_with_a_prefix_are_others(folder):
    write_mined(folder, "", [part("a1")])
    write_mined(folder, "held_back_", [part("b1")])
    ((proposals, _),) = read_mined(folder)
    assert names(proposals) == "a1"
    assert names(folder.read_table("held_back_checks.parquet")) == "b1"


def test_a_table_that_was_written_anew_is_noticed(folder):
    write_mined(folder, "", [part("a1", "a2", "a3"), part("b1")])
    folder.write_table("checks.parquet", folder.read_table("checks.parquet"))
    with pytest.raises(ArtefactError, match=r"as many row groups in proposals.parquet as in checks.parquet.*--discard"):
        list(read_mined(folder))


def test_each_file_has_its_groups_on_disk(folder, tmp_path):
    write_mined(folder, "", [part("a1", "a2", "a3"), part("b1")])
    files = [pq.ParquetFile(tmp_path / f"{name}.parquet").metadata for name in ("proposals", "checks")]
    assert [[file.row_group(group).num_rows for group in range(file.num_row_groups)] for file in files] == [
        [3, 1],
        [6, 2],
    ]
