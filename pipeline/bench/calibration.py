"""`crosscheck bench calibration`: which score tells right boxes from wrong ones, and whether promises are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.bench.cells import cell_settings, train_cell
from pipeline.bench.known import Bench, auroc, column
from pipeline.boxes import as_boxes
from pipeline.detector.predict import Detections, Predictor
from pipeline.detector.stream import stream_pictures
from pipeline.mining.look import look_again
from pipeline.selection.certify import Certificate
from pipeline.selection.likeness import NOTHING
from pipeline.selection.quality import auroc_gain, measure
from pipeline.settings import Settings
from pipeline.stages.calibration import HeldBack, certify
from pipeline.stages.cycle import Progress, silent
from pipeline.workspace import Folder

RESULT = "calibration"


def bench_calibration(
    configs: Sequence[Path],
    labelled: Sequence[int],
    seeds: Sequence[int],
    *,
    root: str,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure every score in every cell; finished cells are read, not measured again.

    Args:
        configs: Simulated projects with val and test splits.
        labelled: Numbers of labelled images to train on.
        seeds: Of each.
        root: Folder of the benchmark's workspaces and results.
        progress: Told after every cell, and while a detector is trained.

    Returns:
        `evidence`, a row a cell and score, `mistakes`, a row a cell and kind of wrong box, and `certificates`, a row a
        cell and certified class.
    """
    results = Folder(str(Path(root).resolve())).folder(RESULT)
    cells = [(config, count, seed) for count in labelled for seed in seeds for config in configs]
    told: dict[str, list[dict[str, Any]]] = {"evidence": [], "mistakes": [], "certificates": []}
    for done, (config, count, seed) in enumerate(cells, 1):
        settings = cell_settings(config, count, seed, root)
        name = f"{settings.name}-{count}-{seed}-{settings.digest()}.json"
        if not results.exists(name):
            results.write_json(name, _measure(settings, progress))
        cell = {"set": settings.name, "labelled": count, "seed": seed}
        for kind, rows in results.read_json(name).items():
            told[kind] += [{**cell, **row} for row in rows]
        progress("cells", done, len(cells))
    return told


def _measure(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Fit on val, measure on test."""
    bench = Bench.of(train_cell(settings, progress))
    predictor = bench.predictor()
    applied = bench.applied(predictor, progress)
    known, ladder, p_correct = applied.pool, applied.ladder, applied.p_correct
    confidence, consistency = column(known, "score"), column(known, "consistency")
    scores = {
        "confidence": confidence,
        "consistency": consistency,
        "product": confidence * consistency,
        "flip agreement": _flip_agreement(bench, predictor, known),
        "found again in a second look": column(known, "second_score"),
        "found again closer": column(known, "agreement"),
        "detection alone, calibrated": ladder.predict_on(0, known.evidence),
        "second look as well": ladder.predict_on(1, known.evidence),
        "crosscheck": ladder.predict_on(-1, known.evidence),
        "crosscheck within the budget": p_correct,
    }
    promised = certify(applied.held_back, applied.out_of_fold, settings, bench.model_id)
    return {
        "evidence": [_row(name, score, confidence, known, settings.seed) for name, score in scores.items()],
        "mistakes": _mistakes(known, scores),
        "certificates": [_kept(one, p_correct, known, settings) for one in promised.classes.values() if one.certified],
    }


def _row(
    name: str, score: NDArray[np.float64], confidence: NDArray[np.float64], known: HeldBack, seed: int
) -> dict[str, Any]:
    images = known.evidence["image_id"].to_numpy(zero_copy_only=False)
    true_boxes = sum(len(sample.boxes) for sample in known.samples)
    measured = asdict(measure(score, known.right, images, true_boxes, seed))
    gain = auroc_gain(score, confidence, known.right, images, seed) if measured["auroc"] is not None else None
    measured.pop("reliability")
    return {"evidence": name, "boxes": len(score), **measured, "gain": gain}


def _mistakes(known: HeldBack, scores: dict[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """How well right boxes are told from each kind of wrong ones."""
    own = known.evidence["label"].to_numpy(zero_copy_only=False).astype(str)
    empty = known.objects == NOTHING
    kinds = {
        "another class": ~known.right & ~empty & (known.objects != own),
        "duplicate": ~known.right & (known.objects == own),
        "misplaced or background": ~known.right & empty,
    }
    return [
        {
            "kind": kind,
            "boxes": int(wrong.sum()),
            "auroc": {name: auroc(known.right[wrong | known.right], score[wrong | known.right])
                      for name, score in scores.items()},
        }
        for kind, wrong in kinds.items()
    ]  # fmt: skip


def _kept(
    certificate: Certificate, p_correct: NDArray[np.float64], known: HeldBack, settings: Settings
) -> dict[str, Any]:
    """What a promise was worth on images that nobody looked at before."""
    assert certificate.threshold is not None
    labels = known.evidence["label"].to_numpy(zero_copy_only=False)
    written = (labels == certificate.label) & (p_correct >= certificate.threshold)
    return {
        "label": certificate.label,
        "threshold": certificate.threshold,
        "target": settings.selection.target_precision,
        "lower_bound": certificate.lower_bound,
        "boxes": int(written.sum()),
        "right": int(known.right[written].sum()),
    }


def _flip_agreement(bench: Bench, predictor: Predictor, known: HeldBack) -> NDArray[np.float64]:
    """Score with which each proposal is found again in its mirrored picture."""
    settings = bench.cycle.settings
    images = known.evidence["image_id"].to_numpy(zero_copy_only=False)
    corners = np.stack([column(known, name) for name in ("x1", "y1", "x2", "y2")], axis=1)
    numbers = np.array([settings.data.labels.index(label) + 1 for label in known.evidence["label"].to_pylist()])
    agreement = np.zeros(len(images))
    for batch in stream_pictures(
        [sample.ref for sample in known.samples],
        image_size_px=settings.detector.image_size_px,
        max_pixels=settings.data.max_image_pixels,
        batch_size=settings.mining.batch_size,
        threads=settings.mining.decode_threads,
        faults=[],
    ):
        rows = [np.flatnonzero(images == ref.image_id) for ref in batch.refs]
        proposals = [
            Detections(batch.to_input(index, as_boxes(corners[one])), torch.ones(len(one)),
                       torch.from_numpy(numbers[one]), torch.zeros(len(one), 0))
            for index, one in enumerate(rows)
        ]  # fmt: skip
        seen = look_again(predictor, batch.images, proposals, enlarged=1.0)
        agreement[np.concatenate(rows)] = torch.cat([one.score for one in seen])
    return agreement
