"""Pastes put by hand."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.boxes import as_boxes
from pipeline.mining.crops import Crops
from pipeline.mining.pastes import Pastes


def placed(*rows, hosts, context=None):
    """Pastes without margin and jitter.

    Args:
        rows: `(source, (x1, y1, x2, y2), label number, host, (x, y))`, whole pixels.
        hosts: Where they go.
        context: Host pixels shown on each side; None shows the whole host.
    """
    source, box, label, host, place = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 5
    crop = torch.tensor(box, dtype=torch.int64).reshape(-1, 4)
    origin = torch.tensor(place, dtype=torch.int64).reshape(-1, 2)
    host = torch.tensor(host, dtype=torch.int64)
    target = torch.cat([origin, origin + crop[:, 2:] - crop[:, :2]], dim=1)
    whole = torch.cat([torch.zeros_like(origin), hosts.sizes[host]], dim=1)
    reach = torch.tensor([-1, -1, 1, 1]) * (10_000 if context is None else context)
    window = torch.cat(
        [torch.maximum(target + reach, whole)[:, :2], torch.minimum(target + reach, whole)[:, 2:]], dim=1
    )
    return Pastes(
        proposal=torch.tensor(source, dtype=torch.int64),
        number=torch.zeros(len(rows), dtype=torch.int64),
        label=torch.tensor(label, dtype=torch.int64),
        host=host,
        class_free=torch.ones(len(rows), dtype=torch.bool),
        source=crop,
        target=target,
        object=target.float(),
        window=window,
        scale=torch.ones(len(rows)),
        margin=torch.zeros(len(rows)),
    )


def uncut(sources):
    """Whole images as crops, for pastes put by hand."""
    count = len(sources)
    boxes, labels = as_boxes([[0, 0, 1, 1]] * count), torch.ones(count, dtype=torch.int64)
    return Crops(list(sources), boxes, labels, torch.zeros(count, 2))


def whole_images(boxes, labels, size):
    """Proposals whose crops are images of one size."""
    blank = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    numbers, origin = torch.tensor(labels, dtype=torch.int64), torch.zeros(len(boxes), 2)
    return Crops([blank] * len(boxes), as_boxes(boxes), numbers, origin)
