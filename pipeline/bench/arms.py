"""The arms of `crosscheck bench training`: what each learns from, and with which settings."""

from __future__ import annotations

LABELLED, OURS, ALL = "labelled", "ours", "all"
NAIVE = {"naive-0.5": 0.5, "naive-0.9": 0.9}
"""Least confidence of the pseudo-labels of each naive arm."""
BOOSTED = {"boosting-1": ("training.boosting=1",), "boosting-3": ("training.boosting=3",)}
"""Each is `labelled`, its second half with these overrides."""
ARMS = (LABELLED, *NAIVE, OURS, ALL)
SECOND_HALF = ("training.pseudo_share=0.75", "training.burn_in_steps=0")
"""How the naive arms go on: the detector has learnt the labelled images before, so that all images come at once. Naive
labels are taken as they are: all weights 1, no ignore regions."""
NOBODY_ASKED = "selection.query.images=0"
"""Of `ours`; else it is what the settings say."""
ABLATIONS = {
    "no-mixup": ("training.mixup.enabled=false",),
    "mosaic": ("training.mosaic.enabled=true",),
    "label-smoothing": ("training.label_smoothing=0.1",),
    "no-label-smoothing": ("training.label_smoothing=0",),
    "ohem": ("training.classification=ohem", "training.label_smoothing=0"),
    "smoothed-ohem": ("training.classification=ohem", "training.label_smoothing=0.05"),
    "no-triplet": ("training.triplet.enabled=false",),
    "no-ema": ("training.ema_decay=0",),
    "no-ignore": ("training.ignore_regions=false",),
    "certified-only": ("selection.soft_from=null",),
    "no-soft-weights": ("training.soft_weights=false",),
    "teacher": ("training.teacher.enabled=true",),
    "strong-view": ("training.augment.strong.enabled=true",),
    "no-copy-paste": ("training.copy_paste.enabled=false",),
    "pasted": ("training.pseudo_share=0",),
    "no-burn-in": ("training.burn_in_steps=0",),
    "natural-share": ("training.pseudo_share=1.0",),
    "fusion": ("mining.fusion.enabled=true",),
    "no-localisation-bias": ("selection.correct_localisation=false",),
}
"""Each is `ours` with these overrides; where these concern training alone, the pseudo-labels are the same."""
