"""Settings that may change while a cycle is under way: they decide where and how fast it runs, not what comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.settings.root import Settings
from pipeline.settings.training import TrainingSettings

ANYTIME = (
    "labeling.label_studio.buckets",
    "labeling.label_studio.page_size",
    "labeling.label_studio.parallel_requests",
    "labeling.label_studio.secret_block",
    "labeling.label_studio.timeout_s",
    "labeling.label_studio.url",
    "labeling.patience_s",
    "mining.batch_size",
    "mining.decode_threads",
    "mining.max_hosts_cached",
    "report",
    "runner",
    "training.accelerator",
    "training.accumulate",
    "training.cache_mb",
    "training.checkpoint_every_steps",
    "training.workers",
)
"""Keys, or whole sections. Batches may change for want of memory; their sums round otherwise in the last digit."""


def changed_keys(before: Settings, after: Settings) -> tuple[str, ...]:
    """Keys whose values differ, beside the place of the workspace, as `section.key`."""
    old, new = (dict(_leaves(settings.model_dump(mode="json", exclude={"workspace"}))) for settings in (before, after))
    return tuple(name for name in {**old, **new} if old.get(name) != new.get(name))


def lasting(keys: Iterable[str]) -> tuple[str, ...]:
    """Those of some keys that may not change while a cycle is under way."""
    return tuple(key for key in keys if not any(key == name or key.startswith(f"{name}.") for name in ANYTIME))


def lasting_digest(settings: Settings) -> str:
    """Hash of every value that may not change while a cycle is under way, see `Settings.digest`."""
    values = dict(_leaves(settings.model_dump(mode="json", exclude={"workspace"})))
    text = json.dumps({name: values[name] for name in lasting(values)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def trained_by(training: TrainingSettings) -> TrainingSettings:
    """Settings of training without those that may change at any time, which have their defaults."""
    names = [name.removeprefix("training.") for name in ANYTIME if name.startswith("training.")]
    return training.model_copy(update={name: TrainingSettings.model_fields[name].default for name in names})


def with_anytime(opened: Settings, edited: Settings) -> Settings:
    """The settings that a cycle was opened with, and of others those that may change at any time."""
    values, wanted = opened.model_dump(mode="json"), edited.model_dump(mode="json")
    for name in ANYTIME:
        *sections, key = name.split(".")
        inner, other = _inside(values, sections), _inside(wanted, sections)
        if inner is not None and other is not None:
            inner[key] = other[key]
    return Settings.model_validate(values)


def _inside(values: Any, sections: Iterable[str]) -> dict[str, Any] | None:
    for section in sections:
        values = values[section]
        if values is None:
            return None
    found: dict[str, Any] = values
    return found


def _leaves(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value
