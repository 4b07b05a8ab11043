"""What a run of fine-tuning starts from."""

from __future__ import annotations

from pipeline.detector.models.detector import Detector, build_detector
from pipeline.detector.models.registry import load_card
from pipeline.detector.models.saved import load_model
from pipeline.folder import Folder
from pipeline.settings import Settings


def goes_on(models: Folder, parent: str | None, settings: Settings) -> bool:
    """Tell whether a run can start from a model: not where classes or the network are others."""
    if parent is None:
        return False
    card = load_card(models, parent)
    return card.labels == settings.data.labels and card.detector == settings.detector


def starting_point(models: Folder, parent: str | None, settings: Settings, seed: int) -> Detector:
    """The detector that a run starts from: a model, or pretrained weights where there is none that fits.

    Args:
        models: The folder of models.
        parent: A model; None for the first.
        settings: The project.
        seed: Of the weights that are drawn.
    """
    if parent is not None and goes_on(models, parent, settings):
        return load_model(models, parent, settings.training)
    return build_detector(settings.detector, settings.data.labels, settings.training, seed)
