"""From one row per paste to one row of evidence per proposal."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import ArtefactError
from pipeline.mining.tables import AGAIN
from pipeline.records import EVIDENCE_FIELDS

SUMMED = ["proposal_id", "hit", "score", "iou"]
"""The columns of checks that are summed up."""


def gather_evidence(proposals: pa.Table, checks: pa.Table) -> pa.Table:
    """Sum up the pastes of each proposal.

    Args:
        proposals: Columns of `PROPOSAL_SCHEMA`.
        checks: Columns `SUMMED` at least, any order.

    Returns:
        The proposals, in order, with `consistency` (mean score over all pastes, misses counting 0, as the text of
        arXiv 1803.09867 has it; its code averages over hits alone), `hit_fraction`, `mean_iou` over hits,
        `spread` (standard deviation of the scores) and `checks`; null, and 0 checks, where a proposal was not
        pasted.

    Raises:
        ArtefactError: A check is of no proposal.
    """
    ids = proposals["proposal_id"].combine_chunks()
    found = pc.index_in(checks["proposal_id"], value_set=ids)
    if found.null_count:
        stray = checks["proposal_id"].filter(found.is_null())[0]
        raise ArtefactError(f"Expected checks of proposals that are there, got one of {stray}. {AGAIN}")
    row = found.to_numpy()
    hit = checks["hit"].to_numpy(zero_copy_only=False).astype(np.float64)
    score = checks["score"].to_numpy().astype(np.float64)
    iou = checks["iou"].to_numpy().astype(np.float64)

    def total(values: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        return np.bincount(row, weights=values, minlength=len(ids)).astype(np.float64)

    count, hits = total(), total(hit)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total(score) / count
        spread = np.sqrt(np.maximum(total(score**2) / count - mean**2, 0))
        columns = {
            "consistency": mean,
            "hit_fraction": hits / count,
            "mean_iou": np.where(hits > 0, total(iou * hit) / hits, np.where(count > 0, 0.0, np.nan)),
            "spread": spread,
        }
    evidence = {name: pa.array(values, pa.float32(), from_pandas=True) for name, values in columns.items()}
    evidence["checks"] = pa.array(count.astype(np.int32), pa.int32())
    for name, kind in EVIDENCE_FIELDS:
        proposals = proposals.append_column(pa.field(name, kind), evidence[name])
    return proposals
