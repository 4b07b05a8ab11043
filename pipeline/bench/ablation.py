"""`crosscheck bench ablation`: what each choice in how boxes are pasted is worth, one changed at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.bench.labelled_mining import Bench, auroc, column
from pipeline.bench.trained_cell import cell_settings, train_cell
from pipeline.mining.reference import PROPOSAL_SCORE, gamma, gate_loss
from pipeline.records import Split
from pipeline.selection.cascade import out_of_fold
from pipeline.settings import MiningSettings, Settings
from pipeline.stages.calibration import HeldBack
from pipeline.stages.cycle import Progress, silent
from pipeline.workspace import Folder

RESULT = "ablation"
VARIANTS: dict[str, dict[str, Any]] = {
    "as set": {},
    "no context": {"margin": 0.0},
    "twice the context": {"margin": 0.5},
    "any host": {"host_kind": "any"},
    "hosts that hold the class first": {"host_kind": "class_held_first"},
    "blurred hosts": {"host_blur": True},
    "placed anywhere": {"placement": "uniform"},
    "no scale jitter": {"scale_jitter": 0.0},
    "more scale jitter": {"scale_jitter": 0.3},
    "2 hosts": {"hosts": 2},
    "8 hosts": {"hosts": 8},
    "no window": {"window": 0.0},
    "a larger window": {"window": 1.0},
    "whole hosts": {"window": 100.0},
    "feathered edges": {"feather_px": 4},
    "found again more surely": {"hit_score": 0.3},
    "found again anywhere near": {"hit_iou": 0.5},
}
"""What each variant changes of `mining`."""
GATED_ROUNDS = (0, 3, 7)
"""Rounds of the published method whose gate, which opens wider every round, is measured beside the variants."""


def bench_ablation(
    config: Path,
    labelled: int,
    seeds: Sequence[int],
    variants: Sequence[str],
    *,
    images: int,
    root: str,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Mine the same test images with one setting changed at a time.

    Args:
        config: A simulated project with a test split.
        labelled: Labelled images to train on.
        seeds: A detector each.
        variants: Names among `VARIANTS`.
        images: Most images of the test split.
        root: Folder of the benchmark's workspaces and results; finished cells are read, not measured again.
        progress: Told after every variant, and while a detector is trained.

    Returns:
        `rows`: a row a seed and variant.
    """
    results = Folder(str(Path(root).resolve())).folder(RESULT)
    cells = [(seed, name) for seed in seeds for name in variants]
    rows = []
    for done, (seed, name) in enumerate(cells, 1):
        settings = cell_settings(config, labelled, seed, root)
        mining = MiningSettings(**{**settings.mining.model_dump(), **VARIANTS[name]})
        key = hashlib.sha256(f"{settings.digest()} {mining.model_dump_json()}".encode()).hexdigest()[:12]
        file = f"{settings.name}-{labelled}-{seed}-{images}-{key}.json"
        if not results.exists(file):
            results.write_json(file, _measure(settings, mining, images, progress))
        cell = {"set": settings.name, "labelled": labelled, "seed": seed, "variant": name}
        rows.append({**cell, **results.read_json(file)})
        progress("variants", done, len(cells))
    return {"rows": rows}


def _measure(settings: Settings, mining: MiningSettings, images: int, progress: Progress) -> dict[str, Any]:
    """AUROC of what pastes say alone and with all other evidence, p(correct) out of fold on the same images."""
    bench = Bench.of(train_cell(settings.model_copy(update={"mining": mining}), progress))
    samples = bench.samples(Split.TEST, images)
    mined = bench.mine(bench.predictor(), samples)
    known = bench.known(mined, samples)
    given, options = bench.cascade_inputs(known)
    _, with_all = out_of_fold(*given, **options)
    right, confidence, consistency = known.right, column(known, "score"), column(known, "consistency")
    scores = {
        "confidence": confidence,
        "consistency": consistency,
        "product": confidence * consistency,
        "crosscheck": with_all,
    }
    return {
        "boxes": len(right),
        "pastes": mined.cost.pastes,
        "canvases": mined.cost.canvases,
        **{f"auroc_{name}": auroc(right, score) for name, score in scores.items()},
        "gate": {f"{gamma(number):.2f}": _through_gate(known, gamma(number)) for number in GATED_ROUNDS},
    }


def _through_gate(known: HeldBack, most: float) -> dict[str, int]:
    """Boxes that the published gate lets the machine label, and how many of them are right."""
    two_likeliest = torch.from_numpy(np.stack([column(known, "score"), column(known, "runner_up")], axis=1))
    passed = (gate_loss(two_likeliest) <= most).numpy() & (column(known, "score") >= PROPOSAL_SCORE)
    return {"boxes": int(passed.sum()), "right": int(known.right[passed].sum())}
