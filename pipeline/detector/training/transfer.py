"""Starting from a model of other classes; `models.class_graph` has the paper and what differs from it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pipeline.dataset.merging.label_map import LabelMap
from pipeline.detector.models.box_logits import box_logits
from pipeline.detector.models.class_graph import class_graph, propagate
from pipeline.detector.models.detector import Detector
from pipeline.detector.models.saved import load_model
from pipeline.detector.training.data.batches import collate
from pipeline.detector.training.data.training_images import TrainingImages
from pipeline.detector.training.fit import labeled_predictor
from pipeline.errors import ArtefactError, ImageFault, SettingsError
from pipeline.folder import Folder
from pipeline.records import Sample, State
from pipeline.settings import DetectorSettings, Settings


def transferred(settings: Settings, place: str, samples: Iterable[Sample]) -> Detector:
    """A detector of this project's classes with the weights of a model of others.

    Backbone, pyramid, box regression and embedding are the source's. Layers with classes begin with the rows of a
    class's counterparts, see `training.label_map`; without any, with a mixture of all by how the source sees its boxes.

    Args:
        settings: The project.
        place: Folder or URI of the model.
        samples: What is to be learnt; boxes that people drew tell how the source sees each class.

    Raises:
        ArtefactError: There is no such model, or its files are damaged.
        SettingsError: It is of another network.
        DataError: `training.label_map` names classes that there are not.
    """
    classes = LabelMap(settings.data.labels, settings.training.label_map, "training.label_map")
    source = _read(place)
    classes.require_renamed(source.labels)
    graph = class_graph(classes, source.labels, seen_similarity(source, settings, samples))
    detector = Detector(settings.detector, settings.data.labels, settings.training, pretrained=False)
    try:
        detector.load_state_dict(propagate(source.cpu().state_dict(), graph))
    except RuntimeError as fault:
        raise SettingsError(
            f"training.start_from: expected a model of the network that is set here, the one at {place} has "
            f"{_differences(source.settings, settings.detector)}. Set detector as there, or start from another model."
        ) from fault
    return detector


def seen_similarity(source: Detector, settings: Settings, samples: Iterable[Sample]) -> Tensor:
    """How much boxes of each class here look to a source like each of its own classes.

    That is the mean of its logits over the boxes that people drew. Its class layer is linear, so that this is the
    product of the mean feature of a class here and the prototype of a class there, its row of weights, and its bias.

    Args:
        source: Put in evaluation mode.
        settings: The project; images are as large as its detector sees them.
        samples: Images with boxes; an image that cannot be read is passed over, as the run itself reports it.

    Returns:
        Tensor[K, S]: float32; zeros for a class without a box, which then resembles all alike.
    """
    labels = settings.data.labels
    drawn = [sample for sample in samples if sample.boxes and sample.state is not State.PSEUDO]
    images = TrainingImages(drawn, labels, settings.detector.image_size_px, settings.data.max_image_pixels, 0)
    device = labeled_predictor(settings, source).device
    total, count = torch.zeros(len(labels), len(source.labels)), torch.zeros(len(labels), 1)
    for index in range(len(drawn)):
        try:
            pixels, (target,) = collate([images.load(index)])
        except ImageFault:
            continue
        logits, rows = box_logits(source, pixels.to(device), target["boxes"].to(device)).cpu(), target["labels"] - 1
        total.index_add_(0, rows, logits)
        count.index_add_(0, rows, torch.ones(len(rows), 1))
    return total / count.clamp(min=1)


def _read(place: str) -> Detector:
    models, _, model_id = place.rstrip("/").rpartition("/")
    try:
        return load_model(Folder(models), model_id)
    except (ArtefactError, ValueError) as fault:
        raise ArtefactError(f"training.start_from: {fault}") from fault


def _differences(there: DetectorSettings, here: DetectorSettings) -> str:
    pairs = ((name, getattr(there, name), getattr(here, name)) for name in DetectorSettings.model_fields)
    return ", ".join(f"detector.{name} {one!r} (here {other!r})" for name, one, other in pairs if one != other)
