"""Statistics of a trained body, estimated anew on images of another domain (AdaBN, arXiv 1603.04779).

Where batch normalisation is folded into convolutions, no statistics are left; then the outputs of each convolution are
brought to the mean and deviation that they have on labelled images, which is the same for a body that was trained so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from pipeline.detector.models.detector import Detector

TINY = 1e-5
Observe = Callable[[nn.Module, Tensor], Tensor | None]
Moments = tuple[Tensor, Tensor]
"""Mean and standard deviation of each channel of a layer's outputs, Tensor[C] each."""


@torch.no_grad()
def reestimate(detector: Detector, labelled: Iterable[Tensor], pool: Iterable[Tensor]) -> int:
    """Fit a detector's statistics to the pool, in place; nothing is learnt.

    Args:
        detector: On the CPU or a GPU, in evaluation mode.
        labelled: Batches, Tensor[B, 3, H, W] uint8, of what it learnt from; read where normalisation is folded.
        pool: Batches of what it is to be used on.

    Returns:
        How many layers were changed.

    Raises:
        ValueError: Its normalisation has no statistics, or there are no images.
    """
    learning = [each for each in detector.body.modules() if isinstance(each, _BatchNorm)]
    folded = {name: each for name, each in detector.body.named_modules() if _is_folded(each)}
    if learning:
        _measure_anew(detector, pool)
    elif detector.settings.batch_norm == "frozen" and folded:
        _align(detector, list(folded.values()), labelled, pool)
    else:
        raise ValueError(
            "Expected a body whose batch normalisation is folded, synchronised or switchable, got detector.batch_norm "
            f"{detector.settings.batch_norm!r} of {detector.settings.backbone!r}, which has no statistics of images"
        )
    return len(learning) or len(folded)


def _is_folded(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.bias is not None


def _measure_anew(detector: Detector, pool: Iterable[Tensor]) -> None:
    images = [_normalised(detector, batch) for batch in pool]
    if not images:
        raise ValueError("Expected images of the pool to estimate statistics on, found none")
    update_bn(images, detector.body)
    detector.eval()


def _align(detector: Detector, layers: list[Any], labelled: Iterable[Tensor], pool: Iterable[Tensor]) -> None:
    source = _Moments()
    _observe(detector, layers, labelled, source.add)
    _bring_to(detector, {layer: source.of(layer) for layer in source.rows}, pool)


@torch.no_grad()
def folded_moments(detector: Detector, images: Iterable[Tensor]) -> dict[str, Moments]:
    """Mean and deviation of the outputs of each convolution that normalisation is folded into, by its name.

    Args:
        detector: In evaluation mode.
        images: Batches, Tensor[B, 3, H, W] uint8.

    Raises:
        ValueError: There are no images.
    """
    seen, folded = _Moments(), {each: name for name, each in detector.body.named_modules() if _is_folded(each)}
    _observe(detector, list(folded), images, seen.add)
    return {name: seen.of(layer) for layer, name in folded.items() if layer in seen.rows}


@torch.no_grad()
def bring_to(detector: Detector, wanted: Mapping[str, Moments], images: Iterable[Tensor]) -> None:
    """Give the outputs of a detector's convolutions other means and deviations, in place.

    Args:
        detector: In evaluation mode.
        wanted: As `folded_moments` gives them, for convolutions of the detector's body.
        images: Batches, Tensor[B, 3, H, W] uint8, on which they are to hold.

    Raises:
        ValueError: There are no images.
    """
    _bring_to(detector, {detector.body.get_submodule(name): moments for name, moments in wanted.items()}, images)


def _bring_to(detector: Detector, wanted: Mapping[Any, Moments], images: Iterable[Tensor]) -> None:
    before = _Moments()

    def to_wanted(layer: nn.Module, out: Tensor) -> Tensor | None:
        before.add(layer, out)
        # What comes next sees what it will see once all layers are changed, as in batch normalisation.
        own = _Moments()
        own.add(layer, out)
        scale, shift = _correction(wanted[layer], own.of(layer))
        return out * scale[:, None, None] + shift[:, None, None]

    _observe(detector, list(wanted), images, to_wanted)
    for layer, moments in wanted.items():
        if layer in before.rows:
            scale, shift = _correction(moments, before.of(layer))
            layer.weight.mul_(scale[:, None, None, None])
            layer.bias.mul_(scale).add_(shift)


class _Moments:
    """Sums from which mean and deviation of each channel of a layer's outputs follow."""

    def __init__(self) -> None:
        self.rows: dict[nn.Module, list[Tensor]] = {}

    def add(self, layer: nn.Module, out: Tensor) -> None:
        """Count Tensor[B, C, H, W]."""
        values = out.double()
        count = values.new_tensor(out[:, 0].numel())
        sums = [values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), count]
        before = self.rows.get(layer, [torch.zeros_like(count)] * 3)
        self.rows[layer] = [old + new for old, new in zip(before, sums, strict=True)]

    def of(self, layer: nn.Module) -> Moments:
        """Mean and standard deviation of what was counted."""
        total, squares, count = self.rows[layer]
        mean = total / count
        return mean, (squares / count - mean.square()).clamp(min=0).sqrt()


def _correction(wanted: Moments, own: Moments) -> tuple[Tensor, Tensor]:
    (mean, deviation), (own_mean, own_deviation) = wanted, own
    scale = (deviation + TINY) / (own_deviation + TINY)
    return scale.float(), (mean - own_mean * scale).float()


def _observe(detector: Detector, layers: list[nn.Module], batches: Iterable[Tensor], observe: Observe) -> None:
    def watch(layer: nn.Module, _inputs: Any, out: Tensor) -> Tensor | None:
        # A map of one pixel, as in squeeze and excitation, has no deviation within an image.
        return observe(layer, out) if out.shape[-1] * out.shape[-2] > 1 else None

    seen = 0
    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_hook(watch).remove)
        for batch in batches:
            detector.body(_normalised(detector, batch))
            seen += len(batch)
    if not seen:
        raise ValueError("Expected labelled images and images of the pool to estimate statistics on, found none")


def _normalised(detector: Detector, batch: Tensor) -> Tensor:
    tensors: Tensor = detector.network.transform(batch.to(next(detector.parameters()).device))[0].tensors
    return tensors
