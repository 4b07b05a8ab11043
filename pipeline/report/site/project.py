"""What the pages of a project are made from, gathered once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.artefacts import Opening
from pipeline.cycle import Cycle
from pipeline.dataset.diff import ChangeCounts
from pipeline.dataset.tags import Tags, read_tags
from pipeline.dataset.versions import Version
from pipeline.detector.models.registry import CARD, CHAMPION, ModelCard, champions, load_card
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.report.contents import IndexContents, Turn

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Project:
    """A project as of a cycle.

    Attributes:
        cycle: The newest one.
        cycles: Every one by number, ascending.
        turns: The same as rows of the history.
        versions: Every dataset version, ascending.
        changes: What each changed against its parent, by number.
        readable: Numbers of those whose rows are there.
        tags: Names that people gave to versions.
        models: Card of each model that is there, by id.
        champions: The model in use last, before it those that a rollback can go back to.
    """

    cycle: Cycle
    cycles: Mapping[int, Cycle]
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
        {each.number: each for each in cycle.up_to_here()},
        index.turns,
        index.versions,
        index.changes,
        cycle.store.readable_versions() if index.versions else frozenset(),
        read_tags(workspace),
        _cards(workspace.models),
        _champions(workspace.models),
    )


def _cards(models: Folder) -> dict[str, ModelCard]:
    """Cards of all models; a damaged one is named and left out, since the report must not wait for its repair."""
    cards = {}
    for name in models.names():
        try:
            if name != CHAMPION and models.folder(name).exists(CARD):
                cards[name] = load_card(models, name)
        except ArtefactError as fault:
            LOG.warning("No page is made of model %s: %s", name, fault)
    return cards


def _champions(models: Folder) -> tuple[str, ...]:
    """Every champion that a rollback can go back to; none where the pointer is damaged, which is named."""
    try:
        return tuple(champions(models))
    except ArtefactError as fault:
        LOG.warning("The report does not know the champion: %s", fault)
        return ()
