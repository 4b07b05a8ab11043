"""What the page of a model shows, gathered from its card and from the cycles that trained and used it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.artefacts import Calibration, Certificates, GateOutcome, MiningRun, TrainingRun
from pipeline.detector.models.registry import CARD, ModelCard
from pipeline.report.contents import checked_split
from pipeline.report.names import page_name
from pipeline.report.site.project import Project


@dataclass(frozen=True, slots=True)
class ModelContents:
    """Everything on the page of one model.

    Attributes:
        name: Of the project.
        model_id: The model.
        card: Where it comes from and what it is.
        standing: `champion`; `champion before`, which a rollback can go back to; or `not champion`.
        reign: The cycle that promoted it, and the next one that promoted another, None where none did; None where no
            cycle promoted it.
        gate: How it did against the champion of its time; None for a model that no cycle trained.
        checked: What the gate compares on.
        training: How it was trained; likewise.
        learners: Models that were fine-tuned from it.
        mined_in: Cycles that mined the pool with it.
        calibration: Its scores on held-back boxes, in the last of these cycles.
        certificates: What was promised of its boxes there.
        files: Name and bytes of each file beside its card.
        pages: Of the cycles that are named, those that have a page.
        has_parent: Whether the model that it was fine-tuned from has a page.
        has_version: Whether the version that it learnt from has a page.
    """

    name: str
    model_id: str
    card: ModelCard
    standing: str
    reign: tuple[int, int | None] | None
    gate: GateOutcome | None
    checked: str
    training: TrainingRun | None
    learners: tuple[str, ...]
    mined_in: tuple[int, ...]
    calibration: Calibration | None
    certificates: Certificates | None
    files: tuple[tuple[str, int], ...]
    pages: tuple[int, ...]
    has_parent: bool
    has_version: bool


class ModelHistory:
    """What every cycle says of the models, read once for all of them.

    Args:
        project: The project.
        pages: Names of the pages of cycles.
    """

    def __init__(self, project: Project, pages: set[str]) -> None:
        self._project = project
        self._pages = {turn.cycle for turn in project.turns if page_name(turn.cycle) in pages}
        self._gates = {turn.gate.candidate: turn.gate for turn in project.turns if turn.gate}
        promoted = [(turn.gate.candidate, turn.cycle) for turn in project.turns if turn.gate and turn.gate.promoted]
        ends = [*(cycle for _, cycle in promoted[1:]), None]
        self._reigns = {model_id: (began, end) for (model_id, began), end in zip(promoted, ends, strict=False)}
        self._trained_in: dict[str, int] = {}
        self._mined_in: dict[str, list[int]] = {}
        for number, cycle in project.cycles.items():
            training, mining = cycle.find(TrainingRun), cycle.find(MiningRun)
            if training:
                self._trained_in[training.candidate] = number
            if mining:
                self._mined_in.setdefault(mining.model_id, []).append(number)

    def contents(self, model_id: str) -> ModelContents:
        """What the page of a model shows."""
        project, card = self._project, self._project.models[model_id]
        trained, mined = self._trained_in.get(model_id), self._mined_in.get(model_id, [])
        last = project.cycles[mined[-1]] if mined else None
        return ModelContents(
            name=project.name,
            model_id=model_id,
            card=card,
            standing=_standing(project, model_id),
            reign=self._reigns.get(model_id),
            gate=self._gates.get(model_id),
            checked=checked_split(project.turns),
            training=project.cycles[trained].find(TrainingRun) if trained is not None else None,
            learners=tuple(sorted(name for name, other in project.models.items() if other.parent_id == model_id)),
            mined_in=tuple(mined),
            calibration=last.find(Calibration) if last else None,
            certificates=last.find(Certificates) if last else None,
            files=_files(project, model_id),
            pages=tuple(sorted({card.cycle, *mined, *(self._reigns.get(model_id) or ())[:1]} & self._pages)),
            has_parent=card.parent_id in project.models,
            has_version=card.dataset_version < len(project.versions),
        )


def _standing(project: Project, model_id: str) -> str:
    if project.champions[-1:] == (model_id,):
        return "champion"
    return "champion before" if model_id in project.champions else "not champion"


def _files(project: Project, model_id: str) -> tuple[tuple[str, int], ...]:
    folder = project.cycle.workspace.models.folder(model_id)
    return tuple((name, folder.size(name)) for name in folder.names() if name != CARD)


def settings_of(card: ModelCard) -> dict[str, dict[str, Any]]:
    """The settings of a model that differ from the defaults, by section and key."""
    found = {}
    for name, section in (("detector", card.detector), ("training", card.training)):
        values, defaults = section.model_dump(mode="json"), type(section)().model_dump(mode="json")
        found[name] = {key: value for key, value in values.items() if value != defaults[key]}
    return found
