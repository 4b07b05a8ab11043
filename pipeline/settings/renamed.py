"""Keys that had another name in an earlier release.

In a person's file they are refused with the new name; in the settings that a cycle was opened with they are renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

RENAMED = {
    "labeling.label_studio.pictures": "image_access",
    "mining.dask_scheduler": "runner.dask_scheduler",
    "mining.look_scale": "tta_scale",
    "mining.runner": "runner.kind",
    "mining.view_margin": "closeup_margin",
    "mining.view_scale": "closeup_scale",
    "mining.workers": "runner.workers",
    "report.picture_px": "image_px",
    "selection.max_expected_misses": "max_expected_missed",
    "selection.place_boxes": "correct_localisation",
    "training.burn_in": "burn_in_steps",
    "training.early_stop": "plateau",
    "training.warmup": "warmup_steps",
}
"""Dotted old key -> new key of the same section, or dotted where it is in another one."""


def migrated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that an earlier release wrote, with the names of today."""
    renewed = deepcopy(dict(values))
    for former, name in RENAMED.items():
        *sections, key = former.split(".")
        section: Any = renewed
        for inner in sections:
            section = section.get(inner) if isinstance(section, dict) else None
        if isinstance(section, dict) and key in section:
            *others, new = name.split(".")
            target = renewed.setdefault(others[0], {}) if others else section
            target[new] = section.pop(key)
    return renewed
