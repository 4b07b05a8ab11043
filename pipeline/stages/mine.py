"""Mining the pool with the champion, in parts, and the held-back images that calibrate it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.detector.checkpoint import champion_id, load_model
from pipeline.detector.predict import Predictor
from pipeline.detector.stream import Fault
from pipeline.errors import ArtefactError
from pipeline.mining.hosts import Hosts, load_hosts
from pipeline.mining.mine import Mined, Miner
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, ImageRef, Split, State, refs_from_table
from pipeline.seeds import derive_seed
from pipeline.settings.detector import Precision
from pipeline.stages.calibration import calibrate
from pipeline.stages.cycle import Cycle, Progress, silent
from pipeline.stages.finetune import labeled_samples
from pipeline.workspace import Folder

MINED_STATES = (State.POOL, State.PSEUDO, State.QUEUED)
"""Images that are mined afresh every cycle; what people answered or declined stays."""
PARTS, HELD_BACK = "parts", "held_back_"
SCHEMAS = {"proposals": PROPOSAL_SCHEMA, "checks": CHECK_SCHEMA}


def mine(cycle: Cycle, progress: Progress = silent) -> dict[str, Any]:
    """Propose and check: on held-back images everything, on the pool what can change what becomes of a box.

    The held-back images come first: what is found in them tells how p(correct) is read off the evidence, and which
    boxes of the pool are worth checking.

    Args:
        cycle: The cycle.
        progress: Told after every part.

    Returns:
        `mining.json`: the model, what it cost, and pictures that could not be read. The tables go to
        `proposals.parquet` and `checks.parquet`, those of held-back images to `held_back_proposals.parquet` and
        `held_back_checks.parquet`.

    Raises:
        ArtefactError: There is no champion.
        DataError: There is no labelled image to paste into.
    """
    made = cycle.once("mining", lambda: _mine(cycle, progress))
    cycle.folder.remove(PARTS)
    return made


def _mine(cycle: Cycle, progress: Progress) -> dict[str, Any]:
    model_id = champion_id(cycle.workspace.models)
    if model_id is None:
        raise ArtefactError("Expected a champion to mine with, found none. Run `crosscheck finetune` first.")
    host_faults: list[Fault] = []
    miner = _miner(cycle, model_id, host_faults)
    pool = refs_from_table(cycle.store.table(columns=ImageRef._fields, states=MINED_STATES, splits=[Split.POOL]))
    held_back = [sample.ref for sample in labeled_samples(cycle.store, Split.VAL)]
    parts = cycle.folder.folder(PARTS)
    of_held_back = _mine_in_parts(cycle, miner.mine, held_back, parts, HELD_BACK, progress)
    ladder = calibrate(cycle, model_id)
    # The published rule asks of every box how often it was found again, sure or not.
    gate = None if cycle.settings.selection.query.strategy == "ssm" else ladder
    of_pool = _mine_in_parts(cycle, partial(miner.mine, gate=gate), pool, parts, "", progress)
    faults = [[ref.image_id, ref.uri, reason] for ref, reason in host_faults]
    return {
        "model_id": model_id,
        "images": len(pool),
        "held_back_images": len(held_back),
        "faults": faults + of_pool.pop("faults") + of_held_back.pop("faults"),
        **of_pool,
        "held_back": of_held_back,
    }


def mining_predictor(cycle: Cycle, model_id: str, precision: Precision | None = None) -> Predictor:
    """A detector as mining applies it.

    Args:
        cycle: Its settings and models.
        model_id: Which.
        precision: In place of the settings' own.
    """
    settings = cycle.settings
    return Predictor(
        load_model(cycle.workspace.models, model_id),
        precision or settings.mining.precision,
        settings.training.accelerator,
        settings.mining.batch_size,
    )


def mining_hosts(cycle: Cycle, seed: int, faults: list[Fault]) -> Hosts:
    """The labelled training images, to paste into.

    Args:
        cycle: Its settings and sample table.
        seed: Draws hosts where there are too many.
        faults: Pictures that cannot be read are put here.
    """
    settings = cycle.settings
    return load_hosts(
        labeled_samples(cycle.store, Split.TRAIN),
        settings.data.labels,
        image_size_px=settings.detector.image_size_px,
        max_pixels=settings.data.max_image_pixels,
        settings=settings.mining,
        seed=seed,
        faults=faults,
    )


def _miner(cycle: Cycle, model_id: str, faults: list[Fault]) -> Miner:
    seed = derive_seed(cycle.settings.seed, "mine", cycle.number)
    return Miner(
        mining_predictor(cycle, model_id),
        mining_hosts(cycle, seed, faults),
        model_id=model_id,
        settings=cycle.settings.mining,
        max_pixels=cycle.settings.data.max_image_pixels,
        seed=seed,
    )


def _mine_in_parts(
    cycle: Cycle,
    run: Callable[[list[ImageRef]], Mined],
    refs: list[ImageRef],
    parts: Folder,
    prefix: str,
    progress: Progress,
) -> dict[str, Any]:
    """Mine part by part; finished parts are kept when a run is killed. Memory holds one part."""
    size = cycle.settings.mining.chunk_images
    names = [f"{prefix}{start:09d}" for start in range(0, len(refs), size)]
    for number, name in enumerate(names):
        if not parts.exists(f"{name}.json"):
            _write_part(parts, name, run(refs[number * size : (number + 1) * size]))
        progress("mining", min((number + 1) * size, len(refs)), len(refs))
    for table, schema in SCHEMAS.items():
        _join_parts(
            cycle.folder, f"{prefix}{table}.parquet", parts, [f"{name}.{table}.parquet" for name in names], schema
        )
    return _add_up([parts.read_json(f"{name}.json") for name in names])


def _write_part(parts: Folder, name: str, mined: Mined) -> None:
    parts.write_table(f"{name}.proposals.parquet", mined.proposals)
    parts.write_table(f"{name}.checks.parquet", mined.checks)
    faults = [[ref.image_id, ref.uri, reason] for ref, reason in mined.faults]
    told = {"proposals": len(mined.proposals), **asdict(mined.cost), "step_seconds": mined.seconds, "faults": faults}
    parts.write_json(f"{name}.json", told)


def _join_parts(folder: Folder, name: str, parts: Folder, sources: list[str], schema: pa.Schema) -> None:
    with folder.create(name) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for source in sources:
            writer.write_table(parts.read_table(source))


def _add_up(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over parts."""
    steps = sorted({step for one in told for step in one["step_seconds"]})
    return {
        **{key: sum(one[key] for one in told) for key in ("proposals", "cuts", "pastes", "canvases", "passes")},
        "step_seconds": {step: sum(one["step_seconds"].get(step, 0.0) for one in told) for step in steps},
        "faults": [fault for one in told for fault in one["faults"]],
    }
