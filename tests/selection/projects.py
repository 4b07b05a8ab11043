"""Settings of a small project."""

from __future__ import annotations

from pipeline.settings import Settings, parse_settings

LABELS = ("bolt", "nut", "gear")


def project(workspace="/nowhere", **sections) -> Settings:
    """A project with three classes; sections as in YAML."""
    values = {"name": "test", "workspace": str(workspace), "data": {"labels": LABELS}, **sections}
    return parse_settings(values, "test")
