"""Telling that memory ran out from other faults: torch says it in two ways."""

from __future__ import annotations

import torch

_OF_CPU = "can't allocate memory"
"""In what torch's allocator of main memory says; it raises a plain RuntimeError."""


def is_out_of_memory(fault: BaseException) -> bool:
    """Tell whether a device, or this machine, has no memory left."""
    return isinstance(fault, torch.OutOfMemoryError) or (isinstance(fault, RuntimeError) and _OF_CPU in str(fault))
