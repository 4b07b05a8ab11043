"""Drawing a piece of one image onto another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def render_window(
    crop: NDArray[np.uint8],
    host: NDArray[np.uint8],
    source: Sequence[int],
    target: Sequence[int],
    window: Sequence[int],
    feather_px: int = 0,
) -> NDArray[np.uint8]:
    """Draw one paste.

    Args:
        crop: uint8[h, w, 3], the object with its surroundings.
        host: uint8[H, W, 3], the image that it is pasted into; left as it is.
        source: `(x1, y1, x2, y2)` in the crop, the part of it that is pasted.
        target: `(x1, y1, x2, y2)` in the host, where that is put.
        window: `(x1, y1, x2, y2)` in the host, holds the target.
        feather_px: The outermost pixels of the crop blend into the host over so many pixels; 0 is a hard edge.

    Returns:
        uint8[h, w, 3]: the window with the crop on it.
    """
    (sx1, sy1, sx2, sy2), (tx1, ty1, tx2, ty2), (wx1, wy1, wx2, wy2) = source, target, window
    shown = host[wy1:wy2, wx1:wx2].copy()
    sides = (tx2 - tx1, ty2 - ty1)
    pasted: NDArray[Any] = crop[sy1:sy2, sx1:sx2]
    if sides != (sx2 - sx1, sy2 - sy1):
        shrinks = sides[0] < sx2 - sx1
        pasted = cv2.resize(pasted, sides, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    under = shown[ty1 - wy1 : ty2 - wy1, tx1 - wx1 : tx2 - wx1]
    if feather_px:
        share = _feather(*sides, feather_px)[..., None]
        pasted = np.rint(share * pasted + (1 - share) * under).astype(np.uint8)
    under[:] = pasted
    return shown


def _feather(width: int, height: int, feather_px: int) -> NDArray[np.float32]:
    """How much of the crop is seen, float32[h, w]: it rises from the edge inwards."""
    across, down = (np.minimum(np.arange(side) + 1, side - np.arange(side)) for side in (width, height))
    share: NDArray[np.float32] = (np.minimum(across, down[:, None]) / (feather_px + 1)).clip(max=1).astype(np.float32)
    return share
