"""The fate of every proposal of the pool, some images at a time: memory does not grow with the pool."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artefacts import Certificate
from pipeline.folder import Folder
from pipeline.in_order import in_order
from pipeline.mining.consistency import SUMMED, gather_evidence
from pipeline.mining.tables import read_mined
from pipeline.records import SELECTION_SCHEMA
from pipeline.selection.calibration import CalibratedModel
from pipeline.selection.class_affinity import MEMBER
from pipeline.selection.fates import decide
from pipeline.settings import SelectionSettings

_THREADS = 2
"""Stretches of the pool that are decided at once, beside reading and writing: what takes longest needs no lock."""


@dataclass(frozen=True)
class Criteria:
    """By what the fate of a proposal is decided.

    Attributes:
        model: Gives p(correct), and moves boxes to where they truly lie.
        certificates: By class name; a class without an entry has none.
        settings: From which p(correct) on a proposal is kept.
        withdrawn: Classes that failed their audits.
        images: Images of the pool in the order of `image_id`: columns `image_id`, `width`, `height`, and `MEMBER`, the
            number of the detector that mined each.
    """

    model: CalibratedModel
    certificates: Mapping[str, Certificate]
    settings: SelectionSettings
    withdrawn: Collection[str]
    images: pa.Table

    def decide(self, proposals: pa.Table, checks: pa.Table) -> pa.Table:
        """Give each proposal its fate.

        Args:
            proposals: Columns of `PROPOSAL_SCHEMA`.
            checks: Columns `SUMMED`, of these proposals.

        Returns:
            Columns of `SELECTION_SCHEMA`, in order.
        """
        images = self._images_of(proposals)
        row = pc.index_in(proposals["image_id"], value_set=images["image_id"].combine_chunks())
        evidence = gather_evidence(proposals, checks).append_column(MEMBER, images[MEMBER].take(row))
        p_correct = self.model.cascade.predict(evidence)
        corrected = self.model.bias.correct(evidence, images)
        return decide(corrected, p_correct, self.certificates, self.settings, self.withdrawn)

    def _images_of(self, proposals: pa.Table) -> pa.Table:
        """The stretch of the images in which those of the proposals lie: what was mined together are neighbours."""
        ends = pc.min_max(proposals["image_id"]).as_py()
        if not len(proposals):
            return self.images.slice(0, 0)
        ids = self.images["image_id"]
        first, last = bisect_left(ids, ends["min"], key=str), bisect_right(ids, ends["max"], key=str)
        return self.images.slice(first, last - first)


def decide_pool(folder: Folder, name: str, criteria: Criteria) -> None:
    """Write the fate of every proposal that was mined.

    Args:
        folder: Of a cycle that was mined.
        name: Of the table that gets columns of `SELECTION_SCHEMA`, in the order of the proposals.
        criteria: By what is decided.
    """
    mined = read_mined(folder, check_columns=SUMMED)
    with folder.create_table(name, SELECTION_SCHEMA) as add:
        for decided in in_order(lambda pair: criteria.decide(*pair), mined, _THREADS, ahead=2 * _THREADS):
            add(decided)
