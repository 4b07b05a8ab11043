"""What a pretrained backbone sees in whole images, before any detector was trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

from pipeline.detector.inference.predictor import Predictor
from pipeline.detector.inference.stream import STRIDE, Fault
from pipeline.progress import Progress, silent
from pipeline.records import ImageRef


@dataclass(frozen=True)
class ImageFeatures:
    """Features of some images.

    Attributes:
        image_ids: Which.
        vectors: float32[K, D], unit length.
        faults: Images that could not be read; they are not among these.
    """

    image_ids: list[str]
    vectors: NDArray[np.float32]
    faults: tuple[Fault, ...]


@torch.inference_mode()
def image_features(predictor: Predictor, refs: Iterable[ImageRef], progress: Progress = silent) -> ImageFeatures:
    """Describe images by the mean of the deepest features of the detector's backbone.

    Args:
        predictor: Its body has pretrained weights; what lies above it may be untrained.
        refs: The images.
        progress: Called after every batch.
    """
    wanted = list(refs)
    stream, transform = predictor.stream(wanted), predictor.detector.network.transform
    image_ids: list[str] = []
    vectors: list[NDArray[np.float32]] = []
    for batch in stream:
        pixels = transform(batch.images.to(predictor.device))[0].tensors
        levels = predictor.detector.body(pixels)
        deepest = list(levels.values() if isinstance(levels, dict) else levels)[-1]
        for features, size in zip(deepest, batch.sizes, strict=True):
            height, width = (-(-side // STRIDE) for side in size)
            vectors.append(F.normalize(features[:, :height, :width].float().mean((1, 2)), dim=0).cpu().numpy())
        image_ids.extend(ref.image_id for ref in batch.refs)
        progress("looking at images", len(image_ids), len(wanted))
    stacked = np.stack(vectors) if vectors else np.zeros((0, 1), np.float32)
    return ImageFeatures(image_ids, stacked, tuple(stream.faults))
