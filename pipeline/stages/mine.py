"""Mining the pool with the champion or its committee, and the held-back images that calibrate it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pyarrow as pa

from pipeline.artefacts import MiningRun, UnreadableImage
from pipeline.cycle import Cycle, load_cycle
from pipeline.dataset.images import unchanged_images
from pipeline.detector.models.champion import champion_of
from pipeline.errors import ArtefactError
from pipeline.mining.checker import CheckEverything
from pipeline.mining.miner import Miner
from pipeline.mining.parts import PartedMining
from pipeline.mining.preparation import Proposer, miner_of, prepare_miner
from pipeline.mining.runners import side_by_side
from pipeline.progress import Progress, silent
from pipeline.records import ImageRef, Sample, Split, refs_from_table
from pipeline.selection.calibration import CalibratedModel, calibrate
from pipeline.selection.cascade import Cascade
from pipeline.selection.commit import HELD_BACK_SELECTION
from pipeline.selection.cross_fitting import Committee, Folds, held_back_images, judges
from pipeline.selection.fates import decide
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
        ArtefactError: There is no champion, or it has no committee and the settings want one.
        DataError: There is no labelled image to paste into.
    """
    made = cycle.once(MiningRun, lambda: _mine(cycle, progress))
    cycle.folder.remove(PARTS)
    return made


def _mine(cycle: Cycle, progress: Progress) -> MiningRun:
    settings, model_id = cycle.settings, champion_of(cycle.workspace)
    if model_id is None:
        raise ArtefactError("Expected a champion to mine with, found none. Run `crosscheck finetune` first.")
    folds, table, held_back = _folds(cycle, model_id), _pool(cycle), _held_back(cycle)
    mining = _parted(cycle, model_id)
    again = partial(_parted_again, settings.workspace, cycle.number, model_id)
    mining = replace(mining, side_by_side=side_by_side(settings.mining, again))
    everything = CheckEverything()
    refs = [[sample.ref for sample in own] for own in folds.shares(held_back)]
    of_held_back = mining.run([(own, everything) for own in refs], HELD_BACK, progress)
    cascade = _calibrate(cycle, model_id, folds)
    # The published rule asks of every box how often it was found again, sure or not.
    policy = replace(cascade, drop_below=0.0) if settings.selection.query.strategy == "ssm" else cascade
    pool = [(own, policy.of_member(number)) for number, own in enumerate(_shares(table, folds))]
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


def _held_back(cycle: Cycle) -> list[Sample]:
    return held_back_images(cycle.store, cycle.settings.selection)


def _pool(cycle: Cycle) -> pa.Table:
    return cycle.store.pool([*ImageRef._fields, "group_id"])


def _folds(cycle: Cycle, model_id: str) -> Folds:
    committee = judges(cycle.workspace, model_id, cycle.settings.selection)
    return committee.folds if committee else Folds()


def _shares(pool: pa.Table, folds: Folds) -> list[list[ImageRef]]:
    refs, numbers = refs_from_table(pool), folds.of_table(pool)
    return [[ref for ref, fold in zip(refs, numbers, strict=True) if fold == number] for number in range(folds.count)]


def _parted(cycle: Cycle, model_id: str) -> PartedMining:
    committee = judges(cycle.workspace, model_id, cycle.settings.selection)
    images = [len(own) for own in _shares(_pool(cycle), _folds(cycle, model_id))]
    return PartedMining(
        _miners(cycle, model_id, committee, images),
        cycle.folder,
        cycle.folder.folder(PARTS),
        cycle.settings.mining.chunk_images,
        _same_before(cycle, model_id),
        unchanged_images,
    )


def _parted_again(workspace: str, number: int, model_id: str) -> PartedMining:
    """The same in another process, which knows the workspace alone."""
    return _parted(load_cycle(workspace, number), model_id)


def _miners(cycle: Cycle, model_id: str, committee: Committee | None, images: list[int]) -> list[Miner]:
    """Who mines: the champion, or each member of its committee with hosts that it may learn from."""
    if committee is None:
        return [prepare_miner(cycle, model_id, *images)]
    labeled, folder = cycle.store.labeled(Split.TRAIN), cycle.workspace.members
    proposers = (
        Proposer(folder, member.model_id, [s for s in labeled if committee.folds.of_sample(s) != fold], images[fold])
        for fold, member in enumerate(committee.run.members)
    )
    return [miner_of(cycle, proposer, model_id) for proposer in proposers]


def _calibrate(cycle: Cycle, model_id: str, folds: Folds) -> Cascade:
    """Calibrate on what was found in held-back images."""
    settings, held_back = cycle.settings, _held_back(cycle)
    proposals, checks = (cycle.folder.read_table(f"{HELD_BACK}{name}.parquet") for name in ("proposals", "checks"))
    known = hold_back(proposals, checks, held_back, settings, folds=folds)
    calibrated = calibrate(known, settings, model_id)
    cycle.workspace.models.folder(model_id).write_record(CalibratedModel.FILE, calibrated.model)
    cycle.write(calibrated.calibration)
    cycle.write(calibrated.certificates)
    if folds.count > 1:
        fates = decide(known.corrected, calibrated.p_correct, calibrated.certificates.classes, settings.selection)
        cycle.folder.write_table(HELD_BACK_SELECTION, fates)
    return calibrated.model.cascade


def _same_before(cycle: Cycle, model_id: str) -> Folder | None:
    """Tables of the cycle before, where it mined with the same model in the same way."""
    before = cycle.before()
    if before is None:
        return None
    then, now = before.settings, cycle.settings
    same = then.mining == now.mining and then.data.labels == now.data.labels
    by_committee = before.folder.exists(HELD_BACK_SELECTION)
    same = same and by_committee == (now.selection.committee > 1)
    run = before.find(MiningRun)
    return before.folder if same and run is not None and run.model_id == model_id else None
