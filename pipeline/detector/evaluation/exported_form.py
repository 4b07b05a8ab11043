"""A form of a model on disk: its size, how long it takes for an image, and what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from pipeline.detector.evaluation.metrics import map_on
from pipeline.detector.inference.predictor import Predictor
from pipeline.folder import Folder
from pipeline.records import Sample

_PASSES = 7
"""Of which the fastest counts: other work on the machine only ever makes one slower."""

_PAIRS = 31


@dataclass(frozen=True)
class ExportedForm:
    """A form of a model.

    Attributes:
        form: torch, onnx or onnx_int8.
        file: Where it lies.
        megabytes: Its size.
        latency_ms: Of one image of split val, embeddings and suppression included, on this machine.
        map: On split val; None without labelled images there.
        latency_ratio: To the same form of the whole model, both timed in turn; None for a whole model.
    """

    form: str
    file: str
    megabytes: float
    latency_ms: float | None
    map: float | None
    latency_ratio: float | None = None


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    Attributes:
        model: Which.
        folder: Where the files lie, with the card that says what goes in.
        pruned_channels: How many were taken out.
        grouped_layers: How many pointwise convolutions are group convolutions now.
        dense_layers: How many of them would have lost more than they may.
        forms: The model as it is, and what was exported.
    """

    model: str
    folder: str
    pruned_channels: int
    grouped_layers: int
    dense_layers: int
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
    image = _first_image(predictor, val)
    return ExportedForm(
        form, folder.path(name), size, round(1000 * fastest(lambda: predictor(image)), 1), map_on(predictor, val)
    )


@torch.no_grad()
def latency_ratio(predictor: Predictor, whole: Predictor, val: Sequence[Sample]) -> float:
    """Time that a predictor takes for an image, divided by that of another: the median of pairs of passes."""
    image, pairs = _first_image(predictor, val), []
    for _ in range(1 + _PAIRS):
        moments = [time.perf_counter()]
        for each in (predictor, whole):
            each(image)
            moments.append(time.perf_counter())
        pairs.append((moments[1] - moments[0]) / (moments[2] - moments[1]))
    return round(median(pairs[1:]), 2)


def _first_image(predictor: Predictor, val: Sequence[Sample]) -> torch.Tensor:
    return next(iter(predictor.stream([val[0].ref]))).images


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
