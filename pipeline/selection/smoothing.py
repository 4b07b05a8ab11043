"""p(correct) of a box in the light of the other frames of its track: a moving average, and a small GRU."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.ndimage import convolve1d
from scipy.special import logit
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pipeline.seeds import derive_seed, numpy_generator
from pipeline.selection.localisation_bias import xyxy_of
from pipeline.selection.tracks import Flags, Floats, Ints, Tracks

FEATURES = ("seen", "p_logit", "iou", "lost")
"""Of a box: 1 (0 in frames without one), logit of p(correct), overlap with the box before it in its track (0 for the
first), and frames lost between the two."""
HIDDEN = 12
EPOCHS, PATIENCE = 300, 30
LEARNING_RATE = 0.01
LEFT_OUT = 0.25
"""Share of the sequences that tell when to stop."""
_EDGE = 1e-4


@dataclass(frozen=True)
class MovingAverage:
    """Mean of p(correct) over a centred window of a track.

    Attributes:
        reach: Frames of the window on either side; it is cut at the ends of the sequence.
        lost: What a frame without a box of the track counts; None leaves such frames out of the mean.
    """

    reach: int = 2
    lost: float | None = None

    def __call__(self, tracks: Tracks, p_correct: Floats) -> Floats:
        """Smooth.

        Args:
            tracks: Of N boxes.
            p_correct: float[N].

        Returns:
            float64[N], 0 to 1, higher = more likely right.
        """
        seen = tracks.lay_out(np.ones(len(p_correct)), 0.0)
        counted = seen if self.lost is None else tracks.shown.astype(np.float64)
        values = tracks.lay_out(p_correct, self.lost or 0.0) * counted
        ones = np.ones(2 * self.reach + 1)
        sums, counts = (convolve1d(each, ones, axis=1, mode="constant") for each in (values, counted))
        return tracks.of_boxes(sums) / tracks.of_boxes(counts)


class GatedCorrection(nn.Module):
    """A bidirectional GRU (arXiv 1406.1078) that corrects the logit of p(correct); untrained it corrects nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(len(FEATURES), HIDDEN, batch_first=True, bidirectional=True)
        self.correction = nn.Linear(2 * HIDDEN, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """Correct.

        Args:
            features (Tensor[K, T, F]): by `FEATURES`, 0 in frames without a box.
            frames (Tensor[K]): int64, how many frames count; the backward direction begins at the last of them.

        Returns:
            Tensor[K, T]: logits of p(correct); they mean something where there is a box.
        """
        packed = pack_padded_sequence(features, frames, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=features.shape[1])
        correction: Tensor = self.correction(states).squeeze(-1)
        return features[..., FEATURES.index("p_logit")] + correction


@dataclass(frozen=True)
class Smoother:
    """A fitted network.

    Attributes:
        network: What it is.
        epochs: How many it was fitted for, up to the best one.
    """

    network: GatedCorrection
    epochs: int

    @torch.inference_mode()
    def __call__(self, tracks: Tracks, boxes: pa.Table, p_correct: Floats) -> Floats:
        """Smooth.

        Args:
            tracks: Of N boxes.
            boxes: Columns `x1` to `y2`, N rows.
            p_correct: float[N].

        Returns:
            float64[N], 0 to 1, higher = more likely right; empty for no boxes.
        """
        if not len(p_correct):
            return np.zeros(0)
        logits = self.network(*_inputs(tracks, boxes, p_correct))
        return tracks.of_boxes(logits.double().sigmoid().numpy())


def fit_smoother(tracks: Tracks, boxes: pa.Table, p_correct: Floats, right: Flags, seed: int) -> Smoother:
    """Fit a network by cross-entropy on boxes whose truth is known.

    A quarter of the sequences is left out of the gradient; the weights are those with the least loss there.

    Args:
        tracks: Of N boxes of at least two sequences.
        boxes: Columns `x1` to `y2`, N rows.
        p_correct: float[N], from a model that has not seen the boxes, as it will not have seen those to be smoothed.
        right: bool[N].
        seed: Drives the first weights and which sequences are left out.

    Returns:
        The smoother.

    Raises:
        ValueError: There are boxes of fewer than two sequences.
    """
    sequences = np.unique(tracks.sequence)
    if len(sequences) < 2:
        raise ValueError(f"Expected boxes of at least two sequences, one of them to stop by, got {len(sequences)}")
    drawn = numpy_generator(seed, "left-out sequences").permutation(sequences)[: max(1, int(LEFT_OUT * len(sequences)))]
    left_out = np.isin(tracks.sequence, drawn)
    features, frames = _inputs(tracks, boxes, p_correct)
    truth = torch.from_numpy(tracks.lay_out(right, np.nan)).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "smoother"))
        network = GatedCorrection()
    parts = [(features[rows], frames[rows], truth[rows]) for rows in map(torch.from_numpy, (~left_out, left_out))]
    return _train(network, *parts)


Part = tuple[Tensor, Tensor, Tensor]


def _train(network: GatedCorrection, fitted: Part, left_out: Part) -> Smoother:
    """All tracks at once, until the loss of those left out has not fallen for some time."""
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    best, best_epoch, kept = float(_loss(network, left_out).detach()), 0, deepcopy(network)
    for epoch in range(1, EPOCHS + 1):
        optimizer.zero_grad()
        _loss(network, fitted).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            loss = float(_loss(network, left_out))
        if loss < best:
            best, best_epoch, kept = loss, epoch, deepcopy(network)
        elif epoch - best_epoch >= PATIENCE:
            break
    return Smoother(kept.eval(), best_epoch)


def _loss(network: GatedCorrection, part: Part) -> Tensor:
    """Cross-entropy over frames with a box."""
    features, frames, truth = part
    seen = ~truth.isnan()
    return binary_cross_entropy_with_logits(network(features, frames)[seen], truth[seen])


def _inputs(tracks: Tracks, boxes: pa.Table, p_correct: Floats) -> tuple[Tensor, Tensor]:
    """What the network is given: Tensor[K, T, F] by `FEATURES`, and Tensor[K] frames."""
    before = tracks.previous
    linked = before >= 0
    columns = (
        np.ones(len(before)),
        logit(p_correct.clip(_EDGE, 1 - _EDGE)),
        np.where(linked, _overlap(xyxy_of(boxes), before), 0.0),
        np.where(linked, tracks.frame - tracks.frame[before] - 1, 0),
    )
    features = torch.from_numpy(tracks.lay_out(np.stack(columns, axis=1), 0.0)).float()
    return features, torch.from_numpy(tracks.frames)


def _overlap(corners: Floats, others: Ints) -> NDArray[np.float64]:
    """float[N]: IoU of each box with another of them."""
    second = corners[others]
    sides = np.minimum(corners[:, 2:], second[:, 2:]) - np.maximum(corners[:, :2], second[:, :2])
    shared = sides.clip(0).prod(1)
    first_area, second_area = ((each[:, 2:] - each[:, :2]).prod(1) for each in (corners, second))
    return np.asarray(shared / (first_area + second_area - shared).clip(1e-9))
