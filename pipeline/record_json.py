"""Dataclasses as JSON, and what is wrong with a file that does not hold the one that was expected."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import ArtefactError
from pipeline.json_text import parse_json

R = TypeVar("R")


def record_to_json(record: object) -> Any:
    """Plain values of a dataclass."""
    return _adapter(cast(Hashable, type(record))).dump_python(record, mode="json")


def record_from_json(data: bytes, kind: type[R], place: str) -> R:
    """Read a dataclass back.

    Args:
        data: JSON.
        kind: The dataclass; its `MADE_BY` and `REMEDY` say what to do, where it has them.
        place: Of the file, for the error message.

    Raises:
        ArtefactError: It is no JSON, lacks a key or holds a value of the wrong type; the message names each.
    """
    try:
        return cast(R, _adapter(cast(Hashable, kind)).validate_python(parse_json(data)))
    except ValueError as fault:
        raise ArtefactError(f"{place}: expected a {kind.__name__}, {_found(kind, fault)}") from fault


def _found(kind: type, fault: ValueError) -> str:
    newer, found = False, str(fault)
    if isinstance(fault, ValidationError):
        newer = any(error["type"] == "extra_forbidden" for error in fault.errors())
        found = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in fault.errors())
    made_by = getattr(kind, "MADE_BY", "the command that makes it")
    remedy = getattr(kind, "REMEDY", f"Remove the file and run `{made_by}` again.")
    if newer:
        remedy = "Another release of crosscheck wrote it: if a newer one, upgrade. " + remedy
    return f"got {found}. {remedy}"


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))
