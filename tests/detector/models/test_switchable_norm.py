from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.detector.models.switchable_norm import SwitchableNorm

KINDS = {
    0: nn.functional.instance_norm,
    1: lambda x: nn.functional.layer_norm(x, x.shape[1:]),
    2: lambda x: nn.functional.batch_norm(x, None, None, training=True),
}


def switchable(kind=None):
    norm = SwitchableNorm(nn.BatchNorm2d(6)).train()
    if kind is not None:
        for weights in (norm.mean_weight, norm.var_weight):
            weights.data = torch.full((3,), -50.0)
            weights.data[kind] = 50.0
    return norm


@pytest.mark.parametrize("kind", KINDS)
def test_all_weight_on_one_kind_is_that_kind(kind):
    x = torch.randn(4, 6, 5, 7) * 3 + 1
    torch.testing.assert_close(switchable(kind)(x), KINDS[kind](x), rtol=1e-3, atol=1e-4)


def test_equal_weights_average_statistics():
    norm, x = switchable(), torch.randn(4, 6, 5, 7) * 2 + 1
    means = [x.mean(dims, keepdim=True).expand(4, 6, 1, 1) for dims in ((2, 3), (1, 2, 3), (0, 2, 3))]
    variances = [x.var(dims, correction=0, keepdim=True).expand(4, 6, 1, 1) for dims in ((2, 3), (1, 2, 3), (0, 2, 3))]
    expected = (x - sum(means) / 3) / (sum(variances) / 3 + norm.eps).sqrt()
    torch.testing.assert_close(norm(x), expected, rtol=1e-4, atol=1e-5)


def test_the_mixture_is_learnt():
    norm = switchable()
    norm(torch.randn(4, 6, 5, 7)).pow(3).sum().backward()
    assert norm.mean_weight.grad.abs().sum() > 0
    assert norm.var_weight.grad.abs().sum() > 0


def test_inference_uses_what_batches_were_like_as_torchs_batch_norm_does():
    """But for the correction of a sample's variance, which the paper does not make."""
    norm, torchs = switchable(2), nn.BatchNorm2d(6)
    for _ in range(5):
        x = torch.randn(8, 6, 12, 12) + 2
        norm(x), torchs(x)
    torch.testing.assert_close(norm.eval()(x), torchs.eval()(x), rtol=1e-2, atol=1e-2)
