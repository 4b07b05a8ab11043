"""Which precision a device computes fastest in, judged by its instructions.

Told and not timed: timings on a busy machine choose now this, now that, and a selection would not repeat.
"""

from __future__ import annotations

import torch

from pipeline.settings.detector import Precision

TENSOR_CORES = (7, 0)
"""CUDA capability from which float16 has units of its own."""
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""What processors, x86 and ARM, call their instructions for it."""


def native_precision(accelerator: str) -> Precision:
    """Tell the half precision that a device has units for.

    Args:
        accelerator: `auto`, `cpu` or `cuda`.

    Returns:
        `bf16`, or on a GPU without it `fp16`; `fp32` where half precision would be emulated.
    """
    if accelerator == "cpu" or not torch.cuda.is_available():
        capabilities = torch.cpu.get_capabilities()
        return "bf16" if any(capabilities.get(name) for name in BFLOAT16) else "fp32"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp16" if torch.cuda.get_device_capability() >= TENSOR_CORES else "fp32"
