"""The published rule of Self-supervised Sample Mining (CVPR 2018, arXiv 1803.09867), written plainly.

One image, one proposal, one paste at a time, each a full forward pass. It exists to be compared with: the engine in
`validate` is held against it in tests and benchmarks. Where the paper's text and its public code differ, the code is
followed and the text named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.detector.inference.predictor import Detections

HOSTS = 5
PASSES_AT = 3
PROPOSAL_SCORE = 0.5
HIT_SCORE = 0.5
HIT_IOU = 0.5
FIRST_GAMMA, GAMMA_STEP = 0.15, 0.05

Detect = Callable[[NDArray[np.uint8]], Detections]
"""Finds objects in one image, uint8[H, W, 3]."""


@dataclass(frozen=True)
class Verdict:
    """What cross-image validation said of one proposal.

    Attributes:
        hits: In how many hosts it was found again.
        scores: The score of each paste's re-detection, 0 for a miss.
        consistency: Mean score over hits, 0 without any (the text: over all hosts).
        passed: At least three hits.
    """

    hits: int
    scores: tuple[float, ...]
    consistency: float
    passed: bool


def gate_loss(class_scores: Tensor) -> Tensor:
    """Loss of a proposal against its own sign of each class; above gamma its image goes to a person.

    Args:
        class_scores (Tensor[N, C + 1]): scores over all classes, background included, 0 to 1.

    Returns:
        Tensor[N]: `-sum_c log(p_c if p_c > 0.5 else 1 - p_c)`, higher = less sure.
    """
    agreed = torch.where(class_scores > 0.5, class_scores, 1 - class_scores)
    return -agreed.log().sum(1)


def gamma(cycle: int) -> float:
    """The gate's threshold, which grows every round.

    Args:
        cycle: From 0.
    """
    return FIRST_GAMMA + GAMMA_STEP * cycle


def cross_validate(
    detect: Detect,
    crop: NDArray[np.uint8],
    label: int,
    hosts: Sequence[NDArray[np.uint8]],
    places: Sequence[tuple[int, int]],
) -> Verdict:
    """Paste one proposal into hosts, detect, and count.

    Args:
        detect: The detector.
        crop: uint8[h, w, 3], the proposal cut out tightly.
        label: Its class number.
        hosts: uint8[H, W, 3] each, images without that class, larger than the crop.
        places: `(x, y)` of the crop's top left corner in each host.

    Returns:
        The verdict.
    """
    scores = tuple(_paste_and_find(detect, crop, label, host, place) for host, place in zip(hosts, places, strict=True))
    hits = [score for score in scores if score > 0]
    consistency = sum(hits) / len(hits) if hits else 0.0
    return Verdict(len(hits), scores, consistency, len(hits) >= PASSES_AT)


def _paste_and_find(
    detect: Detect, crop: NDArray[np.uint8], label: int, host: NDArray[np.uint8], place: tuple[int, int]
) -> float:
    (x, y), (height, width) = place, crop.shape[:2]
    canvas = host.copy()
    canvas[y : y + height, x : x + width] = crop
    found = detect(canvas)
    same = found[found.labels == label]
    if len(same) == 0:
        return 0.0
    overlap = box_iou(torch.tensor([[x, y, x + width, y + height]], dtype=torch.float32), same.boxes)[0]
    counts = (overlap > HIT_IOU) & (same.scores > HIT_SCORE)
    return float((counts * same.scores).max())


def random_place(
    host: NDArray[np.uint8], crop: NDArray[np.uint8], random: np.random.Generator
) -> tuple[int, int] | None:
    """A uniform place for a crop in a host.

    Args:
        host: uint8[H, W, 3].
        crop: uint8[h, w, 3].
        random: Drawn from.

    Returns:
        `(x, y)` of the top left corner, None where the crop does not fit.
    """
    room = (host.shape[1] - crop.shape[1], host.shape[0] - crop.shape[0])
    if min(room) < 0:
        return None
    return int(random.integers(0, room[0] + 1)), int(random.integers(0, room[1] + 1))
