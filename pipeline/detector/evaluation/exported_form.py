"""A form of a model on disk: its size, how long it takes for an image, and what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from pipeline.detector.evaluation.metrics import map_on
from pipeline.detector.inference.predictor import Predictor
from pipeline.folder import Folder
from pipeline.records import Sample

_PASSES = 7
"""Of which the fastest counts: other work on the machine only ever makes one slower."""


@dataclass(frozen=True)
class ExportedForm:
    """A form of a model.

    Attributes:
        form: torch, onnx or onnx_int8.
        file: Where it lies.
        megabytes: Its size.
        latency_ms: Of one image of split val, embeddings and suppression included, on this machine.
        map: On split val; None without labelled images there.
    """

    form: str
    file: str
    megabytes: float
    latency_ms: float | None
    map: float | None


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    Attributes:
        model: Which.
        folder: Where the files lie, with the card that says what goes in.
        pruned_channels: How many were taken out.
        forms: The model as it is, and what was exported.
    """

    model: str
    folder: str
    pruned_channels: int
    forms: tuple[ExportedForm, ...]


def measured_form(form: str, folder: Folder, name: str, predictor: Predictor, val: Sequence[Sample]) -> ExportedForm:
    """Measure a form.

    Args:
        form: torch, onnx or onnx_int8.
        folder: Where it lies.
        name: Of its file.
        predictor: Computes it.
        val: Labelled images; without any only its size is known.
    """
    size = round(folder.size(name) / 1e6, 2)
    if not val:
        return ExportedForm(form, folder.path(name), size, None, None)
    image = next(iter(predictor.stream([val[0].ref]))).images
    return ExportedForm(
        form, folder.path(name), size, round(1000 * fastest(lambda: predictor(image)), 1), map_on(predictor, val)
    )


@torch.no_grad()
def fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest of some passes, after one that is not timed."""
    run()
    seconds = []
    for _ in range(_PASSES):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
