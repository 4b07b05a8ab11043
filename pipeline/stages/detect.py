"""What a model finds in image files that are in no project, however large they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.dataset.images import read_image
from pipeline.detector.inference.committee import Committee
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.inference.tiling import Tiled, Tiling, detect_tiled
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.saved import load_model
from pipeline.errors import ArtefactError
from pipeline.progress import Progress, silent
from pipeline.settings import Settings
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class FoundBox:
    """A detection, in pixels of its image."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class FoundInImage:
    """What was found in one image.

    Attributes:
        uri: The image.
        width: In pixels.
        height: In pixels.
        tiles: Into which it was divided.
        looked_at: Tiles that were looked at.
        boxes: Best first.
    """

    uri: str
    width: int
    height: int
    tiles: int
    looked_at: int
    boxes: tuple[FoundBox, ...]


def detect_files(
    settings: Settings, model_ids: Sequence[str], uris: Sequence[str], tiling: Tiling, progress: Progress = silent
) -> list[FoundInImage]:
    """Detect in image files.

    Args:
        settings: The project.
        model_ids: Which models; several are a committee, none stands for the champion.
        uris: The images.
        tiling: How large ones are looked at.
        progress: Called after every image.

    Raises:
        ArtefactError: There is no such model.
        ValueError: Several models differ in classes or input size.
        ImageFault: An image cannot be read, or has more than `data.max_image_pixels`.
    """
    predictor = _predictor(settings, model_ids)
    found = []
    for number, uri in enumerate(uris, start=1):
        image = read_image(uri, settings.data.max_image_pixels)
        tiled = detect_tiled(predictor, image.pixels, tiling)
        found.append(
            FoundInImage(uri, image.width, image.height, tiled.tiles, tiled.looked_at, _boxes(tiled, predictor))
        )
        progress("images", number, len(uris))
    return found


def _predictor(settings: Settings, model_ids: Sequence[str]) -> Predictor:
    workspace = Workspace(settings.workspace)
    known = model_ids or [one for one in [champion_of(workspace)] if one is not None]
    if not known:
        raise ArtefactError("Expected a champion to detect with, found none. Run `crosscheck finetune` first.")
    members = [Predictor(load_model(workspace.models, one), PredictionSettings.of(settings)) for one in known]
    return members[0] if len(members) == 1 else Committee(members, settings.mining.fusion.same_iou)


def _boxes(tiled: Tiled, predictor: Predictor) -> tuple[FoundBox, ...]:
    found = tiled.detections
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    return tuple(
        FoundBox(predictor.labels[label - 1], round(score, 4), *(round(side, 1) for side in box))
        for label, score, box in rows
    )
