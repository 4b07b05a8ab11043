"""Stopping the first stages of a body from learning; modules are registered from the stem upwards."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

_STAGES_WITHOUT_MODULE = {"stem": "act2", "stage1": "layer1"}
"""HRNet calls two of its stages by names that no module has; their last modules."""


def freeze_stages(body: nn.Module, stages: Sequence[str], count: int, name: str) -> None:
    """Stop the first stages from learning, in place.

    Args:
        body: The body.
        stages: The last module of every stage, not just of the ones put out.
        count: How many stages, from the stem.
        name: Of the backbone.

    Raises:
        ValueError: The body has no such module.
    """
    if count == 0:
        return
    modules = list(body.named_modules())
    last = stages[min(count, len(stages)) - 1]
    inside = _places(modules, last) or _places(modules, _STAGES_WITHOUT_MODULE.get(last, last))
    if not inside:
        raise ValueError(
            f"Expected a backbone whose first {count} stages can be frozen, {name!r} has no module {last!r}; set "
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
