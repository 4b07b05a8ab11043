"""Depthwise convolutions whose gradients are computed in float32 where a CPU computes in half precision.

oneDNN has fast kernels for all that a detector does in bfloat16 but this: on processors with bfloat16 instructions the
gradients of depthwise convolutions took half of a training step, two to six times what they take in float32. The sum
over pixels, which is the gradient of the bias, is cheaper apart as well.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from timm.layers import Conv2dSame, pad_same  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution; as torch's, but for the precision of its gradients in autocast on CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve Tensor[B, C, H, W]."""
        return _convolve(self, x, self.weight, self.padding)


class DepthwiseConv2dSame(Conv2dSame):
    """The same for TensorFlow's padding, which depends on the size of the input."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve Tensor[B, C, H, W]."""
        # An exported network takes images of any size, odd ones too, and its kernels are constants.
        if not torch.onnx.is_in_onnx_export() and _halves_evenly(self, x):
            # TensorFlow pads one more at the end than at the start. A kernel with a row and column of zeros before it
            # says the same with equal paddings, and no copy of the map has to be made.
            weight, size = F.pad(self.weight, (1, 0, 1, 0)), self.weight.shape[-1]
            return _convolve(self, x, weight, (size // 2, size // 2))
        padded = pad_same(x, self.kernel_size, self.stride, self.dilation)  # type: ignore[arg-type]
        return _convolve(self, padded, self.weight, self.padding)


_OURS = {nn.Conv2d: DepthwiseConv2d, Conv2dSame: DepthwiseConv2dSame}


def use_depthwise(body: nn.Module) -> None:
    """Let the depthwise convolutions of a body be of these kinds, in place; weights and their names stay."""
    for module in body.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1 and _is_padded_with_zeros(module):
            module.__class__ = _OURS.get(type(module), type(module))


def freeze_depthwise(body: nn.Module) -> None:
    """Stop the kernels of a body's depthwise convolutions from learning, in place; their biases go on."""
    for module in body.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.weight.requires_grad_(False)


def _halves_evenly(layer: nn.Conv2d, x: Tensor) -> bool:
    """Tell whether a kernel that does not learn goes over a map of even sides in steps of two."""
    even = x.shape[-1] % 2 == x.shape[-2] % 2 == 0
    size = layer.kernel_size[0] == layer.kernel_size[1] and layer.kernel_size[0] % 2 == 1
    return even and size and layer.stride == (2, 2) and layer.dilation == (1, 1) and not layer.weight.requires_grad


def _is_padded_with_zeros(layer: nn.Conv2d) -> bool:
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _convolve(layer: nn.Conv2d, x: Tensor, weight: Tensor, padding: Any) -> Tensor:
    where: Any = (layer.stride, padding, layer.dilation, layer.groups)
    halved = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    if (halved or not weight.requires_grad) and torch.is_grad_enabled():
        convolved: Tensor = _Convolution.apply(x, weight, layer.bias, *where)
        return convolved
    return F.conv2d(x, weight, layer.bias, *where)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.where, ctx.groups = (stride, padding, dilation), groups
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, *_ = ctx.needs_input_grad
        full = gradient.float()
        # Asked for the gradient of the bias, oneDNN computes that of the kernel as well.
        to_x, to_weight, _ = torch.ops.aten.convolution_backward(
            full, x.float(), weight, None, *ctx.where, False, (0, 0), ctx.groups, (of_x, of_weight, False)
        )
        return to_x, to_weight, full.sum((0, 2, 3)) if of_bias else None, None, None, None, None
