"""The settings of a cycle as a file, which shows whether it was cut or changed."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import yaml

from pipeline.artefacts import Opening
from pipeline.dataset.code_version import code_version
from pipeline.errors import ArtefactError, SettingsError
from pipeline.folder import Folder
from pipeline.settings import Settings, dump_settings, migrated, parse_settings

SETTINGS = "settings.yaml"


def write_settings(folder: Folder, settings: Settings) -> None:
    """Write them with their hash in the last line: the beginning of a YAML file is often one, read as defaults."""
    text = dump_settings(settings).encode()
    folder.write_bytes(SETTINGS, text + _last_line(text))


def read_settings(workspace: str, folder: Folder, opening: Opening) -> Settings:
    """Read the settings that a cycle was opened with.

    Args:
        workspace: Where it lies now.
        folder: Of the cycle.
        opening: Its record.

    Raises:
        ArtefactError: They are another release's, or damaged.
    """
    try:
        data = folder.read_bytes(SETTINGS)
        text = data[: data.rfind(b"# sha256")]
        if opening.hashed_settings and data != text + _last_line(text):
            raise ValueError("its last line is not its hash: it was cut or changed")
        values: Any = migrated(_parsed(data))
        return parse_settings({**values, "workspace": workspace}, folder.path(SETTINGS))
    except (SettingsError, yaml.YAMLError, TypeError, ValueError, RecursionError) as fault:
        writer = opening.release or "an earlier release, which did not say which"
        raise ArtefactError(
            f"{folder.path(SETTINGS)}: expected settings of this release of crosscheck ({code_version()}), found those "
            f"of {writer}, or a damaged file: {fault}\nGo on with the newer of the two releases, or restore the file."
        ) from fault


@lru_cache(maxsize=8)
def _parsed(data: bytes) -> Any:
    """Most cycles of a project run with the same settings, and a report reads those of all; nobody may change them."""
    return yaml.safe_load(data)


def _last_line(text: bytes) -> bytes:
    return f"# sha256 {hashlib.sha256(text).hexdigest()}\n".encode()
