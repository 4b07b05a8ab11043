"""A lock on an object store that holds across machines.

It is a row of small objects with ascending numbers; the newest says who holds the lock, or that nobody does. Whoever
takes, renews or releases it creates the next number, and the store lets one of several do that. A holder renews it in
the background for as long as its process lives; a lock that was not renewed for `seconds` may be taken over. How old an
object is, is told by the clock of the store alone, so that clocks of machines need not agree.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from threading import Event, RLock, Thread
from typing import cast
from uuid import uuid4

from filelock import Timeout

from pipeline.errors import PipelineError, RemoteError
from pipeline.json_text import parse_json
from pipeline.object_storage import files_at, reaching

LOG = logging.getLogger(__name__)
LEASE_S = 120.0
_RENEWALS = 6
"""In the time after which a lock runs out."""
_MARGIN_S = 2.0
"""Stores tell the age of an object in whole seconds."""
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class _State:
    """The newest object: who holds the lock, empty for nobody, and when it was made by the clock of the store."""

    number: int
    holder: str
    seconds: float
    made_at: datetime


class Lease:
    """A lock at a URI of an object store; of all objects of this class with this URI, one holds it at a time.

    Args:
        uri: Of the folder of its objects.
        seconds: After which it may be taken over where it was not renewed.
    """

    def __init__(self, uri: str, seconds: float = LEASE_S) -> None:
        self._files, self._path = files_at(uri)
        self._uri, self._seconds = uri, seconds
        holder = f"{getpass.getuser()} on {platform.node()}, process {os.getpid()}"
        self._own = {"token": uuid4().hex, "holder": holder, "seconds": seconds}
        self._number, self._lost, self._valid_until = 0, False, 0.0
        self._one_at_a_time, self._ended, self._renewing = RLock(), Event(), Thread(target=self._keep, daemon=True)

    def acquire(self, timeout: float, poll_interval: float) -> None:
        """Take the lock.

        Args:
            timeout: How long to wait for it, in seconds; 0 for not at all.
            poll_interval: Between two looks at it.

        Raises:
            Timeout: Another process holds it, and did so for the whole time.
            RemoteError: The store cannot be reached, or refuses.
        """
        patience, clock = time.monotonic() + timeout, cache(self._clock_of_store)
        while True:
            state = self._newest()
            if not state.holder or _has_run_out(state, clock().now()):
                if self._advance(state.number, self._own):
                    self._renewing.start()
                    return
            elif time.monotonic() >= patience:
                raise Timeout(self._uri)
            else:
                time.sleep(max(0.0, min(poll_interval, patience - time.monotonic())))

    def release(self) -> None:
        """Let others have it; a lock that was lost is theirs already."""
        self._ended.set()
        self._renewing.join()
        try:
            with self._one_at_a_time:
                if not self._lost:
                    self._advance(self._number, {**self._own, "holder": ""})
        except RemoteError as fault:
            LOG.warning("The lock could not be released, and runs out in %.0f s: %s", self._seconds, fault)

    def require(self) -> None:
        """See that it is still held, and renew it where that was not done in time.

        Raises:
            PipelineError: Another process has taken it over.
        """
        with self._one_at_a_time:
            if not self._lost and _running_s() >= self._valid_until:
                self._renew()
            if self._lost:
                raise PipelineError(
                    f"{self._uri}: this run did not renew its lock for {self._seconds:.0f} s (the machine slept, or "
                    "lost the network), and another run has taken it. Nothing more is written; what is finished is "
                    "kept. Wait for the other run, then run again."
                )

    def holder(self) -> str:
        """Who holds it, for people, by the clock of this machine; empty for nobody."""
        state = self._newest()
        return "" if _has_run_out(state, datetime.now(UTC)) else state.holder

    def _keep(self) -> None:
        while not self._ended.wait(self._seconds / _RENEWALS):
            try:
                with self._one_at_a_time:
                    self._renew()
            except RemoteError as fault:
                LOG.warning("The lock could not be renewed, and is tried again: %s", fault)
            if self._lost:
                LOG.error("%s: another run has taken the lock of this one", self._uri)
                return

    def _renew(self) -> None:
        self._lost = not self._advance(self._number, self._own)

    def _advance(self, number: int, state: dict[str, object]) -> bool:
        """Create the object after this one; whether that is the newest one now, rather than another process's."""
        asked = _running_s()
        if not self._create(number + 1, json.dumps(state).encode()):
            return False
        numbers = self._numbers()
        if numbers[-1] != number + 1:  # older ones are removed: who looked long ago may create one again
            self._remove([number + 1])
            return False
        self._number, self._valid_until = number + 1, asked + self._seconds
        self._remove(numbers[:-1])
        return True

    def _create(self, number: int, data: bytes) -> bool:
        """Create an object; whether it is there with this content, be it by an attempt whose answer was lost."""
        place = self._place(number)
        try:
            self._files.pipe_file(place, data, mode="create")
            return True
        except Exception as fault:  # each store has its own for a condition that does not hold
            found = self._content(place)
            if found is None and not isinstance(fault, FileExistsError):
                with reaching(self._uri, absent=()):
                    raise
            return found == data

    def _content(self, place: str) -> bytes | None:
        try:
            with reaching(place):
                return cast(bytes, self._files.cat_file(place))
        except FileNotFoundError:
            return None

    def _newest(self) -> _State:
        while numbers := self._numbers():
            place = self._place(numbers[-1])
            with suppress(FileNotFoundError), reaching(place):  # a newer one may be there by now
                found, made_at = parse_json(self._files.cat_file(place)), self._files.modified(place)
                return _State(numbers[-1], found["holder"], found["seconds"], made_at)
        return _State(0, "", self._seconds, datetime.min.replace(tzinfo=UTC))

    def _numbers(self) -> list[int]:
        try:
            with reaching(self._uri):
                names = [path.rsplit("/", 1)[-1] for path in self._files.ls(self._path, detail=False)]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdecimal())

    def _clock_of_store(self) -> _Clock:
        place = f"{self._path}/now-{uuid4().hex}"
        with reaching(self._uri, absent=()):
            self._files.pipe_file(place, b"now")
            made_at: datetime = self._files.modified(place)
            self._files.rm_file(place)
        return _Clock(made_at.timestamp() - _running_s())

    def _remove(self, numbers: list[int]) -> None:
        for number in numbers:
            with suppress(FileNotFoundError), reaching(self._uri):
                self._files.rm_file(self._place(number))

    def _place(self, number: int) -> str:
        return f"{self._path}/{number:0{_DIGITS}}"


def keeps_apart(uri: str) -> bool:
    """Try whether a store lets one of two create an object, as locks and versions need it.

    Args:
        uri: Of a folder where objects of any name may be made and removed again.

    Raises:
        RemoteError: The store cannot be reached, or refuses.
    """
    files, path = files_at(uri)
    place = f"{path}/trial-{uuid4().hex}"
    with reaching(uri, absent=()):
        files.pipe_file(place, b"first", mode="create")
        try:
            with suppress(Exception):  # each store has its own refusal
                files.pipe_file(place, b"second", mode="create")
            return bool(files.cat_file(place) == b"first")
        finally:
            files.rm_file(place)


@dataclass(frozen=True, slots=True)
class _Clock:
    """The clock of the store, which read `offset` seconds when this machine had been running for none."""

    offset: float

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.offset + _running_s(), UTC)


def _has_run_out(state: _State, now: datetime) -> bool:
    return (now - state.made_at).total_seconds() > state.seconds + _MARGIN_S


def _running_s() -> float:
    """How long the machine has been running; where the system tells, the time in which it slept is part of that."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
