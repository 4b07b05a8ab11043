"""What people were asked to review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class ReviewsAsked:
    """Every image that was ever sent to review.

    Attributes:
        versions: By `image_id`, the dataset version whose labels people were shown.
    """

    FILE: ClassVar[str] = "reviews_asked.json"
    MADE_BY: ClassVar[str] = "crosscheck review push"

    versions: Mapping[str, int] = field(default_factory=dict)
