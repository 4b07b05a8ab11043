"""What detectors found in labelled images that they had not learnt, as the newest mined cycle keeps it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artefacts import MiningRun
from pipeline.cycle import load_cycle
from pipeline.mining.miner import Mined
from pipeline.records import of_images
from pipeline.selection.calibration import calibrate
from pipeline.selection.commit import HELD_BACK_SELECTION
from pipeline.selection.held_back import hold_back
from pipeline.selection.suspects import DETECTION_SCHEMA
from pipeline.workspace import Workspace

_PROPOSALS, _CHECKS = "held_back_proposals.parquet", "held_back_checks.parquet"


def held_back_detections(workspace: Workspace) -> pa.Table:
    """Read them with p(correct) from models that have not seen their image.

    With a committee they are of images of train and val, without one of val alone.

    Args:
        workspace: Of the project.

    Returns:
        Columns of `DETECTION_SCHEMA`; no rows where nothing was mined yet.
    """
    for number in sorted(workspace.cycles(), reverse=True):
        folder = workspace.cycle(number)
        if not folder.exists(MiningRun.FILE):
            continue
        if folder.exists(HELD_BACK_SELECTION):
            return _as_detections(folder.read_table(HELD_BACK_SELECTION))
        if folder.exists(_PROPOSALS):
            return _calibrated(workspace, number)
    return DETECTION_SCHEMA.empty_table()


def _calibrated(workspace: Workspace, number: int) -> pa.Table:
    cycle = load_cycle(workspace.uri, number)
    mined = Mined(*(cycle.folder.read_table(name) for name in (_PROPOSALS, _CHECKS)))
    samples = cycle.store.by_ids(pc.unique(mined.proposals["image_id"]).to_pylist())
    there = mined.proposals.filter(of_images(sample.image_id for sample in samples))
    if not len(there):
        return DETECTION_SCHEMA.empty_table()
    known = hold_back(Mined(there, mined.of(there)), samples, cycle.settings)
    p_correct = calibrate(known, cycle.settings, cycle.read(MiningRun).model_id).p_correct
    return _as_detections(known.corrected.append_column("p_correct", pa.array(p_correct.astype(np.float32))))


def _as_detections(rows: pa.Table) -> pa.Table:
    sources = {"box_id": "proposal_id"}
    columns = [rows[sources.get(name, name)] for name in DETECTION_SCHEMA.names]
    return pa.table(columns, names=DETECTION_SCHEMA.names).cast(DETECTION_SCHEMA)
