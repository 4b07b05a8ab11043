"""The lists in a large JSON object, a few elements at a time, in memory that does not grow with the file.

`json` of the standard library decodes each element, so that a file means here what it means to `json.loads`: NaN is a
number, the last of equal keys counts, and a fault is named in the same words. (ijson refuses NaN, and the memory that
it takes for lists in lists grows with the square of their depth.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Any

_CHUNK = 1 << 20
_TOGETHER = 512
_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_TOKEN = 16
"""A number or a word that ends so near to the end of what was read may go on behind it, and so may an escape."""
_OPEN_STRING = "Unterminated string"


@dataclass(frozen=True, slots=True)
class Part:
    """What stands under a key of the object: some elements of a list in turn, or a value that is no list.

    Attributes:
        key: The key. Where it comes twice, a part that begins at 0 replaces all before it.
        first: Place of the first element in the list.
        value: A list of elements, at least one unless the whole list is empty; or the value that is no list.
    """

    key: str
    first: int
    value: Any


class NoObjectError(ValueError):
    """The text is JSON, but no object; the message says what it is."""


def read_parts(text: Iterator[str]) -> Iterator[Part]:
    """Read a JSON object.

    Args:
        text: Its pieces, as `files.stream_text` gives them.

    Yields:
        The keys in the file's order; a list in parts.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or holds a number of thousands of digits.
        NoObjectError: It is JSON, but no object.
    """
    scanner = _Scanner(text)
    if scanner.peek() != "{":
        if scanner.peek() == "[":
            raise NoObjectError("a list")
        value = scanner.value()
        scanner.end()
        raise NoObjectError(f"{value!r}")
    goes_on = scanner.opens("{", "}")
    while goes_on:
        if scanner.peek() != '"':
            raise scanner.fault("Expecting property name enclosed in double quotes")
        key = str(scanner.value())
        if scanner.peek() != ":":
            raise scanner.fault("Expecting ':' delimiter")
        scanner.take()
        yield from _parts(scanner, key) if scanner.peek() == "[" else [Part(key, 0, scanner.value())]
        goes_on = scanner.goes_on("}")
    scanner.end()


def _parts(scanner: _Scanner, key: str) -> Iterator[Part]:
    """Parts of a list that begins here."""
    first, elements = 0, list[Any]()
    goes_on = scanner.opens("[", "]")
    while goes_on:
        elements.append(scanner.value())
        goes_on = scanner.goes_on("]")
        if len(elements) == _TOGETHER:
            yield Part(key, first, elements)
            first, elements = first + _TOGETHER, []
    if elements or not first:
        yield Part(key, first, elements)


class _Scanner:
    """A place in text of which only the part around it is kept."""

    def __init__(self, text: Iterator[str]) -> None:
        self._more, self._whole = text, False
        self._text, self._at = "", 0
        self._gone, self._lines, self._column = 0, 0, 0
        self._decode = JSONDecoder().raw_decode

    def peek(self) -> str:
        """The next character that is no space, which is not taken; empty at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or self._whole:
                return self._text[self._at : self._at + 1]
            self._read_on()

    def take(self) -> None:
        """Take the character that `peek` has shown."""
        self._at += 1

    def opens(self, bracket: str, closing: str) -> bool:
        """Take a bracket, and the closing one where nothing stands between them; tell whether something does."""
        assert self.peek() == bracket
        self.take()
        if self.peek() != closing:
            return True
        self.take()
        return False

    def goes_on(self, closing: str) -> bool:
        """Take what stands behind an element: a comma, for True, or the closing bracket."""
        found = self.peek()
        if found not in {",", closing}:
            raise self.fault("Expecting ',' delimiter")
        self.take()
        return found == ","

    def value(self) -> Any:
        """Take a value."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except JSONDecodeError as fault:
                goes_on = fault.pos > len(self._text) - _LONGEST_TOKEN or fault.msg.startswith(_OPEN_STRING)
                if self._whole or not goes_on:
                    raise self.fault(fault.msg, fault.pos) from None
            except RecursionError:
                raise ValueError("JSON that is nested too deeply") from None
            else:
                if self._whole or end <= len(self._text) - _LONGEST_TOKEN:
                    self._at = end
                    return value
            self._read_on()

    def end(self) -> None:
        """See that nothing follows."""
        if self.peek():
            raise self.fault("Extra data")

    def fault(self, message: str, place: int | None = None) -> ValueError:
        """A fault here or at a place in the text, named as `json` names it, by its place in the whole file."""
        at = self._at if place is None else place
        line, column = self._position(at)
        return ValueError(f"{message}: line {line + 1} column {column + 1} (char {self._gone + at})")

    def _position(self, at: int) -> tuple[int, int]:
        lines = self._text.count("\n", 0, at)
        column = at - self._text.rfind("\n", 0, at) - 1 if lines else self._column + at
        return self._lines + lines, column

    def _read_on(self) -> None:
        """Forget what was taken, and read at least as much again as is left."""
        self._lines, self._column = self._position(self._at)
        self._gone += self._at
        pieces = [self._text[self._at :]]
        wanted, size = max(_CHUNK, 2 * len(pieces[0])), len(pieces[0])
        while size < wanted and not self._whole:
            piece = next(self._more, None)
            self._whole = piece is None
            pieces.append(piece or "")
            size += len(pieces[-1])
        self._text, self._at = "".join(pieces), 0
