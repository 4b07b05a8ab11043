"""Which input channels of a pointwise convolution talk to which outputs: groups that keep most of its weights.

A matrix of weights is put in block-diagonal form by linear programs, for the outputs and for the inputs in turn, as in
Structured Sparsification with Joint Optimization of Group Convolution and Channel Shuffle (UAI 2021, arXiv 2002.08127,
section 3.3). There the number of groups is found layer by layer among powers of two; here it is given, and what is kept
is the squared norm. The search goes up to a local optimum, so it has several starts, one of them spectral: the
co-clustering of Dhillon (KDD 2001), which finds blocks that are there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import qr, svd
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

_BY_CHANCE, _SMALL = 8, 4096
"""Starts drawn at random, for matrices of so many weights at most; in larger ones they take minutes and gain little."""
_LEAST_RISE = 1e-3
_Matrix = NDArray[np.float64]
_Groups = NDArray[np.int64]


class ChannelGroups(NamedTuple):
    """The group of each channel, 0 to N - 1; all have the same size.

    Attributes:
        outputs: Tensor[O] int64.
        inputs: Tensor[I] int64.
    """

    outputs: Tensor
    inputs: Tensor


def pointwise_convolutions(body: nn.Module, count: int) -> dict[str, nn.Conv2d]:
    """Dense convolutions of 1 x 1 whose channels can be dealt out to so many groups, by name."""
    return {
        name: layer
        for name, layer in body.named_modules()
        # Kinds with a forward pass of their own, such as binary ones, compute with other weights than they store.
        if type(layer) is nn.Conv2d
        and (layer.kernel_size, layer.groups, layer.padding) == ((1, 1), 1, (0, 0))
        and layer.in_channels % count == layer.out_channels % count == 0
    }


def find_groups(weight: Tensor, count: int, start: ChannelGroups | None = None) -> ChannelGroups:
    """Find groups such that the weights within them have a large squared norm. The same weights give the same groups.

    Args:
        weight: Tensor[O, I].
        count: N, a divisor of O and I.
        start: Groups to begin with; what is found keeps no less than they do. None: begin anew.
    """
    squares = weight.detach().double().square().cpu().numpy()
    starts = _starts(squares, count) if start is None else [start.inputs.cpu().numpy()]
    found = [_climb(squares, inputs, count) for inputs in starts]
    outputs, inputs = max(found, key=lambda groups: _kept(squares, *groups))
    return ChannelGroups(*(torch.from_numpy(side).to(weight.device) for side in (outputs, inputs)))


def block_norms(weight: Tensor, groups: ChannelGroups, count: int) -> Tensor:
    """Norms of the blocks of weights between two groups.

    Args:
        weight: Tensor[O, I].
        groups: Of its channels.
        count: N.

    Returns:
        Tensor[N, N]: from the inputs of a column's group to the outputs of a row's.
    """
    outputs, inputs = (nn.functional.one_hot(side, count).to(weight.dtype) for side in groups)
    return (outputs.T @ weight.square() @ inputs).sqrt()


def dropped_share(weight: Tensor, groups: ChannelGroups, count: int) -> float:
    """Share of the squared norm of Tensor[O, I] that lies outside the groups, 0 to 1; 0 for weights of 0."""
    squares = block_norms(weight.detach().double(), groups, count).square()
    total = float(squares.sum())
    return 1 - float(squares.trace()) / total if total else 0.0


def _starts(squares: _Matrix, count: int) -> list[_Groups]:
    random = np.random.default_rng(0)
    in_order = np.arange(squares.shape[1]) * count // squares.shape[1]
    drawn = _BY_CHANCE if squares.size <= _SMALL else 0
    return [_spectral(squares, count), in_order, *(random.permutation(in_order) for _ in range(drawn))]


def _spectral(squares: _Matrix, count: int) -> _Groups:
    """Groups of the inputs by the first singular vectors of the matrix, its rows and columns normalised."""
    scale = np.sqrt(np.outer(squares.sum(1), squares.sum(0)))
    scaled = np.divide(squares, scale, out=np.zeros_like(squares), where=scale > 0)
    vectors = svd(scaled, full_matrices=False)[2][:count]
    # Columns that differ most from each other stand for the groups (arXiv 1609.08251).
    pivots = qr(vectors, mode="r", pivoting=True)[1][:count]
    return _dealt(np.abs(vectors.T @ vectors[:, pivots]))


def _climb(squares: _Matrix, inputs: _Groups, count: int) -> tuple[_Groups, _Groups]:
    outputs, before, kept = inputs, -1.0, 0.0
    while kept > before * (1 + _LEAST_RISE):
        outputs = _dealt(squares @ np.eye(count)[inputs])
        inputs = _dealt(squares.T @ np.eye(count)[outputs])
        before, kept = kept, _kept(squares, outputs, inputs)
    return outputs, inputs


def _kept(squares: _Matrix, outputs: _Groups, inputs: _Groups) -> float:
    return float(squares[outputs[:, None] == inputs].sum())


def _dealt(gains: _Matrix) -> _Groups:
    """The group of each channel, all groups of one size, where gains [C, N] add up to the most."""
    channels, count = gains.shape
    if count == 2:  # what the program below finds, at once
        return (np.argsort(np.argsort(gains[:, 0] - gains[:, 1])) < channels // 2).astype(np.int64)
    places = np.repeat(np.arange(count), channels // count)
    return places[linear_sum_assignment(gains[:, places], maximize=True)[1]]
