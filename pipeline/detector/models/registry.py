"""The registry of trained models: a card each, and the pointer to the champion. Needs no torch; see also `saved`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from pipeline.artefacts import Metrics
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.settings import DetectorSettings, Settings, TrainingSettings

CARD, WEIGHTS, CHAMPION = "model.json", "weights.safetensors", "champion.json"


@dataclass(frozen=True)
class ModelCard:
    """Where a model comes from and what it is.

    Attributes:
        labels: Class names, in the order of their numbers.
        detector: The network.
        training: How it was trained.
        dataset_version: What it was trained on.
        parent_id: The model that it was fine-tuned from; None for the first.
        cycle: In which cycle.
        seed: The settings' seed.
        normalization: Mean and standard deviation of its input, per channel, of values in 0 to 1.
        metrics: What was measured, by split.
        weights_sha256: Of the weights file.
    """

    REMEDY: ClassVar[str] = "Restore it, or train the model again; a model of an earlier release cannot be read."

    labels: tuple[str, ...]
    detector: DetectorSettings
    training: TrainingSettings
    dataset_version: int
    parent_id: str | None
    cycle: int
    seed: int
    normalization: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    metrics: Mapping[str, Metrics] = field(default_factory=dict)
    weights_sha256: str = ""

    @staticmethod
    def of(settings: Settings, dataset_version: int, parent_id: str | None, cycle: int) -> ModelCard:
        """The card of a model that was trained as the settings say."""
        return ModelCard(
            settings.data.labels,
            settings.detector,
            settings.training,
            dataset_version,
            parent_id,
            cycle,
            settings.seed,
        )


def load_card(models: Folder, model_id: str) -> ModelCard:
    """Read where a model comes from.

    Raises:
        ArtefactError: There is no such model, or its card is damaged.
    """
    folder = models.folder(model_id)
    if not folder.exists(CARD):
        raise ArtefactError(
            f"Expected model {model_id} at {folder.uri}, found none. `crosscheck models list` tells which there are."
        )
    return folder.read_record(CARD, ModelCard)


def record_metrics(models: Folder, model_id: str, metrics: Mapping[str, Metrics]) -> None:
    """Add what was measured, by split, to a model's card; its id stays."""
    card = load_card(models, model_id)
    models.folder(model_id).write_record(CARD, replace(card, metrics={**card.metrics, **metrics}))


@dataclass(frozen=True, slots=True)
class Champion:
    """The pointer to the model in use: its id, and the champions before it, oldest first."""

    REMEDY: ClassVar[str] = "`crosscheck models promote` writes it anew."

    model_id: str
    before: tuple[str, ...] = ()


def champion_id(models: Folder) -> str | None:
    """The model in use, None before the first.

    Raises:
        ArtefactError: The pointer is damaged.
    """
    return models.read_record(CHAMPION, Champion).model_id if models.exists(CHAMPION) else None


def promote(models: Folder, model_id: str) -> None:
    """Make a model the champion, atomically; those before it are remembered. A damaged pointer is written anew.

    Raises:
        ArtefactError: There is no such model.
    """
    load_card(models, model_id)
    try:
        known = champions(models)
    except ArtefactError:
        known = []
    if known[-1:] != [model_id]:
        _write_champions(models, [*known, model_id])


def champions(models: Folder) -> list[str]:
    """Every champion that a rollback can go back to, the one in use last; empty before the first.

    Raises:
        ArtefactError: The pointer is damaged.
    """
    if not models.exists(CHAMPION):
        return []
    pointer = models.read_record(CHAMPION, Champion)
    return [*pointer.before, pointer.model_id]


def champion_before(models: Folder) -> str:
    """The champion that a rollback goes back to.

    Raises:
        ArtefactError: There is none before, or its files are gone.
    """
    known = champions(models)
    if len(known) < 2:
        found = f"only {known[0]}" if known else "none"
        raise ArtefactError(
            f"Expected a champion before this one to go back to, found {found}. `crosscheck models list` tells which "
            "models there are; `crosscheck models promote` takes any of them."
        )
    load_card(models, known[-2])
    return known[-2]


def reinstate(models: Folder, model_id: str | None) -> None:
    """Go back to an earlier champion, or to none; what came after it is forgotten."""
    known = champions(models) if model_id else []
    if model_id is None:
        models.remove(CHAMPION)
    elif model_id in known:
        load_card(models, model_id)
        _write_champions(models, known[: len(known) - known[::-1].index(model_id)])
    else:
        promote(models, model_id)


def _write_champions(models: Folder, known: list[str]) -> None:
    models.write_record(CHAMPION, Champion(known[-1], tuple(known[:-1])))


def list_models(models: Folder) -> dict[str, ModelCard]:
    """Every finished model by id."""
    names = [name for name in models.names() if name != CHAMPION]
    return {name: load_card(models, name) for name in names if models.folder(name).exists(CARD)}
