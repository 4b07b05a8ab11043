"""The queue: images that wait already and are still worth asking about, audits, blind tasks and new questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from pipeline.records import TaskKind
from pipeline.seeds import numpy_generator
from pipeline.selection.asking import Verification
from pipeline.selection.fates import AUDITED
from pipeline.selection.pool import Pool
from pipeline.selection.query import Worth, choose_images, no_longer_worth, queue_table
from pipeline.selection.reasons import Context
from pipeline.selection.review_share import whole_images
from pipeline.settings import SelectionSettings


@dataclass(frozen=True)
class Candidates:
    """Images that may be asked about, and what an answer is worth.

    Attributes:
        pool: The images and what is known of them.
        worth: Of each.
        context: What the reasons may speak of beside the proposals.
        verification: Which of them are verified, where boxes are shown.
    """

    pool: Pool
    worth: Worth
    context: Context = field(default_factory=Context)
    verification: Verification = field(default_factory=Verification)

    def among(self, image_ids: Set[str], budget: int) -> Candidates:
        """Some of them, in order, with another budget."""
        rows = np.flatnonzero([image_id in image_ids for image_id in self.pool.image_ids])
        return replace(self, pool=self.pool.among(image_ids, budget), worth=self.worth.take(rows))


@dataclass(frozen=True)
class Owed:
    """What is left of the shares of images that are shown without boxes, each under one image."""

    blind: float = 0.0
    audit: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What people are asked.

    Attributes:
        queue: Columns of `QUEUE_SCHEMA`, best first.
        owed: What is left of the shares, each under one image; the next cycle adds it to its own.
    """

    queue: pa.Table
    owed: Owed = field(default_factory=Owed)


def plan_queue(
    candidates: Candidates, before: Mapping[str, TaskKind], settings: SelectionSettings, owed: Owed | None = None
) -> Plan:
    """Decide what people are asked.

    Args:
        candidates: Every image that may be asked about; the pool's seed and cycle drive what is drawn at random.
        before: What images that still wait were last asked for.
        settings: Budgets and shares.
        owed: Of the cycle before.
    """
    owed = owed or Owed()
    most, everyone = settings.query.images, candidates.pool.image_ids
    audited = [image_id for image_id, kind in before.items() if kind is TaskKind.AUDIT]
    asked = [image_id for image_id in before if image_id not in audited]
    again = candidates.among(set(everyone) - set(audited), max(0, most - len(audited)))
    gone = no_longer_worth(again.pool, again.worth, asked, settings.query)
    waiting = [image_id for image_id in before if image_id not in gone]
    budget = max(0, most - len(waiting))
    audit = owed.audit + budget * settings.audit_share
    audits = _draw_audits(candidates.pool, set(before), min(budget, whole_images(audit)))
    free = candidates.among(set(everyone) - before.keys() - set(audits), budget - len(audits))
    chosen = choose_images(free.pool, free.worth, settings.query)
    blind = owed.blind + len(chosen) * settings.query.blind_share
    shown = [*(image_id for image_id in waiting if before[image_id].shows_boxes), *chosen]
    kinds = {
        **{image_id: before[image_id] for image_id in waiting},
        **dict.fromkeys(audits, TaskKind.AUDIT),
        **candidates.verification.kinds(candidates.pool, candidates.worth, shown),
        **dict.fromkeys(_draw_blind(candidates.pool, chosen, whole_images(blind)), TaskKind.BLIND),
    }
    queue = queue_table(candidates.pool, candidates.worth, kinds, candidates.context)
    return Plan(queue, Owed(_left(blind), _left(audit)))


def _left(images: float) -> float:
    return max(0.0, images - whole_images(images))


def _draw_audits(pool: Pool, seen: set[str], most: int) -> list[str]:
    """Some of the images that would be pseudo-labelled, at random; people draw them without seeing the boxes.

    Those of classes that failed their audits are among them: what people find there can bring a class back.
    """
    sure = sorted(set(pool.selection.filter(AUDITED)["image_id"].to_pylist()) - seen)
    count = min(len(sure), most)
    drawn = numpy_generator(pool.seed, "audit", pool.cycle).choice(len(sure), count, replace=False)
    return [sure[index] for index in sorted(drawn.tolist())]


def _draw_blind(pool: Pool, chosen: Sequence[str], count: int) -> list[str]:
    """Some of the chosen images, at random, so that they are like those that are shown with boxes."""
    drawn = numpy_generator(pool.seed, "blind", pool.cycle).choice(len(chosen), min(count, len(chosen)), replace=False)
    return [chosen[index] for index in drawn.tolist()]
