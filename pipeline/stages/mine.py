"""Mining the pool with the champion, in parts, and the held-back images that calibrate it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.detector.inference.precision import native_precision
from pipeline.detector.inference.predictor import Predictor
from pipeline.detector.inference.stream import Fault
from pipeline.detector.models.registry import champion_id, load_model
from pipeline.errors import ArtefactError
from pipeline.mining.checker import CheckEverything, CheckPolicy
from pipeline.mining.hosts import Hosts, load_hosts
from pipeline.mining.miner import Mined, Miner
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, ImageRef, Split, State, of_images, refs_from_table
from pipeline.seeds import derive_seed
from pipeline.settings import Settings
from pipeline.settings.detector import Precision
from pipeline.stages.calibration import calibrate
from pipeline.stages.cycle import Cycle, Progress, load_cycle, silent
from pipeline.stages.finetune import labeled_samples
from pipeline.workspace import Folder

MINED_STATES = (State.POOL, State.PSEUDO, State.QUEUED)
"""Images that are mined afresh every cycle; what people answered or declined stays."""
PARTS, HELD_BACK = "parts", "held_back_"
COUNTED = ("proposals", "looks", "views", "pastes", "canvases", "passes")
SCHEMAS = {"proposals": PROPOSAL_SCHEMA, "checks": CHECK_SCHEMA}


def mine(cycle: Cycle, progress: Progress = silent) -> dict[str, Any]:
    """Propose and check: on held-back images everything, on the pool what can change what becomes of a box.

    The held-back images come first: what is found in them tells how p(correct) is read off the evidence, and which
    boxes of the pool are worth checking.

    Args:
        cycle: The cycle.
        progress: Told after every part.

    Returns:
        `mining.json`: the model, what it cost, and images that could not be read. The tables go to
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
    pool = refs_from_table(cycle.store.table(columns=ImageRef._fields, states=MINED_STATES, splits=[Split.POOL]))
    held_back = [sample.ref for sample in labeled_samples(cycle.store, Split.VAL)]
    miner = _miner(cycle, model_id, len(pool), host_faults)
    run = _Run(cycle, miner, cycle.folder.folder(PARTS), _same_before(cycle, model_id), progress)
    of_held_back = run.mine(held_back, HELD_BACK, CheckEverything())
    cascade = calibrate(cycle, model_id)
    # The published rule asks of every box how often it was found again, sure or not.
    policy = CheckEverything() if cycle.settings.selection.query.strategy == "ssm" else cascade
    of_pool = run.mine(pool, "", policy)
    faults = [[ref.image_id, ref.uri, reason] for ref, reason in host_faults]
    return {
        "model_id": model_id,
        "images": len(pool),
        "held_back_images": len(held_back),
        "faults": faults + of_pool.pop("faults") + of_held_back.pop("faults"),
        **of_pool,
        "held_back": of_held_back,
    }


def mining_predictor(
    cycle: Cycle, model_id: str, precision: Precision | None = None, compiled: bool = False
) -> Predictor:
    """A detector as mining applies it.

    Args:
        cycle: Its settings and models.
        model_id: Which.
        precision: In place of the settings' own.
        compiled: Whether the detector is compiled first.
    """
    settings, detector = cycle.settings, load_model(cycle.workspace.models, model_id)
    return Predictor(
        detector,
        precision or _precision(settings),
        settings.training.accelerator,
        settings.mining.batch_size,
        compiled=compiled,
    )


def _precision(settings: Settings) -> Precision:
    wanted = settings.mining.precision
    return native_precision(settings.training.accelerator) if wanted == "auto" else wanted


def mining_hosts(cycle: Cycle, seed: int, faults: list[Fault]) -> Hosts:
    """The labelled training images, to paste into.

    Args:
        cycle: Its settings and sample table.
        seed: Draws hosts where there are too many.
        faults: Images that cannot be read are put here.
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


def _miner(cycle: Cycle, model_id: str, images: int, faults: list[Fault]) -> Miner:
    seed, least = derive_seed(cycle.settings.seed, "mine", cycle.number), cycle.settings.mining.compile_images
    return Miner(
        mining_predictor(cycle, model_id, compiled=least is not None and images >= least),
        mining_hosts(cycle, seed, faults),
        model_id=model_id,
        settings=cycle.settings.mining,
        max_pixels=cycle.settings.data.max_image_pixels,
        seed=seed,
    )


def _same_before(cycle: Cycle, model_id: str) -> Folder | None:
    """Artefacts of the cycle before, where it mined with the same model in the same way."""
    if cycle.number == 0:
        return None
    before = load_cycle(cycle.workspace.uri, cycle.number - 1)
    same = before.settings.mining == cycle.settings.mining and before.settings.data.labels == cycle.settings.data.labels
    mined = before.folder.exists("mining.json") and before.artefact("mining")["model_id"] == model_id
    return before.folder if same and mined else None


@dataclass(frozen=True)
class _Run:
    """Mines part by part; finished parts are kept when a run is killed, and memory holds one part.

    Attributes:
        cycle: The cycle.
        miner: Mines a part.
        parts: Where finished parts lie.
        before: What the same model found in the cycle before; None where it was another.
        progress: Told after every part.
    """

    cycle: Cycle
    miner: Miner
    parts: Folder
    before: Folder | None
    progress: Progress

    def mine(self, refs: list[ImageRef], prefix: str, policy: CheckPolicy) -> dict[str, Any]:
        """Mine images; the tables go to the cycle's folder, their names after a prefix."""
        size = self.cycle.settings.mining.chunk_images
        names = [f"{prefix}{start:09d}" for start in range(0, len(refs), size)]
        for number, name in enumerate(names):
            if not self.parts.exists(f"{name}.json"):
                part = refs[number * size : (number + 1) * size]
                _write_part(self.parts, name, self.miner.mine(part, policy, self._known(part, prefix)))
            self.progress("mining", min((number + 1) * size, len(refs)), len(refs))
        for table, schema in SCHEMAS.items():
            sources = [f"{name}.{table}.parquet" for name in names]
            _join_parts(self.cycle.folder, f"{prefix}{table}.parquet", self.parts, sources, schema)
        return _add_up([self.parts.read_json(f"{name}.json") for name in names])

    def _known(self, refs: list[ImageRef], prefix: str) -> Mined | None:
        """What was found in these images before."""
        if self.before is None:
            return None
        rows = of_images(ref.image_id for ref in refs)
        proposals = self.before.read_table(f"{prefix}proposals.parquet", None, rows)
        if proposals.schema.names != PROPOSAL_SCHEMA.names:
            return None  # an older version wrote them, with less evidence
        of_proposals = pc.field("proposal_id").isin(proposals["proposal_id"].combine_chunks())
        return Mined(proposals, self.before.read_table(f"{prefix}checks.parquet", None, of_proposals))


def _write_part(parts: Folder, name: str, mined: Mined) -> None:
    parts.write_table(f"{name}.proposals.parquet", mined.proposals)
    parts.write_table(f"{name}.checks.parquet", mined.checks)
    faults = [[ref.image_id, ref.uri, reason] for ref, reason in mined.faults]
    cost = asdict(mined.cost)
    told = {"proposals": len(mined.proposals), "step_seconds": cost.pop("seconds"), **cost, "faults": faults}
    parts.write_json(f"{name}.json", told)


def _join_parts(folder: Folder, name: str, parts: Folder, sources: list[str], schema: pa.Schema) -> None:
    with folder.create(name) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for source in sources:
            writer.write_table(parts.read_table(source))


def _add_up(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over parts."""
    steps = sorted({step for one in told for step in one["step_seconds"]})
    return {
        **{
            key: sum(one[key] for one in told)
            for key in ("proposals", "looks", "views", "pastes", "canvases", "passes")
        },
        "step_seconds": {step: sum(one["step_seconds"].get(step, 0.0) for one in told) for step in steps},
        "faults": [fault for one in told for fault in one["faults"]],
    }
