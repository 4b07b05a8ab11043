"""Mining the pool with the champion or its committee, and the held-back images that calibrate it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from pipeline.artefacts import MiningRun, UnreadableImage
from pipeline.cycle import Cycle
from pipeline.detector.models.champion import require_champion
from pipeline.mining.checker import CheckEverything
from pipeline.progress import Progress, silent
from pipeline.runners import ALONE, Runner
from pipeline.selection.calibrated_cycle import HELD_BACK, calibrate_cycle
from pipeline.selection.cross_fitting import held_back_images
from pipeline.selection.judged_pool import (
    PARTS,
    folds_to_mine,
    parted_mining,
    parted_mining_again,
    pool_to_mine,
    shares_of,
)


def mine(cycle: Cycle, progress: Progress = silent, runner: Runner = ALONE) -> MiningRun:
    """Propose and check: on held-back images everything, on the pool every box that is not dropped.

    The held-back images come first: what is found in them tells how p(correct) is read off the evidence, and which
    boxes of the pool are worth checking. The tables go to `proposals.parquet` and `checks.parquet`, those of held-back
    images to files with the prefix `held_back_`.

    Args:
        cycle: The cycle.
        progress: Called after every part.
        runner: Who mines.

    Raises:
        ArtefactError: There is no champion, or it has no committee and the settings want one.
        DataError: There is no labelled image to paste into.
    """
    made = cycle.once(MiningRun, lambda: _mine(cycle, progress, runner))
    cycle.folder.remove(PARTS)
    return made


def _mine(cycle: Cycle, progress: Progress, runner: Runner) -> MiningRun:
    settings, model_id = cycle.settings, require_champion(cycle.workspace, "to mine with")
    folds, table = folds_to_mine(cycle, model_id), pool_to_mine(cycle)
    held_back = held_back_images(cycle.store, settings.selection)
    again = partial(parted_mining_again, settings.workspace, cycle.number, model_id)
    mining = replace(parted_mining(cycle, model_id), again=again, runner=runner)
    everything = CheckEverything()
    refs = [[sample.ref for sample in own] for own in folds.shares(held_back)]
    of_held_back = mining.run([(own, everything) for own in refs], HELD_BACK, progress)
    cascade = calibrate_cycle(cycle, model_id, folds)
    # The published rule asks of every box how often it was found again, sure or not.
    policy = replace(cascade, drop_below=0.0) if settings.selection.query.strategy == "ssm" else cascade
    pool = [(own, policy.of_member(number)) for number, own in enumerate(shares_of(table, folds))]
    of_pool = mining.run(pool, "", progress)
    hosts = dict.fromkeys(fault for miner in mining.miners for fault in miner.hosts.faults)
    unread = (UnreadableImage(fault.ref.image_id, fault.ref.uri, fault.reason) for fault in hosts)
    return MiningRun(
        model_id=model_id,
        images=len(table),
        held_back_images=len(held_back),
        cost=of_pool.cost,
        held_back_cost=of_held_back.cost,
        faults=(*unread, *of_pool.faults, *of_held_back.faults),
    )
