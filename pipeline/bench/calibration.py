"""`crosscheck bench calibration`: which score tells right boxes from wrong ones, and whether promises are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.bench.labelled_mining import Applied, Bench, auroc, column
from pipeline.bench.trained_cell import cell_settings, train_cell
from pipeline.boxes import as_boxes
from pipeline.detector.inference.predictor import Detections, Predictor
from pipeline.detector.inference.stream import stream_images
from pipeline.mining.augmented_view import compare_augmented_view
from pipeline.records import NEIGHBOUR_FIELDS
from pipeline.selection.calibrator import CHEAP, CLOSER, LOOKED, PASTED, fit_calibrator
from pipeline.selection.certificates import Certificate
from pipeline.selection.class_affinity import NOTHING
from pipeline.selection.quality import auroc_gain, measure
from pipeline.settings import Settings
from pipeline.stages.calibration import HeldBack, certify
from pipeline.stages.cycle import Progress, silent
from pipeline.workspace import Folder

RESULT = "calibration"
BARE = tuple(name for name in CHEAP if name not in dict(NEIGHBOUR_FIELDS))
"""Features of a detection that looks at no other box."""


def bench_calibration(
    configs: Sequence[Path],
    labelled: Sequence[int],
    seeds: Sequence[int],
    *,
    held_back: int | None = None,
    root: str,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure every score in every cell; finished cells are read, not measured again.

    Args:
        configs: Simulated projects with val and test splits.
        labelled: Numbers of labelled images to train on.
        seeds: Of each.
        held_back: Most images of val to fit p(correct) on; None: all.
        root: Folder of the benchmark's workspaces and results.
        progress: Told after every cell, and while a detector is trained.

    Returns:
        `evidence`, a row a cell and score, `held_back`, a row a cell with what p(correct) was fitted on, `mistakes`, a
        row a cell and kind of wrong box, and `certificates`, a row a cell and certified class.
    """
    results = Folder(str(Path(root).resolve())).folder(RESULT)
    cells = [(config, count, seed) for count in labelled for seed in seeds for config in configs]
    told: dict[str, list[dict[str, Any]]] = {"evidence": [], "held_back": [], "mistakes": [], "certificates": []}
    for done, (config, count, seed) in enumerate(cells, 1):
        settings = cell_settings(config, count, seed, root)
        few = "" if held_back is None else f"-{held_back}"
        name = f"{settings.name}-{count}-{seed}{few}-{settings.digest()}.json"
        if not results.exists(name):
            results.write_json(name, _measure(settings, held_back, progress))
        cell = {"set": settings.name, "labelled": count, "seed": seed}
        for kind, rows in results.read_json(name).items():
            told[kind] += [{**cell, **row} for row in rows]
        progress("cells", done, len(cells))
    return told


def _measure(settings: Settings, most: int | None, progress: Progress) -> dict[str, Any]:
    """Fit on val, or on at most so many images of it, and measure on test."""
    bench = Bench.of(train_cell(settings, progress))
    predictor = bench.predictor()
    applied = bench.applied(predictor, most, progress)
    known, cascade, p_correct = applied.pool, applied.cascade, applied.p_correct
    confidence, consistency = column(known, "score"), column(known, "consistency")
    scores = {
        "confidence": confidence,
        "consistency": consistency,
        "product": confidence * consistency,
        "flip agreement": _flip_agreement(bench, predictor, known),
        "found again in an augmented view": column(known, "tta_score"),
        "found again closer": column(known, "closeup_score"),
        "detection without other boxes, calibrated": _calibrated(applied, bench, BARE),
        "detection without affinity, calibrated": _calibrated(applied, bench, CHEAP),
        "crosscheck without affinity": _calibrated(applied, bench, (*CHEAP, *LOOKED, *CLOSER, *PASTED)),
        "detection alone, calibrated": cascade.predict_on(0, known.evidence),
        "augmented view as well": cascade.predict_on(1, known.evidence),
        "crosscheck": cascade.predict_on(-1, known.evidence),
        "crosscheck within the budget": p_correct,
    }
    promised = certify(applied.held_back, applied.out_of_fold, settings, bench.model_id)
    return {
        "evidence": [_row(name, score, confidence, known, settings.seed) for name, score in scores.items()],
        "held_back": [
            {
                "images": len(applied.held_back.samples),
                "boxes": len(applied.held_back.right),
                "right": int(applied.held_back.right.sum()),
            }
        ],
        "mistakes": _mistakes(known, scores),
        "certificates": [_kept(one, p_correct, known, settings) for one in promised.classes.values() if one.certified],
    }


def _calibrated(applied: Applied, bench: Bench, features: Sequence[str]) -> NDArray[np.float64]:
    """p(correct) of the pool by some features alone."""
    known, least = applied.held_back, bench.cycle.settings.selection.min_class_boxes
    fitted = fit_calibrator(
        known.evidence, known.right, min_class_boxes=least, features=features, model_id=bench.model_id
    )
    return fitted.predict(applied.pool.evidence)


def _row(
    name: str, score: NDArray[np.float64], confidence: NDArray[np.float64], known: HeldBack, seed: int
) -> dict[str, Any]:
    images = known.evidence["image_id"].to_numpy(zero_copy_only=False)
    true_boxes = sum(len(sample.boxes) for sample in known.samples)
    measured = asdict(measure(score, known.right, images, true_boxes, seed))
    gain = auroc_gain(score, confidence, known.right, images, seed) if measured["auroc"] is not None else None
    measured.pop("reliability")
    right = int(known.right.sum())
    return {"evidence": name, "boxes": len(score), "right": right, **measured, "gain": gain}


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
    """Score with which each proposal is found again in its mirrored image."""
    settings = bench.cycle.settings
    images = known.evidence["image_id"].to_numpy(zero_copy_only=False)
    corners = np.stack([column(known, name) for name in ("x1", "y1", "x2", "y2")], axis=1)
    numbers = np.array([settings.data.labels.index(label) + 1 for label in known.evidence["label"].to_pylist()])
    agreement = np.zeros(len(images))
    for batch in stream_images(
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
        seen = compare_augmented_view(predictor, batch.images, proposals, enlarged=1.0)
        agreement[np.concatenate(rows)] = torch.cat([one.score for one in seen])
    return agreement
