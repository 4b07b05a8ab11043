"""Work that threads do ahead of whoever takes the results, in the order of what it is done on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int) -> Iterator[Result]:
    """Do work in threads, no further ahead than it is taken.

    Args:
        work: Done on each item; what it raises is raised where its result is taken.
        items: Iterated over in this thread.
        threads: Items worked on at once.
        ahead: Items that were begun and not taken, at most.

    Yields:
        The result of each item, in order.
    """
    begun: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) >= ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
