"""Every record that a cycle writes: there and back, and what is said of files that are not as they should be."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import artefacts
from pipeline.artefacts import HarvestSummary, StageRecord
from pipeline.cycle import Cycle
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from tests.selection.projects import project

KINDS = [
    kind
    for kind in (getattr(artefacts, name) for name in artefacts.__all__)
    if inspect.isclass(kind) and kind is not StageRecord
]
OF_CYCLES = [kind for kind in KINDS if hasattr(kind, "FILE")]
FIELDS = [(kind, field) for kind in KINDS for field in dataclasses.fields(kind)]

PLAIN = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=4)
ATOMS = {
    bool: st.booleans(),
    int: st.integers(-(2**40), 2**40),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(max_size=6),
    datetime: st.datetimes(timezones=st.just(UTC)),
    NoneType: st.none(),
    Any: PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(st.text(max_size=4), PLAIN, max_size=2),
}
QUIET = {"suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow], "deadline": None}


def values_like(hint):
    """Any values of a type, as JSON can hold them."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in ATOMS:
        return ATOMS[hint]
    if dataclasses.is_dataclass(hint):
        return records(hint)
    if origin in {Union, UnionType}:
        return st.one_of(*map(values_like, inner))
    if origin is Mapping:
        return st.dictionaries(*map(values_like, inner), max_size=2)
    if origin is Literal:
        return st.sampled_from(inner)
    assert origin is tuple, hint
    if inner[1:] == (Ellipsis,):
        return st.lists(values_like(inner[0]), max_size=2).map(tuple)
    return st.tuples(*map(values_like, inner))


def records(kind):
    """Any records of a kind."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: values_like(hints[field.name]) for field in dataclasses.fields(kind)})


EXAMPLES: dict[Any, Any] = {}


def example(kind):
    """One record of a kind, the same in all tests."""
    if kind not in EXAMPLES:

        @settings(max_examples=1, derandomize=True, database=None, **QUIET)
        @given(records(kind))
        def draw(record):
            EXAMPLES[kind] = record

        draw()
    return EXAMPLES[kind]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "records")


def values_of(folder, kind):
    """A record of a kind as its JSON."""
    folder.write_record("record.json", example(kind))
    return folder.read_json("record.json")


def message(folder, kind, *parts):
    """A pattern: the file, the kind, what is wrong, and the command that makes it anew."""
    made_by = getattr(kind, "MADE_BY", "the command that makes it")
    wrong = ".*".join(map(re.escape, parts))
    return (
        rf"(?s)^{re.escape(folder.path('record.json'))}: expected a {kind.__name__}, got .*{wrong}.*"
        rf"Remove the file and run `{made_by}` again\.$"
    )


def test_there_are_records():
    assert len(KINDS) > 30
    assert len(OF_CYCLES) > 12


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, **QUIET)
@given(data=st.data())
def test_there_and_back(folder, kind, data):
    record = data.draw(records(kind))
    folder.write_record("record.json", record)
    assert folder.read_record("record.json", kind) == record


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_record_is_the_same_bytes_of_plain_json(folder, kind):
    folder.write_record("record.json", example(kind))
    first = folder.read_bytes("record.json")
    folder.write_record("record.json", folder.read_record("record.json", kind))
    assert folder.read_bytes("record.json") == first
    assert json.loads(first).keys() == {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_a_newer_release_are_left_out(folder, kind):
    folder.write_json("record.json", {**values_of(folder, kind), "colour": {"of": "a newer release"}})
    assert folder.read_record("record.json", kind) == example(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"3", b"null", b'"text"'])
def test_a_damaged_file_is_named_with_the_command_that_makes_it(folder, kind, data):
    folder.write_bytes("record.json", data)
    with pytest.raises(ArtefactError, match=message(folder, kind)):
        folder.read_record("record.json", kind)


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=lambda value: getattr(value, "__name__", None) or value.name)
def test_a_value_of_the_wrong_type_is_named_with_its_key(folder, kind, field):
    folder.write_json("record.json", {**values_of(folder, kind), field.name: [[]]})
    with pytest.raises(ArtefactError, match=message(folder, kind, field.name)):
        folder.read_record("record.json", kind)


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=lambda value: getattr(value, "__name__", None) or value.name)
def test_a_key_that_is_missing_is_named_unless_it_has_a_default(folder, kind, field):
    values = values_of(folder, kind)
    del values[field.name]
    folder.write_json("record.json", values)
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        with pytest.raises(ArtefactError, match=message(folder, kind, f"{field.name}: Field required")):
            folder.read_record("record.json", kind)
    else:
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
        assert getattr(folder.read_record("record.json", kind), field.name) == default


def test_several_faults_are_named_at_once(folder):
    folder.write_json("record.json", {"answered": "many", "skipped": [], "boxes": {"human": "few"}})
    with pytest.raises(ArtefactError) as fault:
        folder.read_record("record.json", HarvestSummary)
    assert all(f"{key}: " in str(fault.value) for key in ("answered", "skipped", "boxes.human"))


# In a cycle


@pytest.mark.parametrize("kind", OF_CYCLES)
def test_a_cycle_names_what_it_lacks_and_the_command_that_makes_it(tmp_path, kind):
    cycle = Cycle(project(tmp_path), 3, datetime(2026, 1, 2, tzinfo=UTC))
    assert (cycle.has(kind), cycle.find(kind)) == (False, None)
    expected = rf"Expected {re.escape(kind.FILE)} in cycle 3, found none\. `{re.escape(kind.MADE_BY)}` makes it"
    with pytest.raises(ArtefactError, match=expected):
        cycle.read(kind)
    cycle.write(example(kind))
    assert cycle.has(kind)
    assert cycle.read(kind) == cycle.find(kind) == example(kind)
    assert cycle.folder.names() == [kind.FILE]


def test_no_two_records_of_a_cycle_share_a_file():
    """Harvests are kept beside their answers, in folders of their own."""
    files = [kind.FILE for kind in OF_CYCLES if kind is not HarvestSummary]
    assert len(files) == len(set(files))


@pytest.mark.parametrize("kind", OF_CYCLES)
def test_the_command_that_makes_a_record_exists(kind):
    from typer.main import get_command

    from pipeline.cli.app import app

    program, name = kind.MADE_BY.split()
    assert program == "crosscheck"
    assert name in get_command(app).commands
