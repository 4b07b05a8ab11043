from __future__ import annotations

import torch
from torch import nn

from pipeline.detector.models.moving_average_norm import BATCHES, MOMENTUM, WARM_UP, CentredConv2d, MovingAverageNorm
from pipeline.detector.models.norms import set_normalisation


def batch(seed, size=2):
    return torch.randn(size, 3, 4, 5, generator=torch.Generator().manual_seed(seed)) * (1 + seed % 4) + 0.5


def learn(norm, x, gradient):
    x = x.clone().requires_grad_()
    out = norm(x)
    out.backward(gradient)
    return out.detach(), x.grad


def test_the_first_steps_are_those_of_the_batch():
    """Output and gradient as autograd has them for x / sqrt(mean(x^2) + eps)."""
    norm, x, gradient = MovingAverageNorm(nn.BatchNorm2d(3)), batch(0), batch(1)
    out, of_x = learn(norm, x, gradient)
    plain = x.clone().requires_grad_()
    expected = plain * (plain.square().mean((0, 2, 3), keepdim=True) + norm.eps).rsqrt()
    expected.backward(gradient)
    torch.testing.assert_close(out, expected.detach())
    torch.testing.assert_close(of_x, plain.grad, rtol=1e-4, atol=1e-5)


def test_later_steps_are_those_of_many_batches():
    """Equations 9 and 13 of the paper, step by step beside a plain reading of them."""
    norm, squares, products = MovingAverageNorm(nn.BatchNorm2d(3)), [], []
    running = torch.ones(3)
    for step in range(WARM_UP + 5):
        x, gradient = batch(step), batch(step + 1000)
        out, of_x = learn(norm, x, gradient)
        squares.append(x.square().mean((0, 2, 3)))
        square = torch.stack(squares[-BATCHES:]).mean(0) if step >= BATCHES else squares[-1]
        running = torch.lerp(running, square, 1 / (step + 1) if step < WARM_UP else 1 - MOMENTUM)
        correction = ((square + norm.eps) / (running + norm.eps)).sqrt() if step >= WARM_UP else torch.ones(3)
        divided = x / (square + norm.eps).sqrt()[:, None, None]
        torch.testing.assert_close(out, divided * correction[:, None, None], rtol=1e-4, atol=1e-5)
        own = gradient * correction[:, None, None]
        products.append((own * divided).mean((0, 2, 3)))
        mean = torch.stack(products[-BATCHES:]).mean(0) if step >= BATCHES else products[-1]
        expected = (own - divided * mean[:, None, None]) / (square + norm.eps).sqrt()[:, None, None]
        torch.testing.assert_close(of_x, expected, rtol=1e-3, atol=1e-5)
    norm.eval()
    torch.testing.assert_close(norm(x), x / (running + norm.eps).sqrt()[:, None, None], rtol=1e-4, atol=1e-5)


def test_kernels_before_it_have_mean_zero():
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8))
    set_normalisation(body, "moving_average")
    assert isinstance(body[0], CentredConv2d)
    assert type(body[2]) is nn.Conv2d
    flat = torch.full((1, 3, 8, 8), 7.0)
    torch.testing.assert_close(body[0](flat), body[0].bias[None, :, None, None].expand(1, 8, 6, 6), atol=1e-5, rtol=0)
