"""What storage refuses, in one line that names the place and the next step."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import ArtefactError

_TORCH_WRITER = "inline_container"
"""In what torch says where it cannot write a checkpoint; it gives no other reason."""
_NEXT_STEPS = {
    errno.ENOSPC: "the disk is full. Free space or move the workspace",
    errno.EDQUOT: "the quota is used up. Free space or move the workspace",
    errno.EFBIG: "the file is larger than is allowed here. Raise the limit (`ulimit -f`) or move the workspace",
    errno.EROFS: "it is read-only. Mount it writable or choose another place",
    errno.EACCES: "permission is denied. Give this user access or choose another place",
    errno.EPERM: "permission is denied. Give this user access or choose another place",
    errno.EIO: "the device fails. See the system's log",
}


def storage_fault(fault: OSError, place: str = "") -> str:
    """Say what storage refused, where, and what to do about it, in one line."""
    where = place or fault.filename or "a file"
    step = _NEXT_STEPS.get(fault.errno or 0, fault.strerror or str(fault))
    return f"{where}: {step}; then run again, what is finished is kept."


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Turn a disk that is full or may not be written into a fault that names the place and the next step.

    Raises:
        ArtefactError: The storage refuses.
    """
    try:
        yield
    except OSError as fault:
        if fault.errno not in _NEXT_STEPS:
            raise
        raise ArtefactError(storage_fault(fault, place)) from fault
    except RuntimeError as fault:
        if _TORCH_WRITER not in str(fault):
            raise
        raise ArtefactError(storage_fault(OSError(errno.ENOSPC, ""), place)) from fault
