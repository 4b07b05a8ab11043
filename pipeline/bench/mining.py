"""`crosscheck bench mining`: what checks cost and what they tell, beside the published way and a plain detection."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.bench.labelled_mining import Bench, auroc, column
from pipeline.bench.trained_cell import cell_settings, train_cell
from pipeline.boxes import as_boxes, outward, scale
from pipeline.detector.inference.predictor import Detections, Predictor, detect_images
from pipeline.detector.inference.stream import stack_images, stream_images
from pipeline.mining.reference import HOSTS, cross_validate, random_place
from pipeline.records import Sample, Split
from pipeline.seeds import numpy_generator
from pipeline.stages.calibration import HeldBack
from pipeline.stages.cycle import Progress, silent

REPEATS = 5
"""A plain pass and mining are timed so often, in turn; the median counts. With every box checked, once."""

T = TypeVar("T")
STAGES = ("decode", "detect", "propose", "paste", "match")


def bench_mining(
    config: Path, seeds: Sequence[int], *, images: int, proposals: int, root: str, progress: Progress = silent
) -> dict[str, Any]:
    """Measure mining beside a plain detection pass and the published rule, on images that no stage learnt from.

    Args:
        config: A simulated project; a detector is trained as its first cycle does, once a seed.
        seeds: Each is a run of its own.
        images: At most so many of the test split.
        proposals: At most so many are checked in the published way, which is slow.
        root: Folder of the benchmark's workspaces.
        progress: Told while a detector is trained and after every proposal of the published way.

    Returns:
        `runs`, one a seed, and the mean of every number over them.
    """
    runs = [_run(config, seed, images, proposals, root, progress) for seed in seeds]
    return {"set": config.stem, "seeds": list(seeds), **_mean(runs), "runs": runs}


def _run(config: Path, seed: int, images: int, proposals: int, root: str, progress: Progress) -> dict[str, Any]:
    settings = cell_settings(config, None, seed, root)
    settings = settings.model_copy(update={"mining": settings.mining.model_copy(update={"hosts": HOSTS})})
    bench = Bench.of(train_cell(settings, progress))
    predictor, samples = bench.predictor(), bench.samples(Split.TEST, images)
    cascade = bench.cascade(predictor)
    plain, gated = [], []
    for _ in range(REPEATS):
        plain.append(_timed(lambda: _detect(bench, predictor, samples))[0])
        gated.append(_timed(lambda: bench.mine(predictor, samples, cascade)))
    detect_s, gated_s = (float(np.median(one)) for one in (plain, [seconds for seconds, _ in gated]))
    mined = gated[0][1]
    full_s, everything = _timed(lambda: bench.mine(predictor, samples))
    known, known_full = bench.known(mined, samples), bench.known(everything, samples)
    rows = np.sort(numpy_generator(seed, "reference").permutation(len(known.right))[:proposals])
    slow = bench.predictor("fp32")
    reference_s, reference = _timed(lambda: _published(bench, slow, known, rows, seed, progress))
    _, again = _timed(lambda: _published(bench, slow, known, rows, seed + 1_000_000, progress))
    right, p_correct = known.right[rows], cascade.predict(known.evidence)[rows]
    per_proposal = {"reference": reference_s / len(rows), "engine": gated_s / len(known.right)}
    consistency = column(known_full, "consistency")[rows]
    return {
        "seed": seed,
        "images": len(samples),
        "proposals": len(known.right),
        "reference_proposals": len(rows),
        "speedup": per_proposal["reference"] / per_proposal["engine"],
        "speedup_all_checked": per_proposal["reference"] / (full_s / len(known.right)),
        "cost_over_plain_pass": gated_s / detect_s,
        "cost_over_plain_pass_all_checked": full_s / detect_s,
        "auroc_reference": auroc(right, reference),
        "auroc_confidence": auroc(right, column(known, "score")[rows]),
        "auroc_engine": auroc(right, p_correct),
        "auroc_engine_consistency": auroc(right, consistency),
        "agreement_of_reference_with_itself": _correlation(reference, again),
        "agreement_of_engine_with_reference": _correlation(consistency, reference),
        "seconds": {"plain": detect_s, "engine": gated_s, "all_checked": full_s, "reference": reference_s},
        "seconds_by_stage": dict.fromkeys(STAGES, 0.0) | mined.cost.seconds,
        "seconds_by_stage_all_checked": dict.fromkeys(STAGES, 0.0) | everything.cost.seconds,
        "looks": mined.cost.looks,
        "views": mined.cost.views,
        "pastes": mined.cost.pastes,
        "passes": mined.cost.passes,
        "passes_all_checked": everything.cost.passes,
        "windows_a_canvas_all_checked": (everything.cost.views + everything.cost.pastes)
        / max(1, everything.cost.canvases),
    }


def _timed(run: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    made = run()
    return time.perf_counter() - began, made


def _detect(bench: Bench, predictor: Predictor, samples: list[Sample]) -> int:
    """A plain detection pass; how many boxes it found."""
    settings = bench.cycle.settings
    stream = detect_images(
        predictor,
        sorted((sample.ref for sample in samples), key=lambda ref: (ref.height / ref.width, ref.image_id)),
        max_pixels=settings.data.max_image_pixels,
        threads=settings.mining.decode_threads,
        faults=[],
    )
    return sum(len(one) for _, found in stream for one in found)


def _published(
    bench: Bench, predictor: Predictor, known: HeldBack, rows: NDArray[np.intp], seed: int, progress: Progress
) -> NDArray[np.float64]:
    """Consistency of some proposals by the published rule: one paste, one whole host, one forward pass at a time."""
    settings, hosts = bench.cycle.settings, bench.hosts
    images = _images(bench, known, rows)

    def detect(pixels: NDArray[np.uint8]) -> Detections:
        return predictor(stack_images([pixels]))[0]

    scores = []
    for done, row in enumerate(known.evidence.take(rows).to_pylist(), 1):
        image, to_input = images[row["image_id"]]
        box = scale(as_boxes([[row[name] for name in ("x1", "y1", "x2", "y2")]]), *to_input)
        x1, y1, x2, y2 = outward(box)[0].tolist()
        crop, label = image[y1:y2, x1:x2], settings.data.labels.index(row["label"]) + 1
        random = numpy_generator(seed, "published", row["proposal_id"])
        # Hosts that lack the class come first; where every image holds it, the others must do.
        order = torch.argsort(torch.from_numpy(random.random(len(hosts))) + hosts.holds[:, label])[:HOSTS].tolist()
        fitting = [(hosts.images[host], random_place(hosts.images[host], crop, random)) for host in order]
        chosen = [(host, place) for host, place in fitting if place is not None]
        verdict = cross_validate(detect, crop, label, [host for host, _ in chosen], [place for _, place in chosen])
        scores.append(verdict.consistency)
        progress("the published way", done, len(rows))
    return np.array(scores)


def _images(
    bench: Bench, known: HeldBack, rows: NDArray[np.intp]
) -> dict[str, tuple[NDArray[np.uint8], tuple[float, float]]]:
    """Decoded images of some proposals, with input pixels an own pixel in x and y."""
    settings = bench.cycle.settings
    wanted = set(known.evidence["image_id"].take(rows).to_pylist())
    batches = stream_images(
        [sample.ref for sample in known.samples if sample.image_id in wanted],
        image_size_px=settings.detector.image_size_px,
        max_pixels=settings.data.max_image_pixels,
        batch_size=settings.mining.batch_size,
        threads=settings.mining.decode_threads,
        faults=[],
    )
    return {
        ref.image_id: (pixels, (pixels.shape[1] / ref.width, pixels.shape[0] / ref.height))
        for batch in batches
        for ref, pixels in zip(batch.refs, batch.unpadded(), strict=True)
    }


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """None where one of them does not vary."""
    return float(np.corrcoef(first, second)[0, 1]) if first.std() and second.std() else None


def _mean(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean over runs of every number, and of those inside mappings."""
    mean: dict[str, Any] = {}
    for key, value in runs[0].items():
        if isinstance(value, dict):
            mean[key] = _mean([run[key] for run in runs])
        elif key != "seed":
            numbers = [run[key] for run in runs if run[key] is not None]
            mean[key] = float(np.mean(numbers)) if numbers else None
    return mean
