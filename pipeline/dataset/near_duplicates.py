"""Groups of near-duplicate images: fingerprints that differ in few bits, joined transitively.

Two fingerprints that differ in few bits have a piece in common, if they are cut into one piece more than that: only
rows that share a piece are compared, which is exact and grows with the number of images. Where pieces would be so short
that many share them, or rows are few, every pair is compared; one 64-bit word rules out all but a few in ten thousand.
Rows that were compared before are not compared again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

FINGERPRINT_BITS = 256
_PAIRS_A_BLOCK = 2**21
_BLOCK = 2**16
"""Rows that are cut into pieces at once."""
_FEW_ROWS = 2000
_LEAST_PIECE = 16
"""Bits of a piece: by chance, 65,536 rows are needed for two to share one."""


def pack_fingerprints(fingerprints: Sequence[str]) -> NDArray[np.uint64]:
    """Lay fingerprints out for comparison.

    Args:
        fingerprints: N texts of 64 hex digits.

    Returns:
        uint64[N, 4]. Neighbouring rows of the image go to different words, so that each word sees all of it.

    Raises:
        ValueError: A text is not 64 hex digits.
    """
    wrong = next((text for text in fingerprints if len(text) != FINGERPRINT_BITS // 4), None)
    if wrong is not None:
        raise ValueError(f"Expected a fingerprint of 64 hex digits, got {wrong!r}")
    rows = np.frombuffer(bytes.fromhex("".join(fingerprints)), dtype=np.uint16).reshape(-1, 4, 4)
    return np.ascontiguousarray(rows.swapaxes(1, 2)).view(np.uint64).reshape(-1, 4)


def distances(one: NDArray[np.uint64], many: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Number of bits in which fingerprints differ.

    Args:
        one: uint64[..., 4].
        many: uint64[..., 4], broadcast against `one`.

    Returns:
        int64[...], 0 to 256.
    """
    differing: NDArray[np.int64] = np.bitwise_count(one ^ many).sum(axis=-1, dtype=np.int64)
    return differing


def join_near(packed: NDArray[np.uint64], bits: int, groups: NDArray[np.int64], compared: int = 0) -> NDArray[np.int64]:
    """Join groups that hold near-duplicates.

    Args:
        packed: uint64[N, 4], see `pack_fingerprints`.
        bits: Fingerprints that differ in at most so many bits are near-duplicates.
        groups: int64[N], equal numbers for rows that are known to belong together.
        compared: The first so many rows have been compared with each other before.

    Returns:
        int64[N]: group numbers from 0 without gaps; `int64[0]` for no rows.
    """
    joined = _renumbered(groups)
    rows = _worth_comparing(packed, bits, compared)
    if len(rows) == len(packed):
        return _joined(packed, bits, joined, compared)
    part = _joined(packed[rows], bits, _renumbered(joined[rows]), int(np.sum(rows < compared)))
    _, first = np.unique(part, return_index=True)
    return _merged(joined, joined[rows], joined[rows[first[part]]])


def _worth_comparing(packed: NDArray[np.uint64], bits: int, compared: int) -> NDArray[np.int64]:
    """Rows that share a piece with a new one, and the new ones; all of them where pieces would be short."""
    every = np.arange(len(packed))
    if not 0 < compared < len(packed) or FINGERPRINT_BITS // (bits + 1) < _LEAST_PIECE:
        return every
    keys = np.concatenate([_piece_keys(packed[start : start + _BLOCK], bits) for start in every[::_BLOCK]])
    shared = np.zeros(len(packed), dtype=bool)
    for column in keys.T:
        shared |= np.isin(column, column[compared:])
    return np.flatnonzero(shared)


def _piece_keys(packed: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    """uint64[N, bits + 1]: the first 64 bits of each piece; different ones are of different pieces."""
    every_bit = np.unpackbits(packed.view(np.uint8), axis=1)
    keys = np.zeros((len(packed), bits + 1, 8), dtype=np.uint8)
    for start in range(bits + 1):
        piece = np.packbits(every_bit[:, start :: bits + 1], axis=1)[:, :8]
        keys[:, start, : piece.shape[1]] = piece
    return keys.view(np.uint64)[:, :, 0]


def _joined(packed: NDArray[np.uint64], bits: int, joined: NDArray[np.int64], compared: int) -> NDArray[np.int64]:
    if len(packed) - compared > _FEW_ROWS and FINGERPRINT_BITS // (bits + 1) >= _LEAST_PIECE:
        return _joined_by_pieces(packed, bits, joined, compared)
    block = max(1, _PAIRS_A_BLOCK // max(1, len(packed)))
    for start in range(compared, len(packed), block):
        rows = packed[start : start + block]
        earlier = packed[: start + len(rows)]
        likely = np.bitwise_count(rows[:, None, 0] ^ earlier[None, :, 0]) <= bits
        columns = np.flatnonzero(likely.any(axis=0))
        near = distances(rows[:, None], earlier[columns]) <= bits
        joined = _linked(joined, np.arange(start, start + len(rows)), columns, near)
    return joined


def _joined_by_pieces(
    packed: NDArray[np.uint64], bits: int, groups: NDArray[np.int64], compared: int
) -> NDArray[np.int64]:
    every_bit = np.unpackbits(packed.view(np.uint8), axis=1)
    # Strided, so that each piece sees all of the image.
    for start in range(bits + 1):
        piece = np.packbits(every_bit[:, start :: bits + 1], axis=1)
        _, keys = np.unique(piece, axis=0, return_inverse=True)
        groups = _joined_by_keys(packed, bits, groups, compared, keys)
    return groups


def _joined_by_keys(
    packed: NDArray[np.uint64], bits: int, groups: NDArray[np.int64], compared: int, keys: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Join near rows of equal keys: each with the next of its key, then with the one after it, and so on."""
    order = np.argsort(keys, kind="stable")
    places: NDArray[np.int64] = np.arange(len(order))
    step = 0
    while len(places):
        step += 1
        places = places[places + step < len(order)]
        places = places[keys[order[places]] == keys[order[places + step]]]
        left, right = order[places], order[places + step]
        # Rows of one key stand in their order, so that the right one is the later.
        open_ = (groups[left] != groups[right]) & (right >= compared)
        left, right = left[open_], right[open_]
        near = distances(packed[left], packed[right]) <= bits
        if near.any():
            groups = _merged(groups, groups[left[near]], groups[right[near]])
    return groups


def _linked(
    groups: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64], near: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Join one neighbor a row at a time: thousands of frames of one scene are millions of pairs, but few joins."""
    while True:
        apart = near & (groups[rows, None] != groups[columns])
        linked = apart.any(axis=1)
        if not linked.any():
            return groups
        groups = _merged(groups, groups[rows[linked]], groups[columns[apart[linked].argmax(axis=1)]])


def _merged(groups: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    count = int(groups.max()) + 1
    links = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(count, count))
    _, component = connected_components(links, directed=False)
    return component.astype(np.int64)[groups]


def _renumbered(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)
