"""A model as ONNX files, whole, pruned or grouped, in float32 and int8, beside what each costs and finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from pipeline.dataset.store import SampleStore
from pipeline.detector.evaluation.exported_form import Exported, latency_ratio, measured_form
from pipeline.detector.inference.engine import CALIBRATION_IMAGES, predictor_with_engine
from pipeline.detector.inference.onnx_engine import is_installed
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.detector import Detector
from pipeline.detector.models.grouped import Grouping, group
from pipeline.detector.models.pruning import prune
from pipeline.detector.models.registry import CARD, WEIGHTS, load_card
from pipeline.detector.models.saved import load_model
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.records import Split
from pipeline.settings import Settings
from pipeline.settings.mining import Engine
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Compression:
    """What is taken out of a model before it is exported.

    Attributes:
        pruned: Share of the channels inside blocks.
        groups: That the channels of pointwise convolutions are dealt out to; 1: they stay dense.
        most_dropped: Share of the squared norm of a convolution's weights that may lie outside its groups.
    """

    pruned: float = 0.0
    groups: int = 1
    most_dropped: float = 0.1

    @property
    def suffix(self) -> str:
        """What its folder is called after the model."""
        pruned = f"-pruned-{self.pruned:g}" if self.pruned else ""
        groups = f"-groups-{self.groups}-{self.most_dropped:g}" if self.groups > 1 else ""
        return pruned + groups


def export_model(
    settings: Settings, model_id: str | None, engines: Sequence[Engine], compression: Compression, out: str
) -> Exported:
    """Export a model and measure it beside itself.

    Args:
        settings: The project.
        model_id: Which; the champion for None.
        engines: `onnx`, `onnx_int8`.
        compression: What is taken out first.
        out: Folder that gets a folder for the model.

    Raises:
        ArtefactError: There is no such model, ONNX is not installed, or the model cannot be exported or compressed.
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
    folder = Folder(out).folder(model_id + compression.suffix)
    folder.write_record(CARD, load_card(workspace.models, model_id))
    forms, gone, grouping = [original], 0, Grouping(0, 0)
    for engine in engines:
        detector = load_model(workspace.models, model_id)
        try:
            gone, grouping = _compress(detector, compression, lambda: predictor.inputs(labelled))
        except ValueError as fault:
            raise ArtefactError(f"{fault}. Model {model_id} stays as it is.") from fault
        folder.remove(f"{engine}.onnx")
        done = predictor_with_engine(detector, on_cpu, engine, folder, labelled)
        if not folder.exists(f"{engine}.onnx"):
            raise ArtefactError(f"Expected {model_id} as {engine}, it could not be exported: the log says why.")
        form = measured_form(engine, folder, f"{engine}.onnx", done, val)
        if compression.suffix and val:
            kept = workspace.models.folder(model_id)
            whole = predictor_with_engine(load_model(workspace.models, model_id), on_cpu, engine, kept, labelled)
            form = replace(form, latency_ratio=latency_ratio(done, whole, val))
        forms.append(form)
    return Exported(model_id, folder.uri, gone, *grouping, tuple(forms))


def _compress(
    detector: Detector, compression: Compression, inputs: Callable[[], Iterable[Tensor]]
) -> tuple[int, Grouping]:
    """How many channels were taken out, and what became of the pointwise convolutions."""
    gone = prune(detector, compression.pruned, inputs()) if compression.pruned else 0
    if compression.groups == 1:
        return gone, Grouping(0, 0)
    return gone, group(detector, compression.groups, compression.most_dropped, inputs())
