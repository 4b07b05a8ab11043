"""Keys that had another name in an earlier release; they are refused with the new one."""

from __future__ import annotations

RENAMED = {
    "labeling.label_studio.pictures": "image_access",
    "mining.look_scale": "tta_scale",
    "mining.view_margin": "closeup_margin",
    "mining.view_scale": "closeup_scale",
    "report.picture_px": "image_px",
    "selection.max_expected_misses": "max_expected_missed",
    "selection.place_boxes": "correct_localisation",
    "training.burn_in": "burn_in_steps",
    "training.early_stop": "plateau",
    "training.warmup": "warmup_steps",
}
"""Dotted old key -> new key of the same section."""
