"""Where proposals are pasted: hosts, places, sizes and the window of the host that is looked at again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.boxes import shift
from pipeline.detector.inference.tensor_columns import TensorColumns
from pipeline.mining.crops import Crops
from pipeline.mining.hosts import Hosts
from pipeline.settings import MiningSettings

LARGEST_SHARE = 0.9
"""A paste fills at most this share of a host's width and height; a larger one is scaled down."""
SAME_CLASS_WEIGHT = 10.0
"""Covering an object of the pasted class counts so much more than covering another."""
FRAME_PX = 2
"""Host context on each side of a paste, at least."""


@dataclass(frozen=True)
class Pastes(TensorColumns):
    """M pastes, in input pixels of their hosts unless it says otherwise.

    Attributes:
        proposal: Tensor[M] int64, which cut is pasted.
        number: Tensor[M] int64, which paste of this proposal it is, from 0.
        label: Tensor[M] int64, from 1.
        host: Tensor[M] int64, which host it goes to.
        class_free: Tensor[M] bool, whether the host holds no object of the class.
        source: Tensor[M, 4] int64, what of the cut is pasted, pixels of the crop.
        target: Tensor[M, 4] int64, where it is put.
        object: Tensor[M, 4] float32, where the object itself comes to lie.
        window: Tensor[M, 4] int64, the part of the host that is shown to the detector.
        scale: Tensor[M] float32, host pixels a pixel of the crop.
        margin: Tensor[M] float32, context pasted with the object, share of its sides.
    """

    proposal: Tensor
    number: Tensor
    label: Tensor
    host: Tensor
    class_free: Tensor
    source: Tensor
    target: Tensor
    object: Tensor
    window: Tensor
    scale: Tensor
    margin: Tensor

    def locate(self, boxes: Tensor) -> Tensor:
        """Where something of each crop comes to lie.

        Args:
            boxes (Tensor[M, 4]): in `(x1, y1, x2, y2)`, pixels of the crop of each paste.

        Returns:
            Tensor[M, 4], input pixels of the hosts.
        """
        origin, sides = (box[:, :2] for box in (self.target, self.target[:, 2:] - self.target[:, :2]))
        factor = sides / (self.source[:, 2:] - self.source[:, :2])
        return shift(shift(boxes, -self.source[:, :2]) * factor.repeat(1, 2), origin)


def plan_pastes(
    crops: Crops, hosts: Hosts, settings: MiningSettings, random: np.random.Generator, classes: Tensor | None = None
) -> Pastes:
    """Choose hosts and places for the proposals of one image.

    Of `places_tried` random places the one that covers least of the host's objects is taken. Where an image has many
    large objects they are pasted smaller (`paste_share`, `paste_px`).

    Args:
        crops: The proposals.
        hosts: Where to paste.
        settings: Number and kind of hosts, margin, window, jitter and placement.
        random: Drawn from in a fixed order; the same state gives the same pastes.
        classes: Tensor[N, C + 1] bool, which labels each may have and hosts should lack; its own alone without it.

    Returns:
        `N * settings.hosts` pastes, those of one proposal side by side.
    """
    count, each = len(crops), settings.hosts
    host, class_free = _choose_hosts(crops.label, hosts, settings, random, classes)
    objects = crops.object[:, 2:] - crops.object[:, :2]
    shrunk, longest = shrinkage(objects, float(hosts.sizes.double().prod(1).mean()), settings), objects.amax(1)
    margin = (settings.margin_px / (shrunk * longest)).clamp(max=settings.margin)
    source = crops.within(margin)
    sides = (source[:, 2:] - source[:, :2]).float()[:, None].expand(count, each, 2)
    jitter = torch.from_numpy(random.uniform(-settings.scale_jitter, settings.scale_jitter, (count, each))).float()
    largest = (hosts.sizes[host] * LARGEST_SHARE).floor().clamp(min=1)
    factor = torch.minimum((1 + jitter) * shrunk[:, None], (largest / sides).amin(-1))
    target_sides = (sides * factor[..., None]).round().clamp(min=1).long()
    origins = _draw_places(target_sides, hosts.sizes[host], settings, random)
    origin = _least_covered(origins, target_sides, crops.label, hosts, host)
    target = torch.cat([origin, origin + target_sides], dim=-1)

    def flat(values: Tensor) -> Tensor:
        return values.reshape(count * each, *values.shape[2:])

    planned = Pastes(
        proposal=torch.arange(count).repeat_interleave(each),
        number=torch.arange(each).repeat(count),
        label=crops.label.repeat_interleave(each),
        host=flat(host),
        class_free=flat(class_free),
        source=source.repeat_interleave(each, dim=0),
        target=flat(target),
        object=torch.zeros(count * each, 4),
        window=windows_around(flat(target), hosts.sizes[flat(host)], settings),
        scale=flat(factor),
        margin=margin.repeat_interleave(each),
    )
    return replace(planned, object=planned.locate(crops.object[planned.proposal]))


def shrinkage(sides: Tensor, host_px: float, settings: MiningSettings) -> Tensor:
    """How much smaller each object of an image is pasted, so that a host would hold `paste_share` of all windows.

    Args:
        sides (Tensor[N, 2]): width and height of the objects, input pixels.
        host_px: Pixels of a host.
        settings: How much room there is, and how small objects may become.

    Returns:
        Tensor[N], 1 for objects that are pasted at their own size.
    """
    windows = window_sides(sides, settings).prod(1).sum()
    fitting = float((settings.paste_share * host_px / windows).sqrt()) if len(sides) else 1.0
    return (settings.paste_px / sides.amax(1)).clamp(min=fitting).clamp(max=1)


def window_sides(sides: Tensor, settings: MiningSettings) -> Tensor:
    """About how large the windows round objects are that are pasted at their own size.

    Args:
        sides (Tensor[N, 2]): width and height of the objects, input pixels.
        settings: Margin and window.

    Returns:
        Tensor[N, 2], input pixels.
    """
    pasted = sides * (1 + 2 * (settings.margin_px / sides.amax(1, keepdim=True)).clamp(max=settings.margin))
    return (pasted + 2 * (settings.window * pasted).clamp(min=FRAME_PX)).clamp(min=settings.window_px)


def _choose_hosts(
    labels: Tensor, hosts: Hosts, settings: MiningSettings, random: np.random.Generator, classes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Host numbers and whether each is free of the class, Tensor[N, settings.hosts] both; the wanted kind first."""
    keys = torch.from_numpy(random.random((len(labels), len(hosts))))
    holds = hosts.holds[:, labels].T
    if classes is not None and settings.host_kind == "class_free_first":
        # Of those that lack its own class, hosts that lack every class that it may have come first.
        keys = 0.5 * keys + 0.5 * (classes.float() @ hosts.holds.float().T > 0)
    wanted = {"class_free_first": holds, "class_held_first": ~holds, "any": torch.zeros_like(holds)}
    order = (keys + wanted[settings.host_kind]).argsort(dim=1)
    chosen = order[:, torch.arange(settings.hosts) % len(hosts)]
    return chosen, ~holds.gather(1, chosen)


def _draw_places(sides: Tensor, sizes: Tensor, settings: MiningSettings, random: np.random.Generator) -> Tensor:
    """Top left corners to choose from, Tensor[N, each, tries, 2] int64."""
    tries = settings.places_tried if settings.placement == "least_covered" else 1
    draws = torch.from_numpy(random.random((*sides.shape[:2], tries, 2)))
    return (draws * (sizes - sides + 1)[:, :, None]).long()


def _least_covered(origins: Tensor, sides: Tensor, labels: Tensor, hosts: Hosts, host: Tensor) -> Tensor:
    """Of the corners drawn those that cover least of the objects of their host, Tensor[N, each, 2] int64."""
    if origins.shape[2] == 1:
        return origins[:, :, 0]
    places = torch.cat([origins, origins + sides[:, :, None]], dim=-1)[:, :, :, None]
    there = hosts.boxes[host][:, :, None]
    overlap = torch.minimum(places[..., 2:], there[..., 2:]) - torch.maximum(places[..., :2], there[..., :2])
    covered = overlap.clamp(min=0).prod(-1)
    same = (hosts.labels[host] == labels[:, None, None])[:, :, None]
    best = (covered * (1 + same * (SAME_CLASS_WEIGHT - 1))).sum(-1).argmin(-1)
    return origins.gather(2, best[..., None, None].expand(*best.shape, 1, 2))[:, :, 0]


def windows_around(target: Tensor, sizes: Tensor, settings: MiningSettings) -> Tensor:
    """The part of each host that is shown around a paste.

    Args:
        target (Tensor[M, 4]): int64, where crops are put, input pixels.
        sizes (Tensor[M, 2]): int64, width and height of the hosts.
        settings: How much host context there is.

    Returns:
        Tensor[M, 4] int64.
    """
    sides = target[:, 2:] - target[:, :2]
    context = torch.maximum((sides * settings.window).long(), (settings.window_px + 1 - sides) // 2)
    context = context.clamp(min=FRAME_PX)
    top_left = (target[:, :2] - context).clamp(min=0)
    return torch.cat([top_left, torch.minimum(target[:, 2:] + context, sizes)], dim=1)
