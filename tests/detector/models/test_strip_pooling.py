from __future__ import annotations

import torch

from pipeline.detector.models.saved import load_model, save_model
from pipeline.detector.models.strip_pooling import StripPooling
from pipeline.folder import Folder
from tests.detector.small import RIGHT, card, detector, network, noise, target


def naive(module: StripPooling, x: torch.Tensor) -> torch.Tensor:
    """Equations 1 to 4 of arXiv 2003.13328, a place at a time."""
    _, channels, height, width = x.shape
    rows, columns = torch.zeros(channels, height), torch.zeros(channels, width)
    for i in range(height):
        rows[:, i] = sum(x[0, :, i, j] for j in range(width)) / width
    for j in range(width):
        columns[:, j] = sum(x[0, :, i, j] for i in range(height)) / height
    along = torch.nn.functional.conv1d(rows[None], module.along_rows.weight[..., 0], module.along_rows.bias, padding=1)
    across = torch.nn.functional.conv1d(
        columns[None], module.along_columns.weight[:, :, 0], module.along_columns.bias, padding=1
    )
    y = along[0, :, :, None] + across[0, :, None, :]
    mixed = torch.einsum("oc,chw->ohw", module.fuse.weight[:, :, 0, 0], y.relu()) + module.fuse.bias[:, None, None]
    return x * mixed.sigmoid()[None]


def test_it_is_what_the_paper_says():
    torch.manual_seed(0)
    module, x = StripPooling(4), torch.randn(1, 4, 5, 7)
    with torch.no_grad():
        torch.testing.assert_close(module(x), naive(module, x), rtol=1e-4, atol=1e-5)


def test_a_far_end_of_a_row_is_felt():
    torch.manual_seed(0)
    module, x = StripPooling(4), torch.randn(1, 4, 16, 16)
    other = x.clone()
    other[..., 8, 15] += 5
    changed = (module(x) - module(other)).abs().sum(1)[0] > 1e-7
    assert changed[8, 0]
    assert not changed[2, 2]


def test_a_detector_with_it_learns_and_comes_back(tmp_path):
    model = detector(strip_pooling=True)
    sum(model.train().losses(noise(1), [target([RIGHT], [1])]).values()).backward()
    strips = [p for name, p in model.named_parameters() if "fpn.strips" in name]
    assert len(strips) == 18
    assert all(p.grad is not None for p in strips)
    models = Folder(tmp_path)
    model_id = save_model(models, model, card(detector=network(strip_pooling=True)))
    again = load_model(models, model_id)
    for one, other in zip(model.eval()(noise(1)), again(noise(1)), strict=True):
        assert torch.equal(one["scores"], other["scores"])


def test_torchvisions_pyramid_takes_it_too():
    model = detector(backbone="torchvision:resnet18", strip_pooling=True).eval()
    assert list(model.network.backbone.fpn.strips) == ["0", "1", "2"]
    assert len(model(noise(1))) == 1
