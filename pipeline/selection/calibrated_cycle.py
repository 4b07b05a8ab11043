"""What a cycle finds in held-back images becomes what it believes of the pool."""

from __future__ import annotations

from pipeline.cycle import Cycle
from pipeline.mining.miner import Mined
from pipeline.selection.calibration import CalibratedModel, calibrate
from pipeline.selection.cascade import Cascade
from pipeline.selection.commit import HELD_BACK_SELECTION
from pipeline.selection.cross_fitting import Folds, held_back_images
from pipeline.selection.fates import decide
from pipeline.selection.held_back import hold_back

HELD_BACK = "held_back_"
"""Before the names of the tables of held-back images."""


def calibrate_cycle(cycle: Cycle, model_id: str, folds: Folds) -> Cascade:
    """Calibrate on what was found in held-back images, and write down what can be promised.

    Args:
        cycle: Its held-back images were mined.
        model_id: The champion, beside whose weights the calibration is kept.
        folds: Who mined which image.

    Returns:
        What tells which boxes of the pool are checked.
    """
    settings, held_back = cycle.settings, held_back_images(cycle.store, cycle.settings.selection)
    mined = Mined(*(cycle.folder.read_table(f"{HELD_BACK}{name}.parquet") for name in ("proposals", "checks")))
    known = hold_back(mined, held_back, settings, folds=folds)
    calibrated = calibrate(known, settings, model_id)
    cycle.workspace.models.folder(model_id).write_record(CalibratedModel.FILE, calibrated.model)
    cycle.write(calibrated.calibration)
    cycle.write(calibrated.certificates)
    if folds.count > 1:
        fates = decide(known.corrected, calibrated.p_correct, calibrated.certificates.classes, settings.selection)
        cycle.folder.write_table(HELD_BACK_SELECTION, fates)
    return calibrated.model.cascade
