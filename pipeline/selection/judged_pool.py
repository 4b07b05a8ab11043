"""Who mines what: the champion, or each member of its committee the images that it has not learnt."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from pipeline.artefacts import MiningRun
from pipeline.cycle import Cycle, load_cycle
from pipeline.dataset.images import unchanged_images
from pipeline.folder import Folder
from pipeline.mining.miner import Miner
from pipeline.mining.parts import PartedMining
from pipeline.mining.preparation import Proposer, miner_of, prepare_miner
from pipeline.records import ImageRef, Split, refs_from_table
from pipeline.selection.class_affinity import MEMBER
from pipeline.selection.commit import HELD_BACK_SELECTION
from pipeline.selection.cross_fitting import Committee, Folds, judges

PARTS = "parts"


def pool_to_mine(cycle: Cycle) -> pa.Table:
    """Images of the pool, with the group that decides on their fold."""
    return cycle.store.pool([*ImageRef._fields, "group_id"])


def images_mined(cycle: Cycle, model_id: str) -> pa.Table:
    """Images of the pool in the order of `image_id`: that, `width`, `height` and `MEMBER`, who mines each."""
    pool = cycle.store.pool(["image_id", "group_id", "width", "height"]).combine_chunks()
    members = pa.array(folds_to_mine(cycle, model_id).of_table(pool), pa.int64())
    return pool.drop_columns(["group_id"]).append_column(MEMBER, members)


def folds_to_mine(cycle: Cycle, model_id: str) -> Folds:
    """Who judges which images: one fold for a model without a committee."""
    committee = judges(cycle.workspace, model_id, cycle.settings.selection)
    return committee.folds if committee else Folds()


def shares_of(pool: pa.Table, folds: Folds) -> list[list[ImageRef]]:
    """Deal images of the pool to those who mine them.

    Args:
        pool: As of `pool_to_mine`.
        folds: As of `folds_to_mine`.

    Returns:
        Images of each fold.
    """
    refs, numbers = refs_from_table(pool), folds.of_table(pool)
    return [[ref for ref, fold in zip(refs, numbers, strict=True) if fold == number] for number in range(folds.count)]


def parted_mining(cycle: Cycle, model_id: str) -> PartedMining:
    """Load the champion, or its committee, and the labelled images that each may paste into.

    Args:
        cycle: The cycle.
        model_id: The champion.

    Raises:
        ArtefactError: It has no committee, or none in pairs, and the settings want one.
        DataError: There is no labelled image to paste into.
    """
    committee = judges(cycle.workspace, model_id, cycle.settings.selection)
    images = [len(own) for own in shares_of(pool_to_mine(cycle), folds_to_mine(cycle, model_id))]
    return PartedMining(
        _miners(cycle, model_id, committee, images),
        cycle.folder,
        cycle.folder.folder(PARTS),
        cycle.settings.mining.chunk_images,
        _same_before(cycle, model_id),
        unchanged_images,
    )


def parted_mining_again(workspace: str, number: int, model_id: str) -> PartedMining:
    """The same in another process, which knows the workspace alone."""
    return parted_mining(load_cycle(workspace, number), model_id)


def _miners(cycle: Cycle, model_id: str, committee: Committee | None, images: list[int]) -> list[Miner]:
    """Who mines: the champion, or each member of its committee with hosts that it may learn from."""
    if committee is None:
        return [prepare_miner(cycle, model_id, *images)]
    labeled, folder, folds = cycle.store.labeled(Split.TRAIN), cycle.workspace.members, committee.folds
    proposers = (
        Proposer(
            folder,
            member.model_id,
            [sample for sample in labeled if folds.of_sample(sample) not in folds.withheld(fold)],
            images[fold],
        )
        for fold, member in enumerate(committee.run.members)
    )
    miners = [miner_of(cycle, proposer, model_id) for proposer in proposers]
    if not cycle.settings.selection.stacking:
        return miners
    return [replace(miner, partner=miners[folds.partner(fold)].predictor) for fold, miner in enumerate(miners)]


def _same_before(cycle: Cycle, model_id: str) -> Folder | None:
    """Tables of the cycle before, where it mined with the same model in the same way."""
    before = cycle.before()
    if before is None:
        return None
    then, now = before.settings, cycle.settings
    same = then.mining == now.mining and then.data.labels == now.data.labels
    by_committee = before.folder.exists(HELD_BACK_SELECTION)
    same = same and by_committee == (now.selection.committee > 1)
    same = same and then.selection.stacking == now.selection.stacking
    run = before.find(MiningRun)
    return before.folder if same and run is not None and run.model_id == model_id else None
