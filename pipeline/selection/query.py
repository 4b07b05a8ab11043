"""Which images people are asked about: most worth first, unlike each other, within the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.records import QUEUE_SCHEMA, Fate, TaskKind, looked_up
from pipeline.selection.baselines import BASELINES
from pipeline.selection.diversity import diverse
from pipeline.selection.missed_objects import MissedObjectsModel
from pipeline.selection.pool import Pool, Values
from pipeline.selection.reasons import DRAW_ALL, Context, reason_of, reasons
from pipeline.selection.showing import is_hidden
from pipeline.settings import QuerySettings


@dataclass(frozen=True)
class Worth:
    """What an answer is expected to bring, an image.

    Attributes:
        value: float[K], corrections and misses weighted for rare classes, of an image or of a second of work on it;
            higher = asked sooner.
        corrections: float[K], expected number of boxes that a person sees and changes.
        misses: float[K], expected number of objects that no shown box covers: hidden ones and those never proposed.
    """

    value: Values
    corrections: Values
    misses: Values

    def take(self, rows: NDArray[np.intp]) -> Worth:
        """Of some of the images."""
        return Worth(self.value[rows], self.corrections[rows], self.misses[rows])

    def per(self, seconds: Values) -> Worth:
        """The same where images compete for a person's seconds and not for a place in the queue.

        Args:
            seconds: float[K], above 0, that each image is expected to take.
        """
        return replace(self, value=self.value / seconds)


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
        The worth: the variance p(1-p) summed over shown boxes are corrections; p summed over boxes that stand for an
        object without a shown box, and the objects that are expected beside all proposals, are misses. What an answer
        is worth does not depend on what is shown.
    """
    p_correct = pool.column("p_correct")
    weight = looked_up(pool.selection["label"], weights, 1.0)
    dropped = pc.equal(pool.selection["fate"], Fate.DROP.value).to_numpy()
    unseen = missed.predict(pool.selection, p_correct, pool.image_ids)
    corrections, _ = pool.by_image(p_correct * (1 - p_correct), pool.shown)
    misses, _ = pool.by_image(p_correct, is_hidden(pool.selection, pool.shown))
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


def _within_budget(ranked: Sequence[int], shown: Values, images: int, boxes: float) -> list[int]:
    chosen: list[int] = []
    for index in ranked:
        if len(chosen) < images and shown[index] <= boxes:
            chosen.append(index)
            boxes -= shown[index]
    return chosen


def queue_table(pool: Pool, worth: Worth, kinds: Mapping[str, TaskKind], context: Context | None = None) -> pa.Table:
    """Rank images that wait for an answer, and say why each was chosen.

    Args:
        pool: Holds at least these images.
        worth: Of each image of the pool.
        kinds: What each is asked for, by image id.
        context: What the reasons may speak of beside the proposals.

    Returns:
        Columns of `QUEUE_SCHEMA`, best first.
    """
    asked = {image_id for image_id, kind in kinds.items() if kind.shows_boxes}
    shown, why = _shown(pool), reasons(pool.selection, asked, pool.shown_from, context or Context())
    position = {image_id: index for index, image_id in enumerate(pool.image_ids)}
    ranked = sorted(kinds, key=lambda image_id: (-worth.value[position[image_id]], image_id))
    rows = [
        {
            "image_id": image_id,
            "rank": rank,
            "value": worth.value[index := position[image_id]],
            "expected_corrections": worth.corrections[index],
            "expected_missed": worth.misses[index],
            "boxes": int(shown[index]) if kinds[image_id].shows_boxes else 0,
            "kind": kinds[image_id].value,
            "reason": reason_of(kinds[image_id], int(shown[index]), why.get(image_id, DRAW_ALL)),
        }
        for rank, image_id in enumerate(ranked)
    ]
    return pa.Table.from_pylist(rows, schema=QUEUE_SCHEMA)


def _shown(pool: Pool) -> Values:
    """float[K]: boxes that a person would see on each image."""
    return pool.by_image(pool.shown.astype(float))[0]
