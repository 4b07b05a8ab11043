"""Pages are written again only where what they show has changed."""

import json
from dataclasses import dataclass, replace

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.report.site.pages import Made, Pages, Rendered, digest, table_digest


@dataclass(frozen=True)
class Shown:
    title: str
    numbers: tuple[float | None, ...] = ()


def write(folder, shown, name="versions/0003.html"):
    """What one run writes."""
    pages = Pages(folder)
    pages.write(name, shown, lambda: Rendered(f"<p>{shown.title}</p>", shown))
    pages.finish()
    return pages.written


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_a_page_and_its_data_are_written_once(folder, tmp_path):
    both = ["data/versions-0003.json", "versions/0003.html"]
    assert write(folder, Shown("a", (1.5, None))) == both
    assert (tmp_path / "versions/0003.html").read_text() == "<p>a</p>"
    assert json.loads((tmp_path / "data/versions-0003.json").read_text()) == {"title": "a", "numbers": [1.5, None]}
    assert write(folder, Shown("a", (1.5, None))) == []
    assert write(folder, Shown("b")) == both
    assert (tmp_path / "versions/0003.html").read_text() == "<p>b</p>"


@pytest.mark.parametrize("gone", ["data/versions-0003.json", "versions/0003.html", "data/made.json"])
def test_what_is_missing_is_made_again(folder, tmp_path, gone):
    write(folder, Shown("a"))
    (tmp_path / gone).unlink()
    assert "versions/0003.html" in write(folder, Shown("a"))
    assert (tmp_path / gone).is_file()


def test_a_run_that_is_killed_before_the_end_makes_its_pages_once_more(folder):
    killed = Pages(folder)
    killed.write("index.html", Shown("a"), lambda: Rendered("a", {}))
    assert write(folder, Shown("a"), "index.html") == ["data/index.json", "index.html"]


def test_a_killed_run_makes_few_pages_twice(folder):
    killed = Pages(folder)
    for number in range(13):
        killed.write(f"versions/{number:04d}.html", Shown("a"), lambda: Rendered("a", {}))
    again = Pages(folder)
    for number in range(13):
        again.write(f"versions/{number:04d}.html", Shown("a"), lambda: Rendered("a", {}))
    assert [name for name in again.written if name.endswith(".html")] == [
        f"versions/{n:04d}.html" for n in (10, 11, 12)
    ]


def test_a_page_that_cannot_be_made_stays_as_it_was(folder, tmp_path):
    write(folder, Shown("a"))
    pages = Pages(folder)
    with pytest.raises(ZeroDivisionError):
        pages.write("versions/0003.html", Shown("b"), lambda: Rendered(str(1 / 0), {}))
    assert (tmp_path / "versions/0003.html").read_text() == "<p>a</p>"


def test_a_damaged_memory_is_named(folder, tmp_path):
    write(folder, Shown("a"))
    (tmp_path / "data" / Made.FILE).write_text("{")
    with pytest.raises(ArtefactError, match=r"made\.json"):
        Pages(folder)


def test_a_table_is_written_once(folder):
    frame = pd.DataFrame({"cycle": [0, 1], "map": [None, 0.5]})
    for expected, changed in ((["data/cycles.parquet"], frame), ([], frame), (["data/cycles.parquet"], frame[:1])):
        pages = Pages(folder)
        pages.table("cycles", changed)
        pages.finish()
        assert pages.written == expected
    assert folder.folder("data").read_table("cycles.parquet").to_pylist() == [{"cycle": 0, "map": None}]


def test_the_digest_follows_every_value(monkeypatch):
    one = Shown("a", (1.0,))
    assert digest(one) == digest(replace(one))
    assert len({digest(each) for each in (one, replace(one, title="b"), replace(one, numbers=(1.1,)), (one, 1))}) == 4
    before = digest(one)
    monkeypatch.setattr("pipeline.report.site.pages._code", lambda: b"another release")
    assert digest(one) != before


def test_the_digest_of_a_table_follows_its_rows_not_how_they_lie_in_memory():
    whole = pa.table({"label": ["bolt", "nut", "gear"], "x": [1.0, None, 3.0]})
    parts = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert table_digest(parts) == table_digest(whole)
    assert table_digest(whole.slice(1)) != table_digest(whole)
    assert table_digest(whole.rename_columns(["label", "y"])) != table_digest(whole)
