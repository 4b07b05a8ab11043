"""One run at a time in a workspace, by a lock of the operating system: a process that dies holds nothing."""

from __future__ import annotations

import getpass
import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import AnotherWaits, PipelineError
from pipeline.storage_faults import writing
from pipeline.workspace import Workspace

LOG = logging.getLogger(__name__)
LOCK = "lock"
SECONDS_BETWEEN_TRIES = 0.5


@contextmanager
def alone(workspace: Workspace, wait_s: float = 0.0, kind: str = "run") -> Iterator[None]:
    """Keep runs in one workspace apart, however they were started.

    A remote workspace has its lock on this machine: it keeps apart what runs here, and nothing elsewhere.

    Args:
        workspace: Whose lock is taken.
        wait_s: How long to wait for another run's end; 0 refuses at once, for people at a keyboard.
        kind: What this run does. Of each kind one run waits at most, since it does what others would.

    Raises:
        PipelineError: Another run is under way, and was so for the whole time.
        AnotherWaits: Another run of this kind is waiting.
    """
    path = lock_path(workspace)
    lock = FileLock(path)
    try:
        with writing(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
    except Timeout:
        _wait(lock, workspace, wait_s, kind)
    try:
        yield
    finally:
        lock.release()


def is_locked(workspace: Workspace) -> bool:
    """Tell whether a run is under way; makes no file where none ever was."""
    path = lock_path(workspace)
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def lock_path(workspace: Workspace) -> Path:
    """The file that is locked."""
    if "://" not in workspace.uri:
        folder, name = Path(workspace.uri), LOCK
    else:
        folder = Path(tempfile.gettempdir()) / f"crosscheck-locks-{getpass.getuser()}"
        name = hashlib.sha256(workspace.uri.encode()).hexdigest()[:16]
    return folder / name


def _wait(lock: FileLock, workspace: Workspace, wait_s: float, kind: str) -> None:
    if not wait_s:
        raise PipelineError(f"Another run is under way in {workspace.uri}. Wait for its end.")
    place = lock_path(workspace)
    try:
        with FileLock(place.with_name(f"{place.name}.{kind}-waits"), timeout=0):
            LOG.warning("Another run is under way in %s; waiting for its end, %.0f s at most", workspace.uri, wait_s)
            _acquire(lock, workspace, wait_s)
    except Timeout as fault:
        raise AnotherWaits(
            f"Another {kind} waits already for the end of the run in {workspace.uri}, and does what this one would."
        ) from fault


def _acquire(lock: FileLock, workspace: Workspace, wait_s: float) -> None:
    try:
        lock.acquire(timeout=wait_s, poll_interval=SECONDS_BETWEEN_TRIES)
    except Timeout as fault:
        raise PipelineError(
            f"Another run is still under way in {workspace.uri} after {wait_s:.0f} s. See what it does with "
            "`crosscheck status`, or raise `wait_s` of the deployment."
        ) from fault
