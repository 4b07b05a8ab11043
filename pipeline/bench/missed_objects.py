"""`crosscheck bench misses`: objects that are never found, and how many of them training takes for background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipeline.bench.labelled_mining import Bench
from pipeline.bench.trained_cell import cell_settings, train_cell
from pipeline.boxes import as_boxes, intersection_over_first
from pipeline.detector.models.heads import IGNORED_SHARE
from pipeline.mining.columns import CORNERS
from pipeline.records import Fate, Sample, of_images
from pipeline.selection.fates import decide, expected_background, is_background, pseudo_images
from pipeline.selection.missed_objects import fit_missed_objects, recall_by_class_and_size
from pipeline.settings import Settings
from pipeline.stages.calibration import HeldBack, certify
from pipeline.stages.cycle import Progress, silent
from pipeline.workspace import Folder

RESULT = "misses"
NO_REGIONS = 1.0
"""p(correct) from which dropped boxes are ignore regions: none is."""


def bench_missed_objects(
    configs: Sequence[Path],
    labelled: int,
    seeds: Sequence[int],
    *,
    target: float,
    root: str,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure what is missed in every cell, and what becomes of it with and without the estimate of misses.

    Args:
        configs: Simulated projects with val and test splits.
        labelled: Labelled images to train on.
        seeds: Of each.
        target: Promised precision. A class without a certificate is written from this p(correct) on, so that there is
            something to compare.
        root: Folder of the benchmark's workspaces and results; finished cells are read, not measured again.
        progress: Told after every cell, and while a detector is trained.

    Returns:
        `cells`: a row each. `pseudo_labels` has `before` (every image with a sure box), `weak regions` (dropped boxes
        that may be something are ignored as well) and `half` (of the images, those with fewest expected misses);
        `background_at_random` is what would be taken for background if as many images were left out at random.
    """
    results = Folder(str(Path(root).resolve())).folder(RESULT)
    cells = [(config, seed) for seed in seeds for config in configs]
    rows = []
    for done, (config, seed) in enumerate(cells, 1):
        settings = cell_settings(config, labelled, seed, root)
        selection = settings.selection.model_copy(update={"target_precision": target})
        settings = settings.model_copy(update={"selection": selection})
        name = f"{settings.name}-{labelled}-{seed}-{settings.digest()}.json"
        if not results.exists(name):
            results.write_json(name, _measure(settings, progress))
        rows.append({"set": settings.name, "labelled": labelled, "seed": seed, **results.read_json(name)})
        progress("cells", done, len(cells))
    return {"cells": rows}


def _measure(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Fit on val, apply to test as to a pool."""
    bench = Bench.of(train_cell(settings, progress))
    applied = bench.applied(bench.predictor(), progress=progress)
    held_back, known, p_correct = applied.held_back, applied.pool, applied.p_correct
    told = (held_back.samples, held_back.evidence, applied.out_of_fold, held_back.right)
    missed = fit_missed_objects(*told, settings.data.labels, bench.model_id)
    target = settings.selection.target_precision
    promised = {
        label: one if one.certified else replace(one, threshold=target)
        for label, one in certify(held_back, applied.out_of_fold, settings, bench.model_id).classes.items()
    }
    selection = decide(known.placed, p_correct, promised, settings.selection)
    image_ids = [sample.image_id for sample in known.samples]
    unseen = missed.predict(selection, p_correct, image_ids).sum(1)
    truly = _never_proposed(known)
    recall = recall_by_class_and_size(held_back.samples, held_back.evidence, held_back.matched)
    ignored = settings.selection.ignore_from

    def outcome(ignore_from: float, share: float) -> _Outcome:
        """Of the images with fewest expected misses, by share of all images."""
        expected = expected_background(selection, missed, image_ids, is_background(None, ignore_from))
        complete = expected <= np.quantile(expected, share)
        return _outcome(selection, known, complete, ignore_from)

    ways = {"before": outcome(NO_REGIONS, 1.0), "weak regions": outcome(ignored, 1.0), "half": outcome(ignored, 0.5)}
    share = ways["half"].images / max(1, ways["weak regions"].images)
    return {
        "images": len(known.samples),
        "objects": sum(len(sample.boxes) for sample in known.samples),
        "never_proposed": int(truly.sum()),
        "expected_never_proposed": float(unseen.sum()),
        "rank_correlation": float(np.corrcoef(rankdata(unseen), rankdata(truly))[0, 1]) if truly.any() else None,
        "certified": sorted(label for label, one in promised.items() if one.certified),
        "recall": [asdict(one) for one in recall],
        "pseudo_labels": {name: asdict(one) for name, one in ways.items()},
        "background_at_random": share * ways["weak regions"].background,
    }


def _never_proposed(known: HeldBack) -> NDArray[np.int64]:
    """int[K]: objects an image that no proposal found."""
    found = pc.value_counts(known.evidence["image_id"].filter(pa.array(known.right)))
    counts = dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))
    return np.array([len(one.boxes) - counts.get(one.image_id, 0) for one in known.samples], dtype=np.int64)


@dataclass(frozen=True)
class _Outcome:
    """What pseudo-labelling makes of the missed objects.

    Attributes:
        images: Pseudo-labelled images.
        boxes: Pseudo-labels in them.
        missed: Objects of all images that no pseudo-label marks and no ignore region would cover.
        background: Those of them that lie in pseudo-labelled images: training takes them for background.
    """

    images: int
    boxes: int
    missed: int
    background: int


def _outcome(selection: pa.Table, known: HeldBack, complete: NDArray[np.bool_], ignore_from: float) -> _Outcome:
    wanted = [sample.image_id for sample, one in zip(known.samples, complete, strict=True) if one]
    written = pseudo_images(selection.filter(of_images(wanted)), set(), None)
    fate = selection["fate"].to_numpy(zero_copy_only=False)
    p_correct = selection["p_correct"].to_numpy()
    image = selection["image_id"].to_numpy(zero_copy_only=False)
    sure = fate == Fate.PSEUDO.value
    ignored = (fate == Fate.ASK.value) | ((fate == Fate.DROP.value) & (p_correct >= ignore_from))
    corners = np.stack([selection[name].to_numpy() for name in CORNERS], axis=1)
    missed = {
        sample.image_id: _uncovered(sample, known.matched[own & sure], corners[own & ignored])
        for sample in known.samples
        for own in (image == sample.image_id,)
    }
    return _Outcome(
        images=len(written),
        boxes=int((sure & np.isin(image, written)).sum()),
        missed=sum(missed.values()),
        background=sum(missed[image_id] for image_id in written),
    )


def _uncovered(sample: Sample, matched: NDArray[np.int64], ignored: NDArray[np.float32]) -> int:
    """Objects that are neither marked nor mostly in an ignore region."""
    left = [index for index in range(len(sample.boxes)) if index not in set(matched.tolist())]
    objects, regions = as_boxes([sample.boxes[index].xyxy for index in left]), as_boxes(ignored)
    if len(objects) == 0 or len(regions) == 0:
        return len(left)
    return len(left) - int((intersection_over_first(objects, regions) > IGNORED_SHARE).any(1).sum())
