"""One run at a time in a workspace.

On a disk by a lock of the operating system: a process that dies holds nothing. On an object store by a lease, which a
process that dies holds for two minutes longer.
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from pipeline.errors import AnotherWaits, PipelineError
from pipeline.lease import Lease
from pipeline.object_storage import LOCAL, OBJECT_STORES, guarded, protocol_of
from pipeline.storage_faults import writing
from pipeline.workspace import Workspace

LOG = logging.getLogger(__name__)
LOCK, LEASE = "lock", "lease"
SECONDS_BETWEEN_TRIES = 0.5
SECONDS_BETWEEN_REQUESTS = 5.0


class _Lock(Protocol):
    """What keeps two processes apart."""

    def acquire(self, timeout: float, poll_interval: float) -> object:
        """Take it, or raise `Timeout`."""

    def release(self) -> None:
        """Let others have it."""


@contextmanager
def alone(workspace: Workspace, wait_s: float = 0.0, kind: str = "run") -> Iterator[None]:
    """Keep runs in one workspace apart, however they were started, and on an object store wherever they run.

    A run that could not renew its lease, and whose workspace another run has taken since, ends before it writes more.

    Args:
        workspace: Whose lock is taken.
        wait_s: How long to wait for another run's end; 0 refuses at once, for people at a keyboard.
        kind: What this run does. Of each kind one run waits at most, since it does what others would.

    Raises:
        PipelineError: Another run is under way, and was so for the whole time.
        AnotherWaits: Another run of this kind is waiting.
        RemoteError: The object store cannot be reached, or refuses.
    """
    lock = _lock(workspace)
    try:
        lock.acquire(0.0, _pause(workspace))
    except Timeout:
        _wait(lock, workspace, wait_s, kind)
    try:
        with _guard(workspace, lock):
            yield
    finally:
        lock.release()


def is_locked(workspace: Workspace) -> bool:
    """Tell whether a run is under way; makes no file where none ever was."""
    if _has_lease(workspace):
        return bool(Lease(workspace.path(LEASE)).holder())
    path = lock_path(workspace)
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def lock_path(workspace: Workspace) -> Path:
    """The file that is locked, where the workspace has no lease."""
    if protocol_of(workspace.uri) == LOCAL:
        folder, name = Path(workspace.uri), LOCK
    else:
        folder = Path(tempfile.gettempdir()) / f"crosscheck-locks-{getpass.getuser()}"
        name = hashlib.sha256(workspace.uri.encode()).hexdigest()[:16]
    return folder / name


def _has_lease(workspace: Workspace) -> bool:
    return protocol_of(workspace.uri) in OBJECT_STORES


def _lock(workspace: Workspace, waiting_kind: str = "") -> _Lock:
    """The lock of a workspace, or of those of a kind that wait for it."""
    suffix = f".{waiting_kind}-waits" if waiting_kind else ""
    if _has_lease(workspace):
        return Lease(workspace.path(LEASE + suffix))
    path = lock_path(workspace)
    with writing(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if protocol_of(workspace.uri) != LOCAL and not waiting_kind:
        LOG.warning("%s: this storage has no lock; runs on this machine alone are kept apart", workspace.uri)
    return _FileLock(path.with_name(path.name + suffix))


class _FileLock:
    """A lock of the operating system."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, FileLock(path)

    def acquire(self, timeout: float, poll_interval: float) -> None:
        with writing(str(self._path)):
            self._lock.acquire(timeout=timeout, poll_interval=poll_interval)

    def release(self) -> None:
        self._lock.release()


def _pause(workspace: Workspace) -> float:
    return SECONDS_BETWEEN_REQUESTS if _has_lease(workspace) else SECONDS_BETWEEN_TRIES


def _guard(workspace: Workspace, lock: _Lock) -> AbstractContextManager[None]:
    return guarded(workspace.uri, lock.require) if isinstance(lock, Lease) else nullcontext()


def _wait(lock: _Lock, workspace: Workspace, wait_s: float, kind: str) -> None:
    if not wait_s:
        raise PipelineError(f"Another run is under way in {workspace.uri}{_whose(workspace)}. Wait for its end.")
    waiting = _lock(workspace, kind)
    try:
        waiting.acquire(0.0, _pause(workspace))
    except Timeout as fault:
        raise AnotherWaits(
            f"Another {kind} waits already for the end of the run in {workspace.uri}, and does what this one would."
        ) from fault
    try:
        LOG.warning("Another run is under way in %s; waiting for its end, %.0f s at most", workspace.uri, wait_s)
        _acquire(lock, workspace, wait_s)
    finally:
        waiting.release()


def _whose(workspace: Workspace) -> str:
    """Whose lease it is; a lock of the operating system does not say."""
    holder = Lease(workspace.path(LEASE)).holder() if _has_lease(workspace) else ""
    return f" ({holder}; had it died, others could run two minutes later)" if holder else ""


def _acquire(lock: _Lock, workspace: Workspace, wait_s: float) -> None:
    try:
        lock.acquire(wait_s, _pause(workspace))
    except Timeout as fault:
        raise PipelineError(
            f"Another run is still under way in {workspace.uri} after {wait_s:.0f} s. See what it does with "
            "`crosscheck status`, or raise `wait_s` of the deployment."
        ) from fault
