"""What a run of fine-tuning starts from."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.detector.models.detector import Detector, build_detector
from pipeline.detector.models.registry import load_card
from pipeline.detector.models.saved import load_model
from pipeline.detector.training.transfer import transferred
from pipeline.folder import Folder
from pipeline.records import Sample
from pipeline.settings import Settings


def goes_on(models: Folder, parent: str | None, settings: Settings) -> bool:
    """Tell whether a run can start from a model: not where classes or the network are others."""
    if parent is None:
        return False
    card = load_card(models, parent)
    return card.labels == settings.data.labels and card.detector == settings.detector


def starting_point(
    models: Folder, parent: str | None, settings: Settings, seed: int, samples: Iterable[Sample]
) -> Detector:
    """The detector that a run starts from: a model, or where none fits that of another project, or pretrained weights.

    Args:
        models: The folder of models.
        parent: A model; None for the first.
        settings: The project.
        seed: Of the weights that are drawn.
        samples: What the run learns; tells which classes of another project's model resemble those here.

    Raises:
        ArtefactError: A model cannot be read.
        SettingsError: `training.start_from` is a model of another network.
        DataError: `training.label_map` names classes that there are not.
    """
    if parent is not None and goes_on(models, parent, settings):
        return load_model(models, parent, settings.training)
    if settings.training.start_from is not None:
        return transferred(settings, settings.training.start_from, samples)
    return build_detector(settings.detector, settings.data.labels, settings.training, seed)
