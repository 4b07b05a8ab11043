"""What a model finds in image files that are in no project, however large they are."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.detector.inference.committee import Committee
from pipeline.detector.inference.files import FoundInImage, detect_in_files
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.inference.tiling import Tiling
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.saved import load_model
from pipeline.progress import Progress, silent
from pipeline.settings import Settings
from pipeline.workspace import Workspace


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
    return detect_in_files(_predictor(settings, model_ids), uris, tiling, settings.data.max_image_pixels, progress)


def _predictor(settings: Settings, model_ids: Sequence[str]) -> Predictor:
    workspace = Workspace(settings.workspace)
    known = model_ids or [require_champion(workspace, "to detect with")]
    members = [Predictor(load_model(workspace.models, one), PredictionSettings.of(settings)) for one in known]
    return members[0] if len(members) == 1 else Committee(members, settings.mining.fusion.same_iou)
