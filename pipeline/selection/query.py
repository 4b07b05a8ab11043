"""Which images people are asked about: most worth first, unlike each other, within the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.records import QUEUE_SCHEMA, Fate, TaskKind
from pipeline.selection.baselines import BASELINES, Pool, Values
from pipeline.selection.diversity import diverse
from pipeline.selection.fates import box_id_of
from pipeline.selection.missed_objects import MissedObjectsModel
from pipeline.settings import QuerySettings

EXAMPLES = 2
"""Boxes that the reason of an image names."""


@dataclass(frozen=True)
class Worth:
    """What an answer is expected to bring, an image.

    Attributes:
        value: float[K], corrections and misses weighted for rare classes; higher = asked sooner.
        corrections: float[K], expected number of boxes that a person changes.
        misses: float[K], expected number of objects that no shown box covers: dropped ones and those never proposed.
    """

    value: Values
    corrections: Values
    misses: Values

    def take(self, rows: NDArray[np.intp]) -> Worth:
        """Of some of the images."""
        return Worth(self.value[rows], self.corrections[rows], self.misses[rows])


def class_weights(counts: Mapping[str, int], power: float) -> dict[str, float]:
    """Weigh rare classes higher.

    Args:
        counts: Human-labelled boxes a class.
        power: 0: all alike; 1: by 1 / frequency.

    Returns:
        One weight per class, 1 on average.
    """
    raw = {label: (count + 1) ** -power for label, count in counts.items()}
    mean = sum(raw.values()) / max(1, len(raw))
    return {label: value / mean for label, value in raw.items()}


def expected_worth(pool: Pool, weights: Mapping[str, float], missed: MissedObjectsModel) -> Worth:
    """Estimate what an answer brings.

    Args:
        pool: The candidates.
        weights: By class name.
        missed: What no proposal finds.

    Returns:
        The worth: the variance p(1-p) summed over shown boxes are corrections; p summed over dropped boxes, and the
        objects that are expected beside all proposals, are misses.
    """
    p_correct = pool.column("p_correct")
    weight = np.array([weights.get(label, 1.0) for label in pool.selection["label"].to_pylist()], dtype=np.float64)
    dropped = pool.selection["fate"].to_numpy(zero_copy_only=False) == Fate.DROP.value
    unseen = missed.predict(pool.selection, p_correct, pool.image_ids)
    corrections, _ = pool.by_image(p_correct * (1 - p_correct), ~dropped)
    misses, _ = pool.by_image(p_correct, dropped)
    value, _ = pool.by_image(weight * np.where(dropped, p_correct, p_correct * (1 - p_correct)))
    of_unseen = np.array([weights.get(label, 1.0) for label in missed.labels])
    return Worth(value + unseen @ of_unseen, corrections, misses + unseen.sum(1))


def choose_images(pool: Pool, worth: Worth, settings: QuerySettings) -> list[str]:
    """Choose the images to ask about.

    Args:
        pool: The candidates and how many may be asked about.
        worth: Of each candidate.
        settings: The strategy and the limits.

    Returns:
        Image ids, best first, equals by id; at most `pool.budget`, with at most `settings.boxes` machine boxes. An
        image with more boxes than are left is passed over, so that it does not block the others.
    """
    ours = settings.strategy == "crosscheck"
    value = worth.value if ours else BASELINES[settings.strategy](pool)
    ranked = np.lexsort((np.array(pool.image_ids, dtype=str), -value))
    if ours:
        shortlist = np.sort(ranked[: pool.budget * settings.shortlist_factor])
        embeddings = pool.embed([pool.image_ids[index] for index in shortlist])
        kept = shortlist[diverse(embeddings, value[shortlist], pool.budget, pool.query_seed)]
        ranked = ranked[np.isin(ranked, kept)]
    left = np.inf if settings.boxes is None else settings.boxes
    return [pool.image_ids[index] for index in _within_budget(ranked.tolist(), _shown(pool), pool.budget, left)]


def no_longer_worth(pool: Pool, worth: Worth, waiting: Sequence[str], settings: QuerySettings) -> set[str]:
    """Tell which images that wait for an answer would not be asked about now.

    Args:
        pool: The candidates, those that wait among them, and how many may be asked about in all.
        worth: Of each candidate.
        waiting: Images that wait.
        settings: The strategy and the limits.

    Returns:
        Images whose value fell beneath that of every image that would be chosen now. None under a rival strategy, whose
        values of two cycles do not compare.
    """
    if settings.strategy != "crosscheck" or not waiting:
        return set()
    value = dict(zip(pool.image_ids, worth.value.tolist(), strict=True))
    unlimited = settings.model_copy(update={"boxes": None})  # that limit is for what one push adds
    least = min((value[image_id] for image_id in choose_images(pool, worth, unlimited)), default=np.inf)
    return {image_id for image_id in waiting if value[image_id] < least}


def doubts(selection: pa.Table, target_precision: float) -> dict[str, str]:
    """Say of every unsure box that people see why it is unsure.

    Args:
        selection: Columns of `SELECTION_SCHEMA`.
        target_precision: The bar of a class without a certificate.

    Returns:
        Words by box id, for boxes asked about whose p(correct) is under the certified threshold of their class, or
        under the bar.
    """
    asked = selection.filter(pc.field("fate") == Fate.ASK.value)
    bar = pc.fill_null(asked["threshold"], target_precision)
    unsure = asked.filter(pc.less(asked["p_correct"], bar))
    return {box_id_of(row): f"unsure: {_evidence_in_words(row)}" for row in unsure.to_pylist()}


def _within_budget(ranked: Sequence[int], shown: Values, images: int, boxes: float) -> list[int]:
    chosen: list[int] = []
    for index in ranked:
        if len(chosen) < images and shown[index] <= boxes:
            chosen.append(index)
            boxes -= shown[index]
    return chosen


def queue_table(pool: Pool, worth: Worth, kinds: Mapping[str, TaskKind]) -> pa.Table:
    """Rank images that wait for an answer, and say why each was chosen.

    Args:
        pool: Holds at least these images.
        worth: Of each image of the pool.
        kinds: What each is asked for, by image id.

    Returns:
        Columns of `QUEUE_SCHEMA`, best first.
    """
    shown, examples = _shown(pool), _examples(pool.selection, set(kinds))
    position = {image_id: index for index, image_id in enumerate(pool.image_ids)}
    ranked = sorted(kinds, key=lambda image_id: (-worth.value[position[image_id]], image_id))
    rows = [
        {
            "image_id": image_id,
            "rank": rank,
            "value": worth.value[index := position[image_id]],
            "expected_corrections": worth.corrections[index],
            "expected_missed": worth.misses[index],
            "boxes": int(shown[index]) if kinds[image_id] is TaskKind.ASK else 0,
            "kind": kinds[image_id].value,
            "reason": _reason(kinds[image_id], examples.get(image_id, []), worth.misses[index]),
        }
        for rank, image_id in enumerate(ranked)
    ]
    return pa.Table.from_pylist(rows, schema=QUEUE_SCHEMA)


def _shown(pool: Pool) -> Values:
    """float[K]: boxes that a person would see on each image."""
    return pool.by_image((pool.selection["fate"].to_numpy(zero_copy_only=False) != Fate.DROP.value).astype(float))[0]


def _examples(selection: pa.Table, image_ids: set[str]) -> dict[str, list[str]]:
    """The least sure boxes of each image, in words."""
    chosen = selection.filter(pc.is_in(selection["image_id"], pa.array(sorted(image_ids), pa.string())))
    doubt = np.abs(chosen["p_correct"].to_numpy() - 0.5)
    texts: dict[str, list[str]] = {}
    for row in chosen.take(np.argsort(doubt, kind="stable")).to_pylist():
        texts.setdefault(row["image_id"], [])
        if len(texts[row["image_id"]]) < EXAMPLES and row["fate"] != Fate.DROP.value:
            texts[row["image_id"]].append(_in_words(row))
    return texts


def _in_words(row: dict[str, object]) -> str:
    return f"{row['label']} {_evidence_in_words(row)}"


def _evidence_in_words(row: dict[str, object]) -> str:
    text = f"{row['p_correct']:.2f}"
    checks = row["checks"]
    if not isinstance(checks, int) or checks == 0:
        return text
    found = round(float(str(row["hit_fraction"])) * checks)
    return f"{text} found again in {found} of {checks} hosts"


def _reason(kind: TaskKind, examples: list[str], misses: float) -> str:
    if kind is not TaskKind.ASK:
        return "please draw every object"  # anything more would tell what the machine thinks
    missed = round(float(misses))
    if not examples:
        return f"no likely box here; about {missed} object{'s' * (missed != 1)} to draw"
    likely = [f"{missed} likely miss{'es' * (missed > 1)}"] if missed else []
    return "; ".join([*examples, *likely])
