"""Which engine computes a detector's dense part, and its exported network, kept with the model."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.detector.inference.onnx_engine import export_onnx, is_installed, quantize_onnx, use_onnx
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.inference.two_precision import TwoPrecision, labelled_doubts
from pipeline.detector.models.detector import Detector
from pipeline.folder import Folder
from pipeline.records import ImageRef
from pipeline.settings.mining import Engine

LOG = logging.getLogger(__name__)

CALIBRATION_IMAGES = 32
"""int8 takes its ranges from so many labelled images, and two precisions their threshold on doubt."""


def fastest_engine(wanted: Engine, settings: PredictionSettings) -> Engine:
    """Say which engine computes: on a GPU torch, whatever is wanted, since the others are for processors.

    `auto` is ONNX Runtime where a processor would compute in float32, else torch in half precision.

    Args:
        wanted: What the settings say.
        settings: How the detector is applied.
    """
    on_cpu = settings.accelerator == "cpu" or (settings.accelerator == "auto" and not torch.cuda.is_available())
    if on_cpu and wanted != "auto":
        return wanted
    return "onnx" if on_cpu and settings.precision == "fp32" and not settings.compiled and is_installed() else "torch"


def predictor_with_engine(
    detector: Detector, settings: PredictionSettings, engine: Engine, kept: Folder, labelled: Sequence[ImageRef]
) -> Predictor:
    """Make a detector ready to be applied by an engine.

    An export takes seconds and is kept; where it fails, a line in the log says why and torch does the work.

    Args:
        detector: As it was trained.
        settings: How it is applied.
        engine: `auto`, `torch`, `onnx`, `onnx_int8`, or `onnx_two_precision`, which keeps both exports.
        kept: The model's folder.
        labelled: Images that int8 takes its ranges from, and two precisions their threshold.
    """
    wanted, engine = engine, fastest_engine(engine, settings)
    if engine == "torch":
        if wanted not in {"auto", "torch"}:
            LOG.warning("mining.engine %s is for processors: torch computes on the GPU", wanted)
        if wanted == "auto" and not is_installed():
            LOG.info("Torch computes; `pip install 'crosscheck[onnx]'` makes detection faster on processors")
        return Predictor(detector, settings)
    try:
        if engine == "onnx_two_precision":
            return _in_two_precisions(detector, settings, kept, labelled)
        return _by_onnx(detector, settings, engine, kept, labelled)
    except (ImportError, ValueError) as fault:
        LOG.warning("Torch computes what ONNX Runtime should: %s", fault)
        return Predictor(detector, settings)


def _in_two_precisions(
    detector: Detector, settings: PredictionSettings, kept: Folder, labelled: Sequence[ImageRef]
) -> TwoPrecision:
    engines: tuple[Engine, Engine] = "onnx_int8", "onnx"
    int8, float32 = (_by_onnx(copy.deepcopy(detector), settings, one, kept, labelled) for one in engines)
    doubts = labelled_doubts(int8, kept, labelled[:CALIBRATION_IMAGES])
    return TwoPrecision(int8, float32, doubts.threshold(settings.float32_share))


def _by_onnx(
    detector: Detector, settings: PredictionSettings, engine: Engine, kept: Folder, labelled: Sequence[ImageRef]
) -> Predictor:
    """As `predictor_with_engine`; where it raises, the detector stays torch's."""
    name = f"{engine}.onnx"
    if not kept.exists(name):
        kept.write_bytes(name, _export(detector, settings, engine, labelled))
    use_onnx(detector, kept.read_bytes(name), torch.get_num_threads())
    return Predictor(detector, settings)


def _export(detector: Detector, settings: PredictionSettings, engine: Engine, labelled: Sequence[ImageRef]) -> bytes:
    if not is_installed():
        raise ImportError("Expected the packages onnx and onnxruntime, found none. `pip install 'crosscheck[onnx]'`")
    exported = export_onnx(detector)
    if engine == "onnx":
        return exported
    images = _normalised(Predictor(detector, settings), labelled[:CALIBRATION_IMAGES])
    if not images:
        raise ValueError("int8 expects labelled images to take its ranges from, found none")
    return quantize_onnx(exported, images)


def _normalised(predictor: Predictor, refs: Sequence[ImageRef]) -> list[NDArray[np.float32]]:
    """Images as the network sees them, float32[3, H, W] each."""
    transform = predictor.detector.network.transform
    stream = predictor.stream(refs)
    batches = (torch.from_numpy(image.transpose(2, 0, 1).copy()) for batch in stream for image in batch.unpadded())
    return [transform(image[None])[0].tensors[0].numpy() for image in batches]
