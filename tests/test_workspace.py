from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.workspace import Workspace

TABLE = pa.table({"image_id": [f"image {i}" for i in range(1000)], "score": [i / 1000 for i in range(1000)]})


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    if request.param == "local":
        yield Folder(tmp_path / "space")
        return
    uri = f"memory://{uuid4().hex}"
    yield Folder(uri)
    files, path = fsspec.core.url_to_fs(uri)
    if files.exists(path):
        files.rm(path, recursive=True)


def test_an_empty_folder_need_not_exist(folder):
    assert folder.names() == []
    assert not folder.exists("anything")
    folder.remove("anything")


@pytest.mark.parametrize("data", [b"", b"one", bytes(range(256)) * 5000])
def test_bytes_round_trip(folder, data):
    folder.write_bytes("file", b"older")
    folder.write_bytes("file", data)
    assert folder.read_bytes("file") == data
    assert folder.names() == ["file"]


@pytest.mark.parametrize("value", [None, {}, [], {"b": [1, 2.5, "ü"], "a": None}])
def test_json_round_trip(folder, value):
    folder.write_json("file", value)
    assert folder.read_json("file") == value


def test_json_keeps_the_order_of_keys_and_refuses_nan(folder):
    folder.write_json("file", {"b": 1, "a": 2})
    assert list(folder.read_json("file")) == ["b", "a"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_json("file", {"ap": float("nan")})
    assert list(folder.read_json("file")) == ["b", "a"]


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_table_round_trip(folder, rows):
    folder.write_table("table", TABLE.slice(0, rows))
    assert folder.read_table("table").equals(TABLE.slice(0, rows))
    assert folder.read_table("table", ["score"]).column_names == ["score"]
    parts = [TABLE.slice(0, 0), *folder.read_groups("table", ["score"])]
    assert pa.concat_tables([part.select(["score"]) for part in parts]).equals(TABLE.slice(0, rows).select(["score"]))


def test_row_groups_without_wanted_rows_are_passed_over(folder, monkeypatch):
    texts = [["a", "b"], ["c", "d"], [], ["e", "e"], ["f", "g"]]
    with folder.create_table("table", pa.schema({"text": pa.string(), "number": pa.int64()})) as add:
        for number, group in enumerate(texts):
            add(pa.table({"text": pa.array(group, pa.string()), "number": pa.array([number] * len(group), pa.int64())}))
    read, numbers = pq.ParquetFile.read_row_group, []
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda file, at, *rest: (numbers.append(at), read(file, at, *rest))[1]
    )
    found = pa.concat_tables(folder.read_groups("table", ["text", "number"], ("text", ["d", "x", "cc", "e"])))
    assert found.to_pydict() == {"text": ["d", "e", "e"], "number": [1, 3, 3]}
    assert not {0, 4} & set(numbers)
    assert sum(map(len, folder.read_groups("table", ["text"], ("text", [])))) == 0


def test_the_same_table_gives_the_same_bytes(folder):
    in_chunks = pa.concat_tables([TABLE.slice(0, 300), TABLE.slice(300)])
    folder.write_table("one", TABLE)
    folder.write_table("two", in_chunks)
    assert folder.read_bytes("one") == folder.read_bytes("two")


@pytest.mark.parametrize("before", [None, b"older"])
def test_a_block_that_fails_leaves_what_was_there(folder, before):
    if before is not None:
        folder.write_bytes("file", before)

    def write_half():
        with folder.create("file") as file:
            file.write(b"half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_half()
    assert folder.names() == ([] if before is None else ["file"])
    if before is not None:
        assert folder.read_bytes("file") == before


def test_nothing_is_seen_before_it_is_whole(folder):
    with folder.create("file") as file:
        file.write(b"half")
        assert folder.names() == []
        assert not folder.exists("file")
    assert folder.names() == ["file"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "../up", "a\\b"])
@pytest.mark.parametrize("act", ["path", "folder", "exists", "read_bytes", "remove"])
def test_names_that_would_leave_the_folder_are_refused(folder, act, name):
    with pytest.raises(ValueError, match="plain name of a file or folder"):
        getattr(folder, act)(name)


def test_what_is_missing_is_named_with_the_next_step(folder):
    for read in (folder.read_bytes, folder.read_json, folder.read_table, lambda name: [*folder.read_groups(name, [])]):
        with pytest.raises(ArtefactError, match=r"Expected .*/lost, found nothing. Run the stage"):
            read("lost")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[1,]"])
def test_damaged_json_is_named(folder, data):
    folder.write_bytes("file", data)
    with pytest.raises(ArtefactError, match=r"file: expected JSON, got .* Remove it and run again"):
        folder.read_json("file")


@pytest.mark.parametrize(
    "read",
    [
        lambda folder: folder.read_table("table"),
        lambda folder: pa.concat_tables(folder.read_groups("table", TABLE.column_names)),
    ],
    ids=["at once", "part by part"],
)
def test_a_damaged_table_is_named_wherever_the_damage_is(tmp_path, read):
    folder, random = Folder(tmp_path), np.random.default_rng(0)
    folder.write_table("table", TABLE)
    whole = folder.read_bytes("table")
    refused = 0
    for attempt in range(200):
        data = bytearray(whole)
        place = int(random.integers(len(data)))
        if attempt % 2:
            data = data[:place]
        else:
            data[place] ^= 0xFF
        folder.write_bytes("table", bytes(data))
        try:
            found = read(folder)
        except ArtefactError as fault:
            refused += "expected parquet" in str(fault)
        else:
            assert found.equals(TABLE)  # some bytes of a parquet file mean nothing
    assert refused > 180


def test_folders_below(folder):
    below = folder.folder("a", "b")
    below.write_bytes("file", b"1")
    assert folder.names() == ["a"]
    assert folder.folder("a").names() == ["b"]
    assert below.uri == f"{folder.uri}/a/b"
    assert Folder(below.uri).read_bytes("file") == b"1"
    folder.remove("a")
    assert folder.names() == []
    assert not below.exists("file")


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Folder("space")
    monkeypatch.chdir("/")
    assert folder.uri == str(tmp_path / "space")


def test_places_of_a_workspace(tmp_path):
    space = Workspace(tmp_path)
    assert space.cycles() == []
    for number in (10, 2):
        space.cycle(number).write_bytes("cycle.json", b"{}")
    (tmp_path / "cycles" / "notes.txt").write_text("not a cycle")
    assert space.cycles() == [2, 10]
    assert space.cycle(2).uri == f"{tmp_path}/cycles/0002"
    assert space.samples_uri == f"{tmp_path}/samples"
    assert [one.uri for one in (space.models, space.labeling, space.reports)] == [
        f"{tmp_path}/{name}" for name in ("models", "labeling", "reports")
    ]


WRITER = """
    import itertools, sys
    from pipeline.folder import Folder

    folder = Folder(sys.argv[1])
    for letter in itertools.cycle(b"abcdefg"):
        folder.write_bytes("file", bytes([letter]) * 3_000_000)
"""


def test_a_reader_sees_whole_files_only_while_writers_are_killed(tmp_path):
    folder = Folder(tmp_path / "space")
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), folder.uri], cwd=Path(__file__).parents[1]
        )
        try:
            deadline, reads, seen = time.monotonic() + 120, 0, set()
            while reads < 25 or len(seen) < 3:
                assert time.monotonic() < deadline, "the writer was not seen to write"
                if folder.exists("file"):
                    data = folder.read_bytes("file")
                    assert len(data) == 3_000_000
                    assert data == data[:1] * len(data)
                    seen.add(data[:1])
                    reads += 1
        finally:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
    assert folder.names() == ["file"]
    data = folder.read_bytes("file")
    assert data == data[:1] * 3_000_000
