"""What the pastes of proposals would cost, before any is planned: by the sizes of boxes and images alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipeline.boxes import as_boxes
from pipeline.mining.columns import CORNERS
from pipeline.mining.pastes import shrinkage, window_sides
from pipeline.mining.redetection import PACKED
from pipeline.mining.sharing import runs, share_pastes
from pipeline.settings import MiningSettings


def paste_prices(proposals: pa.Table, sizes: Tensor, input_px: int, settings: MiningSettings) -> Tensor:
    """Estimate what the pastes of proposals cost if all of them are pasted.

    Args:
        proposals: Columns `image_id`, `x1` to `y2` and `label`; those of one image side by side, best first.
        sizes (Tensor[N, 2]): width and height of the image of each, its own pixels; hosts are about as large.
        input_px: Longest side of an image as the detector sees it.
        settings: How boxes are pasted.

    Returns:
        Tensor[N, rounds], in detection passes over the image; 0 for boxes that share the pastes of another.
    """
    scale = input_px / sizes.amax(1, keepdim=True)
    corners = np.stack([proposals[name].to_numpy() for name in CORNERS], axis=1)
    boxes, sizes = as_boxes(corners) * scale, sizes * scale
    images = proposals["image_id"].to_numpy(zero_copy_only=False)
    labels = torch.from_numpy(np.unique(proposals["label"].to_numpy(zero_copy_only=False), return_inverse=True)[1])
    shown = share_pastes(boxes, labels, images).shown
    each = torch.zeros(len(boxes))
    for start, end in runs(images[shown.numpy()]):
        rows = shown[start:end]
        sides, image_px = boxes[rows, 2:] - boxes[rows, :2], float(sizes[rows[0]].prod())
        pasted = sides * shrinkage(sides, image_px, settings)[:, None]
        each[rows] = (window_sides(pasted, settings).prod(1) / image_px / PACKED).float()
    before = (0, *settings.rounds[:-1])
    return torch.stack([each * (after - already) for already, after in zip(before, settings.rounds, strict=True)], 1)
