"""Statistics of a trained body, estimated anew on images of another domain (AdaBN, arXiv 1603.04779).

Where batch normalisation is folded into convolutions, no statistics are left; then the outputs of each convolution are
brought to the mean and deviation that they have on labelled images, which is the same for a body that was trained so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from pipeline.detector.models.detector import Detector

TINY = 1e-5
Observe = Callable[[nn.Module, Tensor], Tensor | None]


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
    source, target = _Moments(), _Moments()
    _observe(detector, layers, labelled, lambda layer, out: source.add(layer, out))

    def to_source(layer: nn.Module, out: Tensor) -> Tensor | None:
        target.add(layer, out)
        # What comes next sees what it will see once all layers are changed, as in batch normalisation.
        own = _Moments()
        own.add(layer, out)
        scale, shift = _correction(source, own, layer)
        return out * scale[:, None, None] + shift[:, None, None]

    _observe(detector, layers, pool, to_source)
    for layer in layers:
        if layer in source.rows and layer in target.rows:
            scale, shift = _correction(source, target, layer)
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

    def of(self, layer: nn.Module) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, Tensor[C] each."""
        total, squares, count = self.rows[layer]
        mean = total / count
        return mean, (squares / count - mean.square()).clamp(min=0).sqrt()


def _correction(source: _Moments, target: _Moments, layer: nn.Module) -> tuple[Tensor, Tensor]:
    (mean, deviation), (own_mean, own_deviation) = source.of(layer), target.of(layer)
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
