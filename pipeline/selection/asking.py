"""How people are asked about an image: to verify the machine's boxes one after another, or to correct them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from pipeline.artefacts import CycleHarvest
from pipeline.records import TaskKind
from pipeline.selection.pool import Pool
from pipeline.selection.query import Worth
from pipeline.selection.showing import ACCEPTED_BEFORE
from pipeline.settings import LabelingSettings

MISSED_BELOW = 0.5
"""An image that is verified is expected to miss fewer objects: whoever has to draw some corrects the others on the way,
and what is not drawn stays open."""


@dataclass(frozen=True)
class Verification:
    """When the boxes of an image are verified: if p(accepted) exceeds the seconds to verify over those to draw.

    That is the rule of Konyushkova et al., "Learning Intelligent Dialogs for Bounding Box Annotation" (CVPR 2018), for
    whole images: p(accepted) is the share of the objects to answer, shown boxes and those expected to be missed, that
    one key settles. Theirs speaks of one box at a time.

    Attributes:
        least: p(accepted) from which an image is verified; None: never.
        unchanged: Share of the right boxes seen so far that people left as they were.
    """

    least: float | None = None
    unchanged: float = 1.0

    def kinds(self, pool: Pool, worth: Worth, image_ids: Collection[str]) -> dict[str, TaskKind]:
        """Choose for images that are shown with their boxes.

        Args:
            pool: Holds at least these images.
            worth: Of each image of the pool.
            image_ids: The images.
        """
        right, boxes = pool.by_image(pool.column("p_correct"), pool.shown)
        settled = self.unchanged * right / np.maximum(boxes + worth.misses, 1.0)
        least = np.inf if self.least is None else self.least
        fit = (boxes > 0) & (worth.misses < MISSED_BELOW) & (settled > least)
        verified = {image_id for image_id, is_fit in zip(pool.image_ids, fit.tolist(), strict=True) if is_fit}
        return {image_id: TaskKind.VERIFY if image_id in verified else TaskKind.ASK for image_id in image_ids}


def verification(settings: LabelingSettings, harvest: CycleHarvest | None) -> Verification:
    """Read the rule off the settings and what people did so far.

    Args:
        settings: Whether images are verified, and what each action takes.
        harvest: What people did with the machine's boxes; None for nothing.
    """
    if not settings.verification:
        return Verification()
    treated = harvest.acceptance.total if harvest is not None else None
    accepted = ACCEPTED_BEFORE + (treated.accepted if treated else 0)
    corrected = treated.corrected if treated else 0
    return Verification(settings.seconds.verify / settings.seconds.draw, accepted / (accepted + corrected))
