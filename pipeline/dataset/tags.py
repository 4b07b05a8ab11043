"""Names for dataset versions: given by people, kept beside the table, and accepted wherever a version is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.errors import ArtefactError
from pipeline.workspace import Workspace

CHAMPION, LATEST = "champion", "latest"
"""Names that nobody gives: what the model in use learnt from, and the newest version. They move by themselves."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Tags:
    """Names that people gave.

    Attributes:
        versions: Number of the version by name.
    """

    FILE: ClassVar[str] = "tags.json"
    MADE_BY: ClassVar[str] = "crosscheck versions tag"

    versions: Mapping[str, int] = field(default_factory=dict)

    def of(self, version: int) -> list[str]:
        """Names of a version, ascending."""
        return sorted(name for name, number in self.versions.items() if number == version)


def read_tags(workspace: Workspace) -> Tags:
    """Names of a project's versions; none before the first is given.

    Raises:
        ArtefactError: The file is damaged.
    """
    return workspace.read_record(Tags.FILE, Tags) if workspace.exists(Tags.FILE) else Tags()


def tag_version(workspace: Workspace, name: str, version: int, move: bool = False) -> None:
    """Give a version a name.

    Args:
        workspace: Of the project.
        name: A letter, then letters, digits, dots, dashes and underscores, at most 100.
        version: A version that is there.
        move: Take the name from the version that has it.

    Raises:
        ArtefactError: The name belongs to another version.
        ValueError: It cannot be a name.
    """
    known = read_tags(workspace)
    if not _NAME.fullmatch(name) or name in {CHAMPION, LATEST}:
        raise ValueError(
            "Expected a name of a letter, then letters, digits, '.', '-' and '_' (at most 100), other than "
            f"{CHAMPION} and {LATEST}, which move by themselves, got {name!r}."
        )
    if known.versions.get(name, version) != version and not move:
        raise ArtefactError(
            f"Expected a name that is free, {name} is version {known.versions[name]}. --move takes it from there."
        )
    workspace.write_record(Tags.FILE, Tags({**known.versions, name: version}))


def remove_tag(workspace: Workspace, name: str) -> None:
    """Take a name away; the version stays.

    Raises:
        ArtefactError: There is no such name.
    """
    known = read_tags(workspace)
    if name not in known.versions:
        raise ArtefactError(f"Expected one of the tags {_listed(known)}, got {name!r}.")
    workspace.write_record(Tags.FILE, Tags({tag: number for tag, number in known.versions.items() if tag != name}))


def find_version(name: str, tags: Tags, latest: int, champion: int | None) -> int:
    """The version that a person means.

    Args:
        name: A number, a tag, `latest` or `champion`.
        tags: Names that people gave.
        latest: Number of the newest version.
        champion: What the model in use learnt from; None without one.

    Returns:
        Its number; a number that was given stays as it is, whether there is such a version or not.

    Raises:
        ArtefactError: Nothing is called so.
    """
    if name.isdecimal():
        return int(name)
    moving = {LATEST: latest} if champion is None else {LATEST: latest, CHAMPION: champion}
    found = {**tags.versions, **moving}.get(name)
    if found is None:
        known = f"{LATEST}{'' if champion is None else f', {CHAMPION}'}, {_listed(tags)}"
        raise ArtefactError(f"Expected a dataset version from 0 to {latest} or one of the tags {known}, got {name!r}.")
    return found


def _listed(tags: Tags) -> str:
    return ", ".join(sorted(tags.versions)) or "(no other was given)"
