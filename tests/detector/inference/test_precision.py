from pathlib import Path

import pytest
import torch

from pipeline.detector.inference.precision import native_precision

CPU = Path("/proc/cpuinfo")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"architecture": "x86_64", "avx512_bf16": True}, "bf16"),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False, "avx512_f": True}, "fp32"),
        ({"architecture": "aarch64", "bf16": True}, "bf16"),
        ({"architecture": "aarch64", "neon": True}, "fp32"),
    ],
)
@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_processors(monkeypatch, accelerator, capabilities, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert native_precision(accelerator) == expected


@pytest.mark.parametrize(
    ("bf16", "capability", "expected"), [(True, (9, 0), "bf16"), (False, (7, 5), "fp16"), (False, (6, 1), "fp32")]
)
def test_gpus(monkeypatch, bf16, capability, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert native_precision("auto") == native_precision("cuda") == expected


@pytest.mark.skipif(not CPU.exists(), reason="no list of the processor's instructions")
def test_this_processor():
    instructions = set(CPU.read_text().split())
    assert native_precision("cpu") == ("bf16" if instructions & {"avx512_bf16", "amx_bf16", "bf16"} else "fp32")
