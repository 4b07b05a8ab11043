"""What a query strategy may look at: proposals with their evidence, and what is made for it alone when it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.records import numbered
from pipeline.seeds import derive_seed
from pipeline.selection.showing import is_shown

Values = NDArray[np.float64]


class Views(NamedTuple):
    """How stably each of K images is seen when it is mirrored or made smaller.

    Attributes:
        distance: float[K], of the least typical box from an agreement that is neither perfect nor none.
        classes: float[K, C], highest score of each class, mean over the views.
    """

    distance: Values
    classes: Values


@dataclass(frozen=True)
class OnDemand:
    """What costs more than a look at a table.

    Attributes:
        boxes: Columns `image_id`, `label`, `score` and `embedding` of the proposals of some images.
        views: More looks at some images.
        quality: By class name, how well the model does on the labelled images, 0 to 1.
    """

    boxes: Callable[[list[str]], pa.Table]
    views: Callable[[list[str]], Views]
    quality: Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Pool:
    """What a strategy may look at; no truth is in it.

    Attributes:
        selection: Proposals of the pool with evidence and verdict.
        image_ids: Every image that may be asked about, those without proposals too.
        embed: Gives float[k, D] for some of the images; asked only for those that matter.
        seed: The settings' seed.
        cycle: From 0.
        budget: How many images may be asked about.
        shown_from: People see the boxes of a higher p(correct), see `showing.is_shown`; None: no box.
        drawn: By class name, boxes of people per labelled image; every class is there.
        on_demand: What some strategies have made for them.
    """

    selection: pa.Table
    image_ids: list[str]
    embed: Callable[[list[str]], NDArray[np.float64]]
    seed: int
    cycle: int
    budget: int
    shown_from: float | None = 0.0
    drawn: Mapping[str, float] = field(default_factory=dict)
    on_demand: OnDemand | None = None

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """bool[N], which proposals people would see."""
        return is_shown(self.selection, self.shown_from)

    @cached_property
    def image_of(self) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """Which proposals are of one of the images, bool[N], and of which, int[N]."""
        image = numbered(self.selection["image_id"], self.image_ids)
        return image >= 0, image

    def among(self, image_ids: Set[str], budget: int) -> Pool:
        """Some of its images, in order, with another budget."""
        pool = replace(self, image_ids=[each for each in self.image_ids if each in image_ids], budget=budget)
        vars(pool)["shown"] = self.shown  # of the same proposals
        return pool

    @property
    def query_seed(self) -> int:
        """Drives what is drawn at random among the images of this cycle."""
        return derive_seed(self.seed, "query", self.cycle)

    def by_image(self, values: Values, of: NDArray[np.bool_] | None = None) -> tuple[Values, Values]:
        """Sum one number per proposal over each image.

        Args:
            values: float[N].
            of: bool[N], which proposals; all by default.

        Returns:
            float[K] sums and float[K] counts.
        """
        kept, image = self.image_of
        kept = kept if of is None else kept & of
        index = image[kept]
        counts = np.bincount(index, minlength=len(self.image_ids)).astype(np.float64)
        sums = np.bincount(index, weights=values[kept], minlength=len(self.image_ids)).astype(np.float64)
        return sums, counts

    def column(self, name: str) -> Values:
        """A column as float[N], null as 0."""
        return np.asarray(np.nan_to_num(self.selection[name].to_numpy(zero_copy_only=False).astype(np.float64)))
