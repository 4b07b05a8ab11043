from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.detector.models.bodies.binary import BinaryBlock, BinaryConv2d, binarise
from pipeline.detector.models.norms import fold_batch_norm
from pipeline.detector.models.saved import load_model, save_model
from pipeline.detector.models.statistics import reestimate
from pipeline.folder import Folder
from tests.detector.models.test_statistics import gap, pyramid, shifted
from tests.detector.small import (
    LABELS,
    LEFT,
    RIGHT,
    card,
    detector,
    differing,
    network,
    noise,
    target,
    training,
    weights_of,
)

BINARY = "own:binary_resnet18"


def binary_convolutions(model):
    return {name: each for name, each in model.named_modules() if isinstance(each, BinaryConv2d)}


def test_signs_and_their_gradient():
    x = torch.tensor([-3.0, -1.0, -0.2, 0.0, 0.7, 1.0, 1.1], requires_grad=True)
    (binarise(x) * torch.arange(1.0, 8.0)).sum().backward()
    assert binarise(x).tolist() == [-1, -1, -1, 1, 1, 1, 1]
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 0]


def test_a_convolution_is_what_is_written_out():
    layer = BinaryConv2d(1, 1, 3, padding=1, bias=False)
    layer.weight.data = torch.tensor([[[[0.5, -1.0, 2.0], [0.5, 0.5, -0.5], [-1.0, 1.0, 2.0]]]])  # of mean size 1
    out = layer(torch.tensor([[[[0.3, -0.1], [-2.0, 5.0]]]]))
    # Signs + - and - + in a frame of -1, under a kernel of signs + - +, + + - and - + +.
    assert out.tolist() == [[[[1.0, 1.0], [-7.0, 1.0]]]]


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_a_convolution_is_one_of_signs(stride, dilation):
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 4, 3, stride, padding=dilation, dilation=dilation)
    x = torch.randn(2, 3, 9, 7)
    framed = nn.functional.pad(x.sign(), (dilation,) * 4, value=-1.0)
    sizes = layer.weight.abs().flatten(1).mean(1)[:, None, None]
    plain = nn.functional.conv2d(framed, layer.weight.sign(), stride=stride, dilation=dilation)
    torch.testing.assert_close(layer(x), plain * sizes + layer.bias[:, None, None], rtol=1e-5, atol=1e-5)


def test_scales_of_either_sign_are_folded():
    torch.manual_seed(0)
    layers = nn.Sequential(BinaryConv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)).eval()
    nn.init.normal_(layers[1].weight)
    nn.init.normal_(layers[1].bias)
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        before = layers(x)
        fold_batch_norm(layers)
        torch.testing.assert_close(layers(x), before, rtol=1e-5, atol=1e-5)
    assert isinstance(layers[0], BinaryConv2d)
    assert isinstance(layers[1], nn.Identity)


def test_every_filter_has_two_values():
    body = detector(backbone=BINARY).body
    layers = binary_convolutions(body)
    assert len(layers) == 16
    assert {layer.kernel_size for layer in body.modules() if type(layer) is nn.Conv2d} == {(7, 7), (1, 1)}
    for layer in layers.values():
        assert {row.unique().numel() for row in layer.binary_weight().detach()} == {2}
        assert layer.weight.unique().numel() > layer.weight.numel() / 2  # what learns is real


def test_a_block_keeps_real_values_beside_each_convolution():
    block = BinaryBlock(4, 4, 1, None, dilation=1, first_dilation=1, drop_path=None).eval()
    for norm in (block.bn1, block.bn2):
        nn.init.zeros_(norm.weight)
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_signs_in_a_body_are_of_both_kinds():
    """Behind a ReLU every sign would be the same, and nothing would be learnt."""
    torch.manual_seed(0)
    model, shares = detector(backbone=BINARY).eval(), []
    for layer in binary_convolutions(model.body).values():
        layer.register_forward_pre_hook(lambda _, inputs: shares.append((inputs[0] < 0).float().mean().item()))
    with torch.no_grad():
        model(noise(1))
    assert len(shares) == 16
    assert all(0.005 < share < 0.9 for share in shares), shares


@pytest.mark.parametrize("batch_norm", ["frozen", "group"])
def test_a_step_moves_the_weights(batch_norm):
    torch.manual_seed(0)
    model = detector(backbone=BINARY, batch_norm=batch_norm, settings=training(frozen_stages=0)).train()
    before = weights_of(model)
    losses = model.losses(noise(2), [target([RIGHT], [1]), target([LEFT], [2])])
    sum(losses.values()).backward()
    torch.optim.SGD(model.parameters(), 0.01).step()
    moved = set(differing(before, weights_of(model)))
    names = {f"{name}.weight" for name in binary_convolutions(model)}
    assert len(names) == 16
    assert names <= moved


def test_what_is_saved_is_what_learns(tmp_path):
    model, models = detector(backbone=BINARY), Folder(tmp_path / "models")
    model_id = save_model(models, model, card(detector=network(backbone=BINARY)))
    loaded = load_model(models, model_id)
    assert not differing(weights_of(model), weights_of(loaded))
    assert loaded.labels == LABELS


def test_statistics_are_fitted_to_another_camera():
    """Folded, they scale and shift the outputs of binary convolutions too."""
    torch.manual_seed(0)
    model, images = detector(backbone=BINARY).eval(), noise(8)
    reestimate(model, [images], [images])  # what it learnt from
    clean = pyramid(model, images)
    before = gap(model, clean, shifted(images))
    assert reestimate(model, [images], [shifted(images)]) == 20
    assert gap(model, clean, shifted(images)) < 0.5 * before
