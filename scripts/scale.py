"""What steps cost on a synthetic pool of 5 boxes per image: CPU seconds, peak memory of the process, bytes written.

Each step is measured in a process of its own, which is not the one that prepared it.

python -m scripts.scale --images 100000
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.blame import blame
from pipeline.dataset.diff import diff_stored
from pipeline.dataset.store import SampleStore
from pipeline.folder import Folder
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, ImageRef, State
from scripts.scale_report import cycles, one_more, reported
from scripts.scale_tables import BOXES, EMBEDDING, ids_of, proposals_of, samples_of

Prepare = Callable[[Folder, list[str]], None]
Step = Callable[[Folder, list[str]], Callable[[], object]]
PART, CHANGED = 128, 10_000


def night(folder: Folder, ids: list[str]) -> None:
    """The tables of a night before, part by part as mining writes them."""
    proposals = proposals_of(ids)
    checks = pa.table({"proposal_id": proposals["proposal_id"]})
    for column in list(CHECK_SCHEMA)[1:]:
        checks = checks.append_column(column, pa.nulls(len(checks), column.type))
    for name, table in (("proposals", proposals), ("checks", checks.cast(CHECK_SCHEMA))):
        with (
            folder.create(f"{name}.parquet") as file,
            pq.ParquetWriter(file, table.schema, compression="zstd") as writer,
        ):
            for start in range(0, len(table), PART * BOXES):
                writer.write_table(table.slice(start, PART * BOXES))


def changed_of(rows: pa.Table, images: int, state: State) -> pa.Table:
    """Some of the rows, spread evenly, in another state."""
    changed = rows.take(np.arange(0, len(rows), max(1, len(rows) // images)))
    return changed.set_column(changed.column_names.index("state"), "state", pa.array([state.value] * len(changed)))


def first_rows(folder: Folder, ids: list[str]) -> None:
    """Rows of all images."""
    folder.write_table("rows.parquet", samples_of(ids))


def first_version(folder: Folder, ids: list[str]) -> None:
    """A version of all images, and rows to change it."""
    rows = samples_of(ids)
    store_in(folder).commit(rows, reason="first", key="first")
    folder.write_table("rows.parquet", changed_of(rows, CHANGED, State.QUEUED))


def two_versions(folder: Folder, ids: list[str]) -> None:
    """A version of all images and one in which 10,000 changed."""
    first_version(folder, ids)
    commit(folder, ids)()


def nights(folder: Folder, ids: list[str]) -> None:
    """A version of all images and thirty in each of which 1,000 changed."""
    first_version(folder, ids)
    rows = samples_of(ids)
    for night in range(30):
        changed = changed_of(rows.slice(night), 1000, State.QUEUED)
        store_in(folder).commit(changed, reason="night", key=f"night {night}")


def store_in(folder: Folder) -> SampleStore:
    """The sample table of a step."""
    return SampleStore(folder.path("samples"))


def commit(folder: Folder, _: list[str]) -> Callable[[], object]:
    """Commit the rows that were prepared."""
    rows = folder.read_table("rows.parquet")
    return lambda: store_in(folder).commit(rows, reason="second", key="second")


def diff(folder: Folder, _: list[str]) -> Callable[[], object]:
    """Compare the two newest versions."""
    latest = store_in(folder).version()
    return lambda: diff_stored(store_in(folder), latest - 1, latest)


def pool(folder: Folder, _: list[str]) -> Callable[[], object]:
    """Find the images to mine."""
    return lambda: store_in(folder).pool(ImageRef._fields)


def rows(folder: Folder, _: list[str]) -> Callable[[], object]:
    """Read all rows, piece by piece."""
    return lambda: sum(len(batch) for batch in store_in(folder).stream())


def restored(folder: Folder, _: list[str]) -> Callable[[], object]:
    """Bring back the first version."""
    return lambda: store_in(folder).restore(0, "back")


def blame_image(folder: Folder, ids: list[str]) -> Callable[[], object]:
    """Tell the story of one image."""
    return lambda: blame(store_in(folder), ids[len(ids) // 2])


def known(folder: Folder, ids: list[str]) -> Callable[[], object]:
    """Find last night's proposals and checks of one part of 128 images."""
    from pipeline.mining.parts import known_before

    middle = len(ids) // 2
    refs = [ImageRef(image_id, "", 1, 1) for image_id in ids[middle : middle + PART]]
    return lambda: known_before(folder, refs, "")


def evidence(folder: Folder, ids: list[str]) -> None:
    """Proposals without embeddings."""
    folder.write_table("evidence.parquet", proposals_of(ids).drop_columns(["embedding"]))


def p_correct(folder: Folder, _: list[str]) -> Callable[[], object]:
    """Tell p(correct) of every proposal."""
    from pipeline.selection.calibrator import Calibrator

    names = [column.name for column in PROPOSAL_SCHEMA if pa.types.is_float32(column.type)]
    knots = ((0.25, 0.5, 0.75),) * len(names)
    calibrator = Calibrator(tuple(names), knots, (0.1,) * (4 * len(names)), 0.0, {}, 9, "m")
    proposals = folder.read_table("evidence.parquet")
    return lambda: calibrator.predict(proposals)


def nothing(_: Folder, __: list[str]) -> None:
    """Nothing to prepare."""


def choose(_: Folder, ids: list[str]) -> Callable[[], object]:
    """Choose 3 % of the images, unlike each other, from a shortlist five times as long."""
    from pipeline.selection.diversity import diverse

    random, budget = np.random.default_rng(0), max(1, len(ids) * 3 // 100)
    embeddings, values = random.random((5 * budget, EMBEDDING)), random.random(5 * budget)
    return lambda: diverse(embeddings, values, budget, 0)


def near(_: Folder, ids: list[str]) -> Callable[[], object]:
    """Join near-duplicates among new images."""
    from pipeline.dataset.near_duplicates import join_near, pack_fingerprints

    packed = pack_fingerprints(ids)
    return lambda: join_near(packed, 10, np.arange(len(ids)))


def imported(folder: Folder, ids: list[str]) -> Callable[[], object]:
    """Settle 1,000 new images with those of the table, as an import does after reading them."""
    from pipeline.dataset.formats.entry import ImportResult
    from pipeline.dataset.splits import separate
    from pipeline.records import samples_from_table

    new = ids_of(len(ids) + CHANGED)[:1000]
    samples = tuple(samples_from_table(samples_of([f"{image_id[1:]}0" for image_id in new])))
    return lambda: separate(ImportResult(samples, ()), 10, store_in(folder))


STEPS: dict[str, tuple[Prepare, Step]] = {
    "first commit": (first_rows, commit),
    "commit of 10,000 changed": (first_version, commit),
    "diff of neighbours": (two_versions, diff),
    "pool ids": (two_versions, pool),
    "all rows": (two_versions, rows),
    "blame": (two_versions, blame_image),
    "import of 1,000 new": (two_versions, imported),
    "diff after 30 nights": (nights, diff),
    "pool ids after 30 nights": (nights, pool),
    "all rows after 30 nights": (nights, rows),
    "blame after 30 nights": (nights, blame_image),
    "commit after 30 nights": (nights, commit),
    "restore after 30 nights": (nights, restored),
    "known": (night, known),
    "p_correct": (evidence, p_correct),
    "report of 100 cycles, from nothing": (cycles, reported),
    "report of 100 cycles, nothing new": (cycles, reported),
    "report after one more cycle": (cycles, one_more),
    "choose": (nothing, choose),
    "near-duplicates": (nothing, near),
}
"""Steps of one preparation stand together, those that change what was prepared last."""


def measured(step: str, folder: Folder, ids: list[str]) -> str:
    """Run one step that was prepared."""
    run, before, began = STEPS[step][1](folder, ids), size_of(folder), time.process_time()
    run()
    spent, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"| {step} | {spent:.2f} | {peak:.0f} | {(size_of(folder) - before) / 1e6:.2f} |"


def size_of(folder: Folder) -> int:
    """Bytes in a folder."""
    return sum(path.stat().st_size for path in Path(folder.uri).rglob("*") if path.is_file())


def run_group(steps: Sequence[str], images: int) -> None:
    """Prepare some steps once, and measure each in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        for part, step in [("prepare", steps[0]), *(("measure", step) for step in steps)]:
            given = ["--images", str(images), "--step", step, "--part", part, "--scratch", scratch]
            subprocess.run([sys.executable, "-m", "scripts.scale", *given], check=True)


def main() -> None:
    """Run every step, or some."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--step", choices=list(STEPS), nargs="+", default=list(STEPS))
    parser.add_argument("--part", choices=["prepare", "measure"], help=argparse.SUPPRESS)
    parser.add_argument("--scratch", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        folder, ids, step = Folder(given.scratch), ids_of(given.images), given.step[0]
        print(measured(step, folder, ids), flush=True) if given.part == "measure" else STEPS[step][0](folder, ids)
        return
    print(f"| {given.images:,} images | CPU s | peak MB | MB written |\n|---|---|---|---|", flush=True)
    for _, steps in groupby(given.step, key=lambda step: STEPS[step][0]):
        run_group(list(steps), given.images)


if __name__ == "__main__":
    main()
