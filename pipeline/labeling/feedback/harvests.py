"""Every harvest of a project, kept so that no answer is lost: what was found first, what was made of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import TypeAdapter

from pipeline.artefacts import HarvestSummary
from pipeline.dataset.versions import Version
from pipeline.folder import Folder
from pipeline.labeling.backend import Harvest
from pipeline.records import Answer
from pipeline.workspace import Workspace

COMMITTED_AS = "harvest "
"""The key of the version that a harvest makes, before the harvest's name."""

_ANSWERS = "answers.json"
_HARVEST: TypeAdapter[Harvest] = TypeAdapter(Harvest)


class HarvestLog:
    """Harvests numbered over the whole project, oldest first.

    A harvest is saved before it is committed, and has a summary once it is: a harvest without one is finished by the
    next run.

    Args:
        workspace: Of the project.
    """

    PART: ClassVar[str] = "harvests"
    COMMITTED_AS: ClassVar[str] = COMMITTED_AS

    def __init__(self, workspace: Workspace) -> None:
        self._folder: Folder = workspace.labeling.folder(self.PART)

    def names(self) -> list[str]:
        """All harvests, the unfinished one included."""
        return self._folder.names()

    def finished(self) -> list[str]:
        """Harvests that were committed."""
        return [name for name in self.names() if self._folder.folder(name).exists(HarvestSummary.FILE)]

    def unfinished(self) -> str | None:
        """The harvest that was saved and not committed."""
        names = self.names()
        return names[-1] if names and not self._folder.folder(names[-1]).exists(HarvestSummary.FILE) else None

    def save(self, harvest: Harvest) -> str:
        """Keep what was found; gives the harvest's name."""
        name = f"{len(self.names()):06d}"
        self._folder.folder(name).write_bytes(_ANSWERS, _HARVEST.dump_json(harvest))
        return name

    def finish(self, name: str, summary: HarvestSummary) -> None:
        """Keep what was made of a harvest."""
        self._folder.folder(name).write_record(summary.FILE, summary)

    def harvest(self, name: str) -> Harvest:
        """What one harvest found."""
        return _HARVEST.validate_json(self._folder.folder(name).read_bytes(_ANSWERS))

    def summary(self, name: str) -> HarvestSummary:
        """What was made of one harvest."""
        return self._folder.folder(name).read_record(HarvestSummary.FILE, HarvestSummary)

    def answers(self, names: Sequence[str]) -> Iterator[Answer]:
        """Every answer that these harvests read, as often as it was read, the last time last."""
        for name in names:
            yield from self.harvest(name).answers

    def answers_of(self, version: Version, image_id: str) -> list[Answer]:
        """What people said of an image in the harvest that made a version; nothing where another thing made it."""
        name = version.key.removeprefix(self.COMMITTED_AS)
        if name == version.key or name not in self.names():
            return []
        return [answer for answer in self.harvest(name).answers if answer.image_id == image_id]

    def watermark(self) -> str | None:
        """How far the last harvest came; None before the first."""
        names = self.finished()
        return self.summary(names[-1]).watermark if names else None
