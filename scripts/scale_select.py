"""What deciding over a large pool costs: seconds, CPU seconds and peak memory of `select`, each half in its process.

A small generated set is mined, and its pool is repeated with other ids until it has so many images.

python scripts/scale_select.py --images 100000
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from numpy.typing import NDArray

from pipeline.artefacts import Decision
from pipeline.cycle import Cycle, load_cycle, open_cycle
from pipeline.dataset.demo import generate_demo
from pipeline.loop import (
    COMMITTEE,
    FINETUNE,
    GATE,
    HARVEST,
    IMPORT,
    MINE,
    Surroundings,
    annotators_from_environment,
    run_steps,
)
from pipeline.mining.tables import SCHEMAS, Pair, write_mined
from pipeline.records import Split
from pipeline.settings import load_settings
from pipeline.stages import select as stage

Numbers = NDArray[np.int64]
DEMO = Path(__file__).parents[1] / "configs" / "demo.yaml"
COMMITTED = 50_000
"""Images that are committed at once."""
LETTERS = 20
"""Of an image's id in the ids of its proposals."""


def mined(scratch: Path) -> Cycle:
    """A cycle of the demo set whose pool waits for `select`, after little training."""
    values = yaml.safe_load(DEMO.read_text().replace("../data/demo", str(scratch / "data")))
    generate_demo(scratch / "data", 0)
    values |= {"workspace": str(scratch / "workspace")}
    values["training"] |= {"steps": 120}
    (scratch / "settings.yaml").write_text(yaml.safe_dump(values))
    cycle = open_cycle(load_settings(scratch / "settings.yaml"), datetime.now(UTC))
    run_steps(cycle, (IMPORT, HARVEST, COMMITTEE, FINETUNE, GATE, MINE), Surroundings(annotators_from_environment))
    return cycle


def enlarge(cycle: Cycle, images: int) -> None:
    """Repeat the pool, its proposals and their checks, some images at a time."""
    pool = cycle.store.table(splits=[Split.POOL])
    number = {image_id: row for row, image_id in enumerate(pool["image_id"].to_pylist())}
    copies = sorted(
        (hashlib.sha256(f"{image_id} {copy}".encode()).hexdigest(), row)
        for copy in range(-(-images // len(pool)))
        for image_id, row in number.items()
    )[:images]
    for start in range(0, images, COMMITTED):
        some = copies[start : start + COMMITTED]
        new, rows = pa.array([copy for copy, _ in some]), pool.take(np.array([row for _, row in some]))
        for column in ("image_id", "group_id", "fingerprint"):
            rows = rows.set_column(rows.column_names.index(column), column, new)
        cycle.store.commit(rows, reason="enlarge", key=f"enlarge {start}")
    write_mined(cycle.folder, "", _parts(cycle, number, copies))


def _parts(cycle: Cycle, number: dict[str, int], copies: list[tuple[str, int]]) -> Iterator[Pair]:
    """What was mined in copies of images, a part at a time."""
    proposals, checks = (cycle.folder.read_table(f"{name}.parquet") for name in SCHEMAS)
    owner = dict(zip(proposals["proposal_id"].to_pylist(), proposals["image_id"].to_pylist(), strict=True))
    of_proposals = np.array([number[image_id] for image_id in proposals["image_id"].to_pylist()])
    of_checks = np.array([number[owner[proposal]] for proposal in checks["proposal_id"].to_pylist()])
    part = cycle.settings.mining.chunk_images
    for start in range(0, len(copies), part):
        new = pa.array([copy for copy, _ in copies[start : start + part]])
        of = np.array([row for _, row in copies[start : start + part]])
        yield _repeated(proposals, of_proposals, of, new), _repeated(checks, of_checks, of, new)


def _repeated(table: pa.Table, image: Numbers, of: Numbers, new: pa.Array) -> pa.Table:
    """Rows of a table for copies of images: row `n` is of `image[n]`, copy `m` of `of[m]`, and named `new[m]`."""
    rows = {number: np.flatnonzero(image == number) for number in np.unique(of)}
    many = table.take(np.concatenate([rows[number] for number in of]))
    owner = new.take(pa.array(np.repeat(np.arange(len(of)), [len(rows[number]) for number in of])))
    for at, column in enumerate(table.column_names):
        if column == "image_id":
            many = many.set_column(at, column, owner)
        if column in ("proposal_id", "shown_id"):
            rank = pc.utf8_slice_codeunits(many[column].combine_chunks(), LETTERS)
            named = pc.binary_join_element_wise(pc.utf8_slice_codeunits(owner, 0, LETTERS), rank, "")
            many = many.set_column(at, column, named)
    return many


def prepare(scratch: Path, images: int) -> None:
    """A cycle with so many images that waits for `select`."""
    cycle = mined(scratch)
    enlarge(cycle, images)
    rows = len(cycle.folder.read_table("proposals.parquet", ["image_id"]))
    print(f"| {images:,} images, {rows:,} proposals | s | CPU s | peak MB |\n|---|---|---|---|", flush=True)


def decide(scratch: Path, _: int) -> None:
    """Decide every proposal's fate, and what people are asked."""
    cycle = load_cycle(str(scratch / "workspace"), 0)
    measured("decide", lambda: cycle.once(Decision, lambda: stage._decide(cycle)))


def commit(scratch: Path, _: int) -> None:
    """Make it a version."""
    cycle = load_cycle(str(scratch / "workspace"), 0)
    measured("commit", lambda: stage.select(cycle))


PARTS = {"prepare": prepare, "decide": decide, "commit": commit}


def measured(what: str, run: Callable[[], object]) -> None:
    """Run and print a row."""
    began, used = time.monotonic(), time.process_time()
    run()
    seconds, spent = time.monotonic() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {what} | {seconds:.1f} | {spent:.1f} | {peak:.0f} |", flush=True)


def main() -> None:
    """Prepare a pool, decide over it, and commit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--part", choices=["prepare", "decide", "commit"], help=argparse.SUPPRESS)
    parser.add_argument("--scratch", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        PARTS[given.part](Path(given.scratch), given.images)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--scratch", scratch, "--images", str(given.images)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
