"""A JSON object read part by part means what it means to `json.loads`, wherever the pieces of its text end."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.formats import json_stream
from pipeline.dataset.formats.json_stream import NoObjectError, read_parts

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """As if every file was much larger than what is read at once."""
    monkeypatch.setattr(json_stream, "_CHUNK", 4)
    monkeypatch.setattr(json_stream, "_TOGETHER", 3)


def pieces(text, size):
    return (text[start : start + size] for start in range(0, len(text), size))


def streamed(text, size=5):
    found = {}
    for part in read_parts(pieces(text, size)):
        if isinstance(part.value, list) and part.first:
            found[part.key] += part.value
        else:
            found[part.key] = part.value
    return found


def outcome(read, text):
    try:
        return repr(read(text))
    except ValueError as fault:
        return str(fault)


@given(
    value=st.dictionaries(st.text(max_size=4), VALUES, max_size=4),
    indent=st.sampled_from([None, 1]),
    size=st.integers(1, 30),
)
def test_it_reads_what_json_reads(value, indent, size):
    text = json.dumps(value, indent=indent)
    assert repr(streamed(text, size)) == repr(json.loads(text))


@given(
    value=st.dictionaries(st.text(max_size=2), VALUES, min_size=1, max_size=3), place=st.integers(0, 99), data=st.data()
)
def test_a_damaged_text_is_refused_as_json_refuses_it(value, place, data):
    text = json.dumps(value, indent=data.draw(st.sampled_from([None, 1])))
    cut = place % len(text)
    with_damage = (
        text[:cut] + data.draw(st.sampled_from(["", "x", "}", "]", ",", '"', "\n", "9" * 4400])) + text[cut + 1 :]
    )
    expected = outcome(json.loads, with_damage)
    if expected.startswith("{") or not with_damage.lstrip().startswith("{"):
        return
    assert outcome(streamed, with_damage) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        '{"a"',
        '{"a" 1}',
        '{"a": }',
        '{"a": [1,]}',
        '{"a": [1 2]}',
        '{"a": 1} x',
        '{"a": [1]\n, 5}',
        '{"a": 1,}',
        "nul",
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_faults_are_named_in_the_words_of_json(text, size):
    with pytest.raises(ValueError) as fault:  # noqa: PT011 (compared below)
        streamed(text, size)
    with pytest.raises(ValueError) as expected:  # noqa: PT011
        json.loads(text)
    assert str(fault.value) == str(expected.value)


@pytest.mark.parametrize(
    "number", ["12345678901234567890123", "-0.5", "1e5", "1.25E-3", "NaN", "-Infinity", "1e400", "0"]
)
@pytest.mark.parametrize("size", range(1, 9))
def test_numbers_are_whole_wherever_a_piece_ends(number, size):
    text = f'{{"a": [{number}, {number} ], "b": {number}}}'
    assert repr(streamed(text, size)) == repr(json.loads(text))


def test_the_last_of_equal_keys_counts():
    text = '{"a": [1, 2, 3, 4, 5], "a": [6], "b": [1], "b": null}'
    assert streamed(text) == json.loads(text) == {"a": [6], "b": None}


@pytest.mark.parametrize(("text", "what"), [("[1, 2]", "a list"), ("5", "5"), ('"a"', "'a'"), ("null", "None")])
def test_what_is_no_object_is_named(text, what):
    with pytest.raises(NoObjectError, match=f"^{what}$"):
        streamed(text)


@pytest.mark.parametrize("where", ['{"a": [%s]}', '{"a": %s}', '{"other": {"b": %s}}'])
def test_depth_and_digits_have_limits(where):
    with pytest.raises(ValueError, match="nested too deeply"):
        streamed(where % ("[" * 100_000 + "]" * 100_000), 1000)
    with pytest.raises(ValueError, match="4300 digits"):
        streamed(where % ("9" * (sys.get_int_max_str_digits() + 700)), 1000)


def test_a_fault_is_found_before_the_rest_is_read():
    def text():
        yield '{"a": [1, 2, oops'
        yield ", 3" * 100
        pytest.fail("read on behind the fault")

    with pytest.raises(ValueError, match=r"Expecting value: line 1 column 14 \(char 13\)"):
        list(read_parts(text()))
