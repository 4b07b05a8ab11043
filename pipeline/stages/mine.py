"""Mining the pool with the champion, and the held-back images that calibrate it."""

from __future__ import annotations

from dataclasses import replace

from pipeline.artefacts import MiningRun, UnreadableImage
from pipeline.cycle import Cycle
from pipeline.dataset.images import unchanged_images
from pipeline.detector.models.champion import champion_of
from pipeline.errors import ArtefactError
from pipeline.mining.checker import CheckEverything
from pipeline.mining.parts import PartedMining
from pipeline.mining.preparation import prepare_miner
from pipeline.progress import Progress, silent
from pipeline.records import ImageRef, Split, refs_from_table
from pipeline.selection.calibration import CalibratedModel, calibrate
from pipeline.selection.held_back import hold_back
from pipeline.workspace import Folder

PARTS, HELD_BACK = "parts", "held_back_"


def mine(cycle: Cycle, progress: Progress = silent) -> MiningRun:
    """Propose and check: on held-back images everything, on the pool every box that is not dropped.

    The held-back images come first: what is found in them tells how p(correct) is read off the evidence, and which
    boxes of the pool are worth checking. The tables go to `proposals.parquet` and `checks.parquet`, those of held-back
    images to files with the prefix `held_back_`.

    Args:
        cycle: The cycle.
        progress: Called after every part.

    Raises:
        ArtefactError: There is no champion.
        DataError: There is no labelled image to paste into.
    """
    made = cycle.once(MiningRun, lambda: _mine(cycle, progress))
    cycle.folder.remove(PARTS)
    return made


def _mine(cycle: Cycle, progress: Progress) -> MiningRun:
    settings, model_id = cycle.settings, champion_of(cycle.workspace)
    if model_id is None:
        raise ArtefactError("Expected a champion to mine with, found none. Run `crosscheck finetune` first.")
    pool = refs_from_table(cycle.store.pool(ImageRef._fields))
    held_back = cycle.store.labeled(Split.VAL)
    miner = prepare_miner(cycle, model_id, len(pool))
    mining = PartedMining(
        miner,
        cycle.folder,
        cycle.folder.folder(PARTS),
        settings.mining.chunk_images,
        _same_before(cycle, model_id),
        unchanged_images,
    )
    of_held_back = mining.run([sample.ref for sample in held_back], HELD_BACK, CheckEverything(), progress)
    proposals, checks = (cycle.folder.read_table(f"{HELD_BACK}{name}.parquet") for name in ("proposals", "checks"))
    calibrated = calibrate(hold_back(proposals, checks, held_back, settings), settings, model_id)
    cycle.workspace.models.folder(model_id).write_record(CalibratedModel.FILE, calibrated.model)
    cycle.write(calibrated.calibration)
    cycle.write(calibrated.certificates)
    # The published rule asks of every box how often it was found again, sure or not.
    everything = settings.selection.query.strategy == "ssm"
    policy = replace(calibrated.model.cascade, drop_below=0.0) if everything else calibrated.model.cascade
    of_pool = mining.run(pool, "", policy, progress)
    hosts = (UnreadableImage(fault.ref.image_id, fault.ref.uri, fault.reason) for fault in miner.hosts.faults)
    return MiningRun(
        model_id=model_id,
        images=len(pool),
        held_back_images=len(held_back),
        cost=of_pool.cost,
        held_back_cost=of_held_back.cost,
        faults=(*hosts, *of_pool.faults, *of_held_back.faults),
    )


def _same_before(cycle: Cycle, model_id: str) -> Folder | None:
    """Tables of the cycle before, where it mined with the same model in the same way."""
    before = cycle.before()
    if before is None:
        return None
    same = before.settings.mining == cycle.settings.mining and before.settings.data.labels == cycle.settings.data.labels
    run = before.find(MiningRun)
    return before.folder if same and run is not None and run.model_id == model_id else None
