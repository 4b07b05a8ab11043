"""Classes of another source under the names that they have here."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.errors import DataError

_SHOWN = 5


@dataclass(frozen=True)
class LabelMap:
    """Which class of another source is which here.

    Attributes:
        labels: Class names here.
        renamed: Names here by names there; a class that is not named keeps its own.
        said_by: The option or setting that `renamed` comes from, for messages.
    """

    labels: Sequence[str]
    renamed: Mapping[str, str] = field(default_factory=dict)
    said_by: str = "--map"

    def __post_init__(self) -> None:
        """Hold the map to the classes here.

        Raises:
            DataError: A class is to be renamed to one that there is not.
        """
        wrong = sorted(set(self.renamed.values()) - set(self.labels))
        if wrong:
            raise DataError(f"{self.said_by}: expected classes among {', '.join(self.labels)}, got {', '.join(wrong)}.")

    def of(self, label: str) -> str:
        """The name of a class here."""
        return self.renamed.get(label, label)

    def require(self, met: Iterable[str]) -> None:
        """Refuse classes that there are not here, and renamings of classes that the source has not.

        Args:
            met: Classes of the source, by their names there.

        Raises:
            DataError: Names each such class.
        """
        there = set(met)
        unknown = sorted(label for label in there if self.of(label) not in self.labels)
        if unknown:
            named = ", ".join(repr(label) + self._hint(label) for label in unknown[:_SHOWN])
            more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
            raise DataError(
                f"Expected classes among {', '.join(self.labels)}, the source also has {named}{more}. Say which is "
                f"which with --map {unknown[0]}={self.labels[0]}, or add them to data.labels."
            )
        self.require_renamed(there)

    def require_renamed(self, there: Collection[str]) -> None:
        """Refuse renamings of classes that the source has not.

        Args:
            there: Classes of the source, by their names there.

        Raises:
            DataError: Names each such class.
        """
        unused = sorted(set(self.renamed) - set(there))
        if unused:
            raise DataError(
                f"{self.said_by}: expected classes of the source ({', '.join(sorted(there)) or 'it has none'}), got "
                f"{', '.join(unused)}."
            )

    def _hint(self, label: str) -> str:
        near = difflib.get_close_matches(label, self.labels, n=1, cutoff=0.6)
        return f" ({near[0]!r}?)" if near else ""
