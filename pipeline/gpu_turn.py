"""One run at a time on a GPU of this machine, whichever project it is of.

By a lock of the operating system: a process that dies holds nothing, where a limit in Prefect would be kept.
"""

from __future__ import annotations

import getpass
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.settings import TrainingSettings
from pipeline.storage_faults import writing

LOG = logging.getLogger(__name__)
VISIBLE = "CUDA_VISIBLE_DEVICES"
SECONDS_BETWEEN_TRIES = 1.0


@contextmanager
def gpu_turn(settings: TrainingSettings) -> Iterator[None]:
    """Wait for the GPUs that training or mining would use, and keep other runs of this user from them.

    Args:
        settings: Accelerator and number of devices; nothing is waited for where a processor does the work.
    """
    with ExitStack() as held:
        for name in used_gpus(settings):
            held.enter_context(_turn(name))
        yield


def used_gpus(settings: TrainingSettings) -> list[str]:
    """Names of the GPUs that are used, in the order in which everybody takes them; none on a processor."""
    if settings.accelerator == "cpu":
        return []
    import torch  # which a command that computes nothing should not wait for

    every = ",".join(map(str, range(torch.cuda.device_count())))
    visible = [name.strip() for name in os.environ.get(VISIBLE, every).split(",") if name.strip()]
    return sorted(visible[: settings.devices]) if torch.cuda.is_available() else []


@contextmanager
def _turn(name: str) -> Iterator[None]:
    folder = Path(tempfile.gettempdir()) / f"crosscheck-gpus-{getpass.getuser()}"
    with writing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / name.replace("/", "-"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        LOG.warning("Another run uses GPU %s of this machine; waiting for its end", name)
        lock.acquire(poll_interval=SECONDS_BETWEEN_TRIES)
    try:
        yield
    finally:
        lock.release()
