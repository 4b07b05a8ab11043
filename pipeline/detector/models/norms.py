"""Batch normalisation of a backbone: fixed, replaced, or learnt with statistics of the batch.

With few images a batch its statistics are noise, and a student and a teacher that see different images drift apart; so
it is fixed unless set otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm, freeze_batch_norm_2d  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.hooks import RemovableHandle

from pipeline.detector.models.moving_average_norm import CentredConv2d, MovingAverageNorm
from pipeline.detector.models.switchable_norm import SwitchableNorm
from pipeline.errors import PipelineError
from pipeline.settings.detector import BatchNormKind

GROUPS = 32
"""Of group normalisation (arXiv 1803.08494), or as many as divide the channels."""


def set_normalisation(body: nn.Module, kind: BatchNormKind) -> None:
    """Give a backbone's body the normalisation that is set, in place.

    Args:
        body: Takes Tensor[1, 3, 64, 64]; what does not learn has no gradient.
        kind: `frozen` folds it into convolutions, or fixes it where none feeds it; `synchronised` leaves it to learn,
            but for the stages that do not; the others are put in its place and begin with its scales and shifts.
    """
    if kind == "frozen":
        fold_batch_norm(body)
        freeze_batch_norm_2d(body)  # type: ignore[no-untyped-call]  # what no convolution feeds
        return
    if kind == "moving_average":
        _centre_kernels(body)
    norms = [(name, module) for name, module in body.named_modules() if isinstance(module, nn.BatchNorm2d)]
    for name, norm in norms:
        if kind in _OF_THE_BATCH and not norm.weight.requires_grad:
            body.set_submodule(name, freeze_batch_norm_2d(norm))  # type: ignore[no-untyped-call]
        elif kind != "synchronised":
            # timm's normalisation layers carry the activation that follows them.
            body.set_submodule(
                name, nn.Sequential(_REPLACEMENTS[kind](norm), getattr(norm, "act", None) or nn.Identity())
            )


def _grouped(norm: Any, groups: int) -> nn.Module:
    grouped = nn.GroupNorm(groups, norm.num_features, norm.eps)
    grouped.weight, grouped.bias = norm.weight, norm.bias
    return grouped


def _group_norm(norm: Any) -> nn.Module:
    return _grouped(norm, next(count for count in range(GROUPS, 0, -1) if norm.num_features % count == 0))


_REPLACEMENTS: dict[str, Callable[[Any], nn.Module]] = {
    "group": _group_norm,
    "layer": lambda norm: _grouped(norm, 1),
    "instance": lambda norm: _grouped(norm, norm.num_features),
    "switchable": SwitchableNorm,
    "moving_average": MovingAverageNorm,
}
_OF_THE_BATCH = ("synchronised", "switchable", "moving_average")
"""Kinds with statistics of the batch, which stages that do not learn must not follow."""


def _centre_kernels(body: nn.Module) -> None:
    """Centre those that feed a normalisation which learns; a depthwise kernel would lose its only mean."""
    for name, norm_name in normalised_convolutions(body):
        convolution, norm = body.get_submodule(name), body.get_submodule(norm_name)
        if type(convolution) is nn.Conv2d and convolution.groups == 1 and norm.weight.requires_grad:
            convolution.__class__ = CentredConv2d


def synchronise_batch_norm(module: nn.Module, device: torch.device) -> None:
    """Let batch normalisation that learns take its statistics from all processes, in place.

    Raises:
        PipelineError: There is some, and the device is a CPU, which torch cannot synchronise.
    """
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules()):
        return
    if device.type == "cpu":
        raise PipelineError(
            "detector.batch_norm 'synchronised' with several processes expects GPUs, got CPUs. "
            "Use 'frozen' or 'group', or training.devices 1."
        )
    convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]


def fold_batch_norm(module: nn.Module) -> None:
    """Fold every batch normalisation that a convolution feeds into that convolution, in place.

    Fine-tuning on small batches keeps the statistics fixed anyway; folded, they cost nothing.

    Args:
        module: Takes Tensor[1, 3, 64, 64].
    """
    training = module.training
    module.eval()
    for convolution, norm in normalised_convolutions(module):
        _fold_pair(module, convolution, norm)
    module.train(training)


def normalised_convolutions(module: nn.Module) -> list[tuple[str, str]]:
    """Names of convolutions, each with the batch normalisation that it feeds.

    They are read off a forward pass, so any architecture serves.

    Args:
        module: Takes Tensor[1, 3, 64, 64].
    """
    producers: dict[int, tuple[str, Tensor]] = {}  # holding the tensor keeps its id its own
    pairs: list[tuple[str, str]] = []

    def watch(name: str, layer: nn.Module) -> RemovableHandle | None:
        if isinstance(layer, nn.Conv2d):
            return layer.register_forward_hook(lambda _layer, _inputs, out: producers.update({id(out): (name, out)}))
        if isinstance(layer, nn.BatchNorm2d):
            return layer.register_forward_pre_hook(
                lambda _layer, inputs: pairs.extend([(producers[id(x)][0], name) for x in inputs if id(x) in producers])
            )
        return None

    hooks = [watch(name, layer) for name, layer in module.named_modules()]
    training = module.training
    with torch.no_grad():
        module.eval()(torch.zeros(1, 3, 64, 64, dtype=next(module.parameters()).dtype))
    for hook in filter(None, hooks):
        hook.remove()
    module.train(training)
    return pairs


def _fold_pair(module: nn.Module, convolution_name: str, norm_name: str) -> None:
    convolution: Any = module.get_submodule(convolution_name)
    norm: Any = module.get_submodule(norm_name)
    folded = fuse_conv_bn_eval(convolution, norm).requires_grad_(convolution.weight.requires_grad)
    module.set_submodule(convolution_name, folded)
    # timm's normalisation layers carry the activation that follows them.
    module.set_submodule(norm_name, getattr(norm, "act", None) or nn.Identity())
