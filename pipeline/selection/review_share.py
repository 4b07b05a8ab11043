"""How much of what people are asked is review of labels that are there."""

from __future__ import annotations

import math

from pipeline.settings import QuerySettings, SelectionSettings


def review_images(query: QuerySettings, cycle: int) -> int:
    """How many images a cycle sends to review; fractions of an image are carried over.

    Args:
        query: The budget and the share.
        cycle: Its number.
    """
    per_cycle = query.images * query.review_share
    return whole_images(per_cycle * (cycle + 1)) - whole_images(per_cycle * cycle)


def without_reviews(selection: SelectionSettings, cycle: int) -> SelectionSettings:
    """The settings with the budget that reviews leave for new images."""
    left = selection.query.images - review_images(selection.query, cycle)
    return selection.model_copy(update={"query": selection.query.model_copy(update={"images": left})})


def whole_images(images: float) -> int:
    """Round a share of images down to whole ones; ten times a tenth is one."""
    return math.floor(images + 1e-6)
