"""Models on disk: weights as safetensors beside their card, named by their content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from pipeline.detector.models.detector import Detector
from pipeline.detector.models.registry import CARD, WEIGHTS, ModelCard, load_card
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.settings import TrainingSettings, trained_by


def save_model(models: Folder, detector: Detector, card: ModelCard) -> str:
    """Write a model; the same weights and card give the same id, and are written once.

    Where and how fast it was trained (`training.workers` and the like) is on the card and not in the id, so that what
    is found with it is the same on every machine.

    Args:
        models: The folder of models.
        detector: Its weights.
        card: Its origin; hash and normalisation are filled in here.

    Returns:
        The model id, 12 hex digits.
    """
    weights = weights_of(detector)
    transform: Any = detector.network.transform
    normalization = {"mean": tuple(transform.image_mean), "std": tuple(transform.image_std)}
    card = replace(card, weights_sha256=hashlib.sha256(weights).hexdigest(), normalization=normalization)
    named = replace(card, metrics={}, training=trained_by(card.training))
    identity = TypeAdapter(ModelCard).dump_python(named, mode="json")
    model_id = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    folder = models.folder(model_id)
    if not folder.exists(CARD):
        folder.write_bytes(WEIGHTS, weights)
        folder.write_record(CARD, card)
    return model_id


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
    take_weights(detector, weights, folder.path(WEIGHTS))
    return detector.eval()


def weights_of(detector: Detector) -> bytes:
    """A detector's weights and statistics, as safetensors."""
    return save_tensors({name: tensor.contiguous().cpu() for name, tensor in detector.state_dict().items()})


def take_weights(detector: Detector, weights: bytes, source: str) -> None:
    """Give a detector the weights that another of the same network had.

    Args:
        detector: Changed in place.
        weights: As safetensors.
        source: Where they were read, for the error.

    Raises:
        ArtefactError: They are damaged, or those of another network.
    """
    try:
        detector.load_state_dict(load_tensors(weights))
    except (SafetensorError, RuntimeError) as fault:
        raise ArtefactError(f"{source}: expected weights of {detector.settings}, got {fault}") from fault
