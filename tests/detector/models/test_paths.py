"""Paths of the default body: whole, sliced, and refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNetFeatures
from torch import nn

from pipeline.detector.models.bodies.paths import kept_channels, rank_channels
from pipeline.detector.models.norms import fold_batch_norm
from pipeline.detector.models.saved import load_model, save_model
from pipeline.folder import Folder
from pipeline.settings import DetectorSettings, PathSettings
from tests.detector.small import card, detector, noise, training

WHOLE = PathSettings()
PART = PathSettings(depths=(1, 2, 2, 3, 1, 1), widths=(0.5, 0.5, 1.0, 0.75, 0.5, 0.75))


def default_body(path=None, **values):
    return detector(backbone="tf_efficientnet_lite0", weights="packaged", path=path, **values).eval()


def maps(body, images):
    with torch.no_grad():
        return body(images.float() / 255)


@pytest.fixture(scope="module")
def default():
    return default_body()


def test_the_whole_path_is_the_default_body(default):
    whole = default_body(WHOLE).state_dict()
    assert list(whole) == list(default.state_dict())
    assert all(torch.equal(whole[name], tensor) for name, tensor in default.state_dict().items())


def test_a_path_is_the_network_that_is_built_small(default):
    """timm's own body with other numbers of blocks and expansions, into which the kept weights are copied."""
    sizes = [(3, 2, 24), (5, 2, 40), (3, 2, 80), (5, 1, 112), (5, 2, 192), (3, 1, 320)]
    stages = [
        [f"ir_r{depth}_k{kernel}_s{stride}_e{6 * width:g}_c{channels}"]
        for (kernel, stride, channels), depth, width in zip(sizes, PART.depths, PART.widths, strict=True)
    ]
    small = EfficientNetFeatures(
        decode_arch_def([["ds_r1_k3_s1_e1_c16"], *stages]),
        out_indices=(2, 3, 4),
        fix_stem=True,
        pad_type="same",
        act_layer=nn.ReLU6,
    ).eval()
    fold_batch_norm(small)
    ranked, whole = rank_channels(default.body), default.body.state_dict()
    small.load_state_dict({name: copied(name, whole, ranked) for name in small.state_dict()})
    for one, other in zip(maps(default_body(PART).body, noise(2)), maps(small, noise(2)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def copied(name, whole, ranked):
    block, layer, part = name.rsplit(".", 2) if name.startswith("blocks") else (name, "", "")
    if block not in ranked or (layer, part) == ("conv_pwl", "bias"):
        return whole[name]
    kept = kept_channels(ranked[block], PART.widths[int(block.split(".")[1]) - 1])
    return whole[name][:, kept] if layer == "conv_pwl" else whole[name][kept]


def test_a_narrower_path_is_part_of_a_wider_one(default):
    for ranked in rank_channels(default.body).values():
        narrow, wide = (set(kept_channels(ranked, width).tolist()) for width in (0.5, 0.75))
        assert narrow < wide < set(ranked.tolist())
        assert len(narrow) % 8 == len(wide) % 8 == 0


def test_what_does_not_learn_still_does_not_in_a_path():
    assert all(each.requires_grad for each in default_body(PART).body.parameters())
    settings = training(frozen_stages=3, frozen_depthwise=True)
    model = detector(backbone="tf_efficientnet_lite0", path=PART, settings=settings)
    learning = {name: each.requires_grad for name, each in model.body.named_parameters()}
    assert not learning["blocks.1.0.conv_pw.weight"]
    assert not learning["blocks.5.0.conv_dw.weight"]
    assert learning["blocks.5.0.conv_dw.bias"]
    assert learning["blocks.5.0.conv_pw.weight"]


def test_a_model_of_a_path_is_saved_and_loaded(tmp_path):
    model = default_body(PART)
    saved = save_model(Folder(tmp_path), model, replace(card(), detector=model.settings))
    loaded = load_model(Folder(tmp_path), saved)
    assert loaded.settings.path == PART
    for one, other in zip(maps(loaded.body, noise(1)), maps(model.body, noise(1)), strict=True):
        assert torch.equal(one, other)


def test_settings_round_trip():
    assert PathSettings.model_validate_json(PART.model_dump_json()) == PART
    settings = DetectorSettings(path=PART)
    assert DetectorSettings.model_validate_json(settings.model_dump_json()) == settings
    assert DetectorSettings().path is None


@pytest.mark.parametrize("values", [{"backbone": "resnet18", "weights": "none"}, {"batch_norm": "group"}])
def test_a_path_of_another_body_is_refused(values):
    with pytest.raises(ValidationError, match="path expects backbone 'tf_efficientnet_lite0' with batch_norm 'frozen'"):
        DetectorSettings(path=PART, **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depths": ()}, "expected depths of at most"),
        ({"depths": (3, 2, 3, 3, 4, 1)}, "expected depths of at most"),
        ({"depths": (0, 2, 3, 3, 4, 1)}, "greater than or equal to 1"),
        ({"widths": (1.0,)}, "expected 6 widths"),
        ({"widths": (1.0, 1.0, 1.0, 1.0, 1.0, 1.5)}, "less than or equal to 1"),
    ],
)
def test_paths_that_do_not_exist(values, message):
    with pytest.raises(ValidationError, match=message):
        PathSettings(**values)
