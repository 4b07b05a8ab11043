"""Which precision is fastest here: measured, since processors differ in what they gain from half precision."""

from __future__ import annotations

import platform
import time

import torch

from pipeline.detector.build import Detector
from pipeline.detector.predict import Predictor
from pipeline.settings.detector import Precision

WORTH = 1.1
"""Half precision is taken only where it is so many times as fast, so that noise does not decide."""
PICTURES, REPEATS = 4, 3


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
    cuda = accelerator != "cpu" and torch.cuda.is_available()
    half: Precision = "fp16" if cuda and not torch.cuda.is_bf16_supported() else "bf16"
    predictors = {name: Predictor(detector, name, accelerator) for name in ("fp32", half)}
    side = detector.settings.image_size_px
    pictures = torch.full((PICTURES, 3, side, side), 127, dtype=torch.uint8)
    seconds = {name: _best_of(predictor, pictures) for name, predictor in predictors.items()}
    return half if seconds["fp32"] >= WORTH * seconds[half] else "fp32"


def _best_of(predictor: Predictor, pictures: torch.Tensor) -> float:
    predictor(pictures)
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        predictor(pictures)  # its answer lies on the CPU, so a GPU has finished
        times.append(time.perf_counter() - began)
    return min(times)
