"""Time OpenVINO beside ONNX Runtime and torch on a project's detector, in turn in one process.

    pip install 'crosscheck[openvino]'
    OMP_NUM_THREADS=1 python -m scripts.engine_ratio --config project.yaml

Prints how far scores lie from those of torch in float32; and, for batches of several sizes, the processor time of each
form as a multiple of that of torch in the precision that `mining.precision: auto` takes here: the median of some
alternations, with the least and the greatest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from torch import Tensor

from pipeline.dataset.store import SampleStore
from pipeline.detector.inference.engine import predictor_with_engine
from pipeline.detector.inference.precision import native_precision
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.saved import load_model
from pipeline.folder import Folder
from pipeline.records import Split
from pipeline.settings import load_settings
from pipeline.settings.detector import Precision
from pipeline.settings.mining import Engine
from pipeline.workspace import Workspace

FORMS: tuple[tuple[Engine, Precision], ...] = (
    ("torch", "fp32"),
    ("torch", "bf16"),
    ("onnx", "fp32"),
    ("onnx_int8", "fp32"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
)
BATCHES, TIMED = (1, 8, 16), 8
"""Images per forward pass, and the fewest that are timed at once."""


def main() -> None:
    """Export the champion into a scratch folder and time it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--alternations", type=int, default=7)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        forms, images = _prepared(given.config, Folder(folder))
        reference = forms["torch fp32"](images)
        for name, form in forms.items():
            pairs = [(a.scores, b.scores) for a, b in zip(reference, form(images), strict=True)]
            gap = max(float((a[: len(b)] - b[: len(a)]).abs().max()) for a, b in pairs if len(a) and len(b))
            print(f"{name}: scores differ from torch's in float32 by {gap:.2g} at most")
        for size in BATCHES:
            timed = max(size, TIMED)
            batches = [images[first : first + size] for first in range(0, timed, size)]
            runs = {name: partial(_run, form, batches) for name, form in forms.items()}
            for name, ratios in _ratios(runs, f"torch {native_precision('cpu')}", given.alternations).items():
                spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
                print(f"batch {size}, {name}: {median(ratios):.2f} ({spread})", flush=True)


def _prepared(config: Path, exports: Folder) -> tuple[dict[str, Predictor], Tensor]:
    """Every form of the champion by name, and some test images, Tensor[B, 3, H, W] uint8."""
    settings = load_settings(config)
    workspace = Workspace(settings.workspace)
    champion, store = require_champion(workspace, "to time"), SampleStore(workspace.samples_uri)
    labelled = [sample.ref for sample in store.labeled(Split.TRAIN)]
    on_cpu = PredictionSettings(accelerator="cpu", batch_size=max(BATCHES))
    forms = {}
    for engine, precision in FORMS:
        detector, wanted = load_model(workspace.models, champion), replace(on_cpu, precision=precision)
        forms[f"{engine} {precision}"] = predictor_with_engine(detector, wanted, engine, exports, labelled)
    refs = [sample.ref for sample in store.labeled(Split.TEST)[: max(BATCHES)]]
    return forms, next(forms["torch fp32"].inputs(refs))


def _run(form: Predictor, batches: Sequence[Tensor]) -> None:
    for images in batches:
        form(images)


def _ratios(runs: Mapping[str, Callable[[], None]], reference: str, alternations: int) -> dict[str, list[float]]:
    """Processor time of each run as a multiple of the reference's in the same alternation; the first one is dropped."""
    rounds = []
    for _ in range(1 + alternations):
        seconds = {}
        for name, run in runs.items():
            began = time.process_time()
            run()
            seconds[name] = time.process_time() - began
        rounds.append({name: spent / seconds[reference] for name, spent in seconds.items()})
    return {name: [each[name] for each in rounds[1:]] for name in runs}


if __name__ == "__main__":
    main()
