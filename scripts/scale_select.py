"""What deciding over a large pool costs: CPU seconds and peak memory of `select`, each half in a process of its own.

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
from collections.abc import Callable
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
from pipeline.records import Split
from pipeline.settings import load_settings
from pipeline.stages import select as stage

Numbers = NDArray[np.int64]
DEMO = Path(__file__).parents[1] / "configs" / "demo.yaml"
IMAGES_A_COMMIT = 250_000
COLUMNS = 20
"""Letters of an image's id in the ids of its proposals."""


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
    """Repeat the pool, its proposals and their checks."""
    pool = cycle.store.table(splits=[Split.POOL])
    proposals = cycle.folder.read_table("proposals.parquet")
    checks = cycle.folder.read_table("checks.parquet")
    ids = {image_id: number for number, image_id in enumerate(pool["image_id"].to_pylist())}
    copies = sorted(
        (hashlib.sha256(f"{image_id} {copy}".encode()).hexdigest(), number)
        for copy in range(-(-images // len(pool)))
        for image_id, number in ids.items()
    )[:images]
    new, of = pa.array([copy for copy, _ in copies]), np.array([number for _, number in copies])
    rows = pool.take(of)
    for column in ("image_id", "group_id", "fingerprint"):
        rows = rows.set_column(rows.column_names.index(column), column, new)
    for start in range(0, images, IMAGES_A_COMMIT):
        cycle.store.commit(rows.slice(start, IMAGES_A_COMMIT), reason="enlarge", key=f"enlarge {start}")
    image = np.array([ids[image_id] for image_id in proposals["image_id"].to_pylist()])
    taken, copy = _repeated(image, of)
    many = proposals.take(taken)
    owner = new.take(pa.array(copy))
    rank = pc.utf8_slice_codeunits(many["proposal_id"].combine_chunks(), COLUMNS)
    named = pc.binary_join_element_wise(pc.utf8_slice_codeunits(owner, 0, COLUMNS), rank, "")
    many = many.set_column(many.column_names.index("image_id"), "image_id", owner)
    cycle.folder.write_table("proposals.parquet", many.set_column(0, many.column_names[0], named))
    at = {proposal: number for number, proposal in enumerate(proposals["proposal_id"].to_pylist())}
    checked = image[[at[proposal] for proposal in checks["proposal_id"].to_pylist()]]
    taken, copy = _repeated(checked, of)
    many = checks.take(taken)
    for column in ("proposal_id", "shown_id"):
        rank = pc.utf8_slice_codeunits(many[column].combine_chunks(), COLUMNS)
        prefix = pc.utf8_slice_codeunits(new.take(pa.array(copy)), 0, COLUMNS)
        named = pc.binary_join_element_wise(prefix, rank, "")
        many = many.set_column(many.column_names.index(column), column, named)
    cycle.folder.write_table("checks.parquet", many)


def _repeated(image: Numbers, of: Numbers) -> tuple[Numbers, Numbers]:
    """Rows of a table in which image `n` has rows `image == n`, for each copy: which row, and of which copy."""
    rows = [np.flatnonzero(image == number) for number in range(of.max() + 1)]
    taken = np.concatenate([rows[number] for number in of])
    return taken, np.repeat(np.arange(len(of)), [len(rows[number]) for number in of])


def prepare(scratch: Path, images: int) -> None:
    """A cycle with so many images that waits for `select`."""
    cycle = mined(scratch)
    enlarge(cycle, images)
    rows = len(cycle.folder.read_table("proposals.parquet", ["image_id"]))
    print(f"| {images:,} images, {rows:,} proposals | CPU s | peak MB |\n|---|---|---|", flush=True)


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
    began = time.process_time()
    run()
    spent, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {what} | {spent:.1f} | {peak:.0f} |", flush=True)


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
