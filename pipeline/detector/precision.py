"""Which precision is fastest here: measured, since processors differ in what they gain from half precision."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from functools import partial

import torch

from pipeline.detector.build import Detector
from pipeline.detector.heads import Target
from pipeline.detector.predict import Predictor
from pipeline.detector.stream import STRIDE
from pipeline.settings.detector import Precision

WORTH = 1.1
"""Half precision is taken only where it is so many times as fast, so that noise does not decide."""
PICTURES, REPEATS = 4, 5
DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def device_name(accelerator: str) -> str:
    """What detection runs on, by name and, on a processor, by the threads that it uses."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def fastest_precision(detector: Detector, accelerator: str) -> Precision:
    """Detect in blank pictures in full and in half precision, in turn.

    Args:
        detector: Any; its precision is left as it is.
        accelerator: `auto`, `cpu` or `cuda`.

    Returns:
        `fp32`, unless half precision is clearly faster: `bf16`, or on a GPU without it `fp16`.
    """
    half = _half(accelerator)
    predictors = {name: Predictor(detector, name, accelerator) for name in ("fp32", half)}
    pictures = _blank(detector)
    return _faster(accelerator, half, {name: partial(predictor, pictures) for name, predictor in predictors.items()})


def fastest_training_precision(detector: Detector, accelerator: str) -> Precision:
    """Learn from blank pictures with an object each in full and in half precision, in turn.

    Args:
        detector: Any; a copy of it learns.
        accelerator: `auto`, `cpu` or `cuda`.

    Returns:
        `fp32`, unless half precision is clearly faster: `bf16`, or on a GPU without it `fp16`.
    """
    half = _half(accelerator)
    device = torch.device("cuda" if _is_cuda(accelerator) else "cpu")
    student = deepcopy(detector).train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learn = partial(_learn, student, _blank(detector).to(device))
    return _faster(accelerator, half, {"fp32": partial(learn, None), half: partial(learn, DTYPES[half])})


def _learn(student: Detector, pictures: torch.Tensor, dtype: torch.dtype | None) -> None:
    device, side = pictures.device, pictures.shape[-1]
    target: Target = {
        "boxes": torch.tensor([[side / 4, side / 4, side / 2, side / 2]], device=device),
        "labels": torch.ones(1, dtype=torch.int64, device=device),
        "weights": torch.ones(1, device=device),
        "ignore": torch.zeros(0, 4, device=device),
    }
    with torch.autocast(device.type, dtype) if dtype else nullcontext():
        losses = student(pictures, [target] * len(pictures))
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    student.zero_grad()
    if device.type == "cuda":
        torch.cuda.synchronize()


def _is_cuda(accelerator: str) -> bool:
    return accelerator != "cpu" and torch.cuda.is_available()


def _half(accelerator: str) -> Precision:
    return "fp16" if _is_cuda(accelerator) and not torch.cuda.is_bf16_supported() else "bf16"


def _blank(detector: Detector) -> torch.Tensor:
    side = detector.settings.image_size_px
    side = -(-side // STRIDE) * STRIDE
    return torch.full((PICTURES, 3, side, side), 127, dtype=torch.uint8)


def _faster(accelerator: str, half: Precision, work: dict[Precision, Callable[[], object]]) -> Precision:
    """Half precision where it is clearly faster, measured in turn.

    A processor's own time is counted, not the clock's, so that a busy machine chooses as an idle one does.
    """
    clock = time.perf_counter if _is_cuda(accelerator) else time.process_time
    seconds: dict[Precision, list[float]] = {name: [] for name in work}
    for _ in range(1 + REPEATS):
        for name, each in work.items():
            began = clock()
            each()  # its outcome lies on the CPU, or a GPU was waited for
            seconds[name].append(clock() - began)
    best = {name: min(times[1:]) for name, times in seconds.items()}
    return half if best["fp32"] >= WORTH * best[half] else "fp32"
