"""Models on disk: safetensors and a card, named by their content, and the pointer to the champion."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from pipeline.detector.models.detector import Detector
from pipeline.errors import ArtefactError
from pipeline.settings import DetectorSettings, TrainingSettings
from pipeline.workspace import Folder

WEIGHTS, CARD, CHAMPION = "weights.safetensors", "model.json", "champion.json"


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
        metrics: Average precision by split.
        weights_sha256: Of the weights file.
    """

    labels: tuple[str, ...]
    detector: DetectorSettings
    training: TrainingSettings
    dataset_version: int
    parent_id: str | None
    cycle: int
    seed: int
    normalization: dict[str, list[float]] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them back."""
        sections = {"detector": self.detector.model_dump(), "training": self.training.model_dump()}
        plain = {key: value for key, value in vars(self).items() if key not in sections}
        return {**plain, "labels": list(self.labels), **sections}

    @staticmethod
    def from_json(values: dict[str, Any]) -> ModelCard:
        """Read what `to_json` wrote."""
        sections = {
            "detector": DetectorSettings(**values["detector"]),
            "training": TrainingSettings(**values["training"]),
        }
        return ModelCard(**{**values, "labels": tuple(values["labels"]), **sections})


def save_model(models: Folder, detector: Detector, card: ModelCard) -> str:
    """Write a model; the same weights and card give the same id, and are written once.

    Args:
        models: The folder of models.
        detector: Its weights.
        card: Its origin; hash and normalisation are filled in here.

    Returns:
        The model id, 12 hex digits.
    """
    weights = save_tensors({name: tensor.contiguous().cpu() for name, tensor in detector.state_dict().items()})
    transform: Any = detector.network.transform
    values = card.to_json()
    values["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    values["normalization"] = {"mean": list(transform.image_mean), "std": list(transform.image_std)}
    identity = {key: value for key, value in values.items() if key != "metrics"}
    model_id = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    folder = models.folder(model_id)
    if not folder.exists(CARD):
        folder.write_bytes(WEIGHTS, weights)
        folder.write_json(CARD, values)
    return model_id


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
    try:
        return ModelCard.from_json(folder.read_json(CARD))
    except (KeyError, TypeError, ValueError) as fault:
        raise ArtefactError(
            f"{folder.path(CARD)}: expected a model card, got {fault}. Restore or retrain it."
        ) from fault


def load_model(models: Folder, model_id: str, training: TrainingSettings | None = None) -> Detector:
    """Read a model.

    Args:
        models: The folder of models.
        model_id: Which.
        training: What its losses look like from now on; as it was trained by default.

    Returns:
        The detector, in evaluation mode.

    Raises:
        ArtefactError: There is no such model, or its files are damaged.
    """
    card = load_card(models, model_id)
    folder = models.folder(model_id)
    weights = folder.read_bytes(WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != card.weights_sha256:
        raise ArtefactError(
            f"{folder.path(WEIGHTS)}: these are not the bytes that were written. Restore or retrain it."
        )
    try:
        detector = Detector(card.detector, card.labels, training or card.training, pretrained=False)
    except ValueError as fault:
        raise ArtefactError(f"{folder.path(CARD)}: expected a network that can be built, got {fault}") from fault
    try:
        detector.load_state_dict(load_tensors(weights))
    except (SafetensorError, RuntimeError) as fault:
        raise ArtefactError(f"{folder.path(WEIGHTS)}: expected weights of {card.detector}, got {fault}") from fault
    return detector.eval()


def record_metrics(models: Folder, model_id: str, metrics: dict[str, Any]) -> None:
    """Add average precision by split to a model's card; its id stays."""
    values = load_card(models, model_id).to_json()
    models.folder(model_id).write_json(CARD, {**values, "metrics": {**values["metrics"], **metrics}})


def champion_id(models: Folder) -> str | None:
    """The model in use, None before the first.

    Raises:
        ArtefactError: The pointer is damaged.
    """
    if not models.exists(CHAMPION):
        return None
    try:
        return str(models.read_json(CHAMPION)["model_id"])
    except (KeyError, TypeError) as fault:
        raise ArtefactError(
            f"{models.path(CHAMPION)}: expected a model id, got {fault}. `crosscheck models promote` writes it anew."
        ) from fault


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
    current = champion_id(models)
    if current is None:
        return []
    before = models.read_json(CHAMPION).get("before", [])  # pointers of earlier versions of this program have none
    return [*map(str, before), current]


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
    models.write_json(CHAMPION, {"model_id": known[-1], "before": known[:-1]})


def list_models(models: Folder) -> dict[str, ModelCard]:
    """Every finished model by id."""
    names = [name for name in models.names() if name != CHAMPION]
    return {name: load_card(models, name) for name in names if models.folder(name).exists(CARD)}
