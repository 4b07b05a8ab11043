"""A model as ONNX files, whole or pruned, in float32 and int8, beside what each costs and finds."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.dataset.store import SampleStore
from pipeline.detector.evaluation.exported_form import Exported, measured_form
from pipeline.detector.inference.engine import CALIBRATION_IMAGES, predictor_with_engine
from pipeline.detector.inference.onnx_engine import is_installed
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.pruning import prune
from pipeline.detector.models.registry import CARD, WEIGHTS, load_card
from pipeline.detector.models.saved import load_model
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.records import Split
from pipeline.settings import Settings
from pipeline.settings.mining import Engine
from pipeline.workspace import Workspace


def export_model(
    settings: Settings, model_id: str | None, engines: Sequence[Engine], share: float, out: str
) -> Exported:
    """Export a model and measure it beside itself.

    Args:
        settings: The project.
        model_id: Which; the champion for None.
        engines: `onnx`, `onnx_int8`.
        share: Of the channels inside blocks that are taken out first.
        out: Folder that gets a folder for the model.

    Raises:
        ArtefactError: There is no such model, ONNX is not installed, or the model cannot be exported or pruned.
    """
    if not is_installed():
        raise ArtefactError("Expected the packages onnx and onnxruntime, found none. `pip install 'crosscheck[onnx]'`")
    workspace = Workspace(settings.workspace)
    model_id = model_id or require_champion(workspace, "to export")
    store = SampleStore(workspace.samples_uri)
    labelled = [sample.ref for sample in store.labeled(Split.TRAIN)[:CALIBRATION_IMAGES]]
    val = store.labeled(Split.VAL)
    on_cpu = PredictionSettings(
        accelerator="cpu", batch_size=settings.mining.batch_size, max_pixels=settings.data.max_image_pixels
    )
    predictor = Predictor(load_model(workspace.models, model_id), on_cpu)
    original = measured_form("torch", workspace.models.folder(model_id), WEIGHTS, predictor, val)
    folder = Folder(out).folder(f"{model_id}-pruned-{share:g}" if share else model_id)
    folder.write_record(CARD, load_card(workspace.models, model_id))
    forms, gone = [original], 0
    for engine in engines:
        detector = load_model(workspace.models, model_id)
        try:
            gone = prune(detector, share, predictor.inputs(labelled)) if share else 0
        except ValueError as fault:
            raise ArtefactError(f"{fault}. Model {model_id} stays as it is.") from fault
        folder.remove(f"{engine}.onnx")
        done = predictor_with_engine(detector, on_cpu, engine, folder, labelled)
        if not folder.exists(f"{engine}.onnx"):
            raise ArtefactError(f"Expected {model_id} as {engine}, it could not be exported: the log says why.")
        forms.append(measured_form(engine, folder, f"{engine}.onnx", done, val))
    return Exported(model_id, folder.uri, gone, tuple(forms))
