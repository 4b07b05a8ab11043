"""What the pages of a project are made from, gathered once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.artefacts import Opening
from pipeline.cycle import Cycle
from pipeline.dataset.diff import ChangeCounts
from pipeline.dataset.tags import Tags, read_tags
from pipeline.dataset.versions import Version
from pipeline.detector.models.registry import ModelCard, champions, list_models
from pipeline.report.contents import IndexContents, Turn


@dataclass(frozen=True)
class Project:
    """A project as of a cycle.

    Attributes:
        cycle: The newest one.
        turns: Every cycle, ascending.
        versions: Every dataset version, ascending.
        changes: What each changed against its parent, by number.
        readable: Numbers of those whose rows are there.
        tags: Names that people gave to versions.
        models: Card of each model that is there, by id.
        champions: The model in use last, before it those that a rollback can go back to.
    """

    cycle: Cycle
    turns: tuple[Turn, ...]
    versions: tuple[Version, ...]
    changes: Mapping[int, ChangeCounts]
    readable: frozenset[int]
    tags: Tags
    models: dict[str, ModelCard]
    champions: tuple[str, ...]

    @property
    def name(self) -> str:
        """What people call it."""
        return self.cycle.read(Opening).name


def project_of(cycle: Cycle, index: IndexContents) -> Project:
    """Gather a project.

    Args:
        cycle: The newest one.
        index: What its index shows.
    """
    workspace = cycle.workspace
    return Project(
        cycle,
        index.turns,
        index.versions,
        index.changes,
        cycle.store.readable_versions() if index.versions else frozenset(),
        read_tags(workspace),
        list_models(workspace.models),
        tuple(champions(workspace.models)),
    )
