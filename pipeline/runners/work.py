"""Work in items that any process may do in any order, and the runner that does it where nobody helps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from pipeline.progress import Progress

Item = TypeVar("Item")
Made = TypeVar("Made")

Prepare = Callable[[], Callable[[Item], Made]]
"""Called once in another process, gives what does an item there. All three can be pickled."""


class Work(ABC, Generic[Item, Made]):
    """Items of work, each done once; what comes out of one depends on neither who does it nor when."""

    NAME: ClassVar[str]
    """For people, of the whole."""
    UNIT: ClassVar[str]
    """For people, of several items."""
    RELIEF: ClassVar[str]
    """What to do where memory runs out."""

    @property
    @abstractmethod
    def items(self) -> Sequence[Item]:
        """All of them, in order."""

    @property
    @abstractmethod
    def place(self) -> str:
        """What other processes must reach."""

    @property
    @abstractmethod
    def elsewhere(self) -> Prepare[Item, Made]:
        """How another process does items."""

    @abstractmethod
    def here(self, item: Item) -> Made:
        """Do an item in this process."""

    @abstractmethod
    def is_done(self, item: Item) -> bool:
        """Tell whether what an item gives was kept."""

    @abstractmethod
    def keep(self, item: Item, made: Made) -> None:
        """Keep what an item gives; always called in this process."""

    def size(self, _item: Item) -> int:
        """What an item counts for in progress."""
        return 1

    @property
    def missing(self) -> list[Item]:
        """Items that are not done."""
        return [item for item in self.items if not self.is_done(item)]

    def tell(self, progress: Progress) -> None:
        """Say how far it is."""
        left, total = (sum(map(self.size, items)) for items in (self.missing, self.items))
        progress(self.NAME, total - left, total)


class Runner(Protocol):
    """Does work."""

    def run(self, work: Work[Item, Made], progress: Progress) -> None:
        """Do every item that is not done.

        Args:
            work: The items.
            progress: Called as items are done.
        """


class Alone:
    """Does every item in this process."""

    def run(self, work: Work[Item, Made], progress: Progress) -> None:
        """Do every item that is not done."""
        done, total = 0, sum(map(work.size, work.items))
        for item in work.items:
            if not work.is_done(item):
                work.keep(item, work.here(item))
            done += work.size(item)
            progress(work.NAME, done, total)


ALONE: Runner = Alone()
