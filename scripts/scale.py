"""What steps cost on a synthetic pool: CPU seconds and peak memory, each in a process of its own.

python scripts/scale.py --images 100000
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
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.blame import blame
from pipeline.dataset.diff import diff_versions
from pipeline.dataset.store import SampleStore
from pipeline.mining.parts import known_before
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, SAMPLE_SCHEMA, ImageRef
from pipeline.selection.calibrator import Calibrator
from pipeline.selection.diversity import diverse
from pipeline.workspace import Folder

BOXES, PART, EMBEDDING = 5, 128, 64
LABELS = np.array(["bolt", "nut", "gear"])


def ids_of(images: int) -> list[str]:
    """Ids as images have them, ascending."""
    return sorted(hashlib.sha256(str(number).encode()).hexdigest() for number in range(images))


def proposals_of(ids: list[str]) -> pa.Table:
    """Five proposals per image with random evidence."""
    count, random = len(ids) * BOXES, np.random.default_rng(0)
    values: dict[str, pa.Array] = {}
    for column in PROPOSAL_SCHEMA:
        if pa.types.is_float32(column.type):
            values[column.name] = pa.array(random.random(count, dtype=np.float32))
        elif pa.types.is_list(column.type):
            flat = pa.array(random.random(count * EMBEDDING, dtype=np.float32))
            values[column.name] = pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * EMBEDDING, flat)
    values["proposal_id"] = pa.array([f"{image_id[:20]}.{rank:03d}" for image_id in ids for rank in range(BOXES)])
    values["image_id"] = pa.array(np.repeat(ids, BOXES))
    values["label"] = pa.array(LABELS[random.integers(0, 3, count)])
    values["model_id"] = pa.array(["m"] * count)
    return pa.table([values[column.name] for column in PROPOSAL_SCHEMA], schema=PROPOSAL_SCHEMA)


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


def samples_of(ids: list[str]) -> pa.Table:
    """Pseudo-labelled images of the pool."""
    count, random = len(ids) * BOXES, np.random.default_rng(0)
    left = random.random((count, 2), dtype=np.float32) * 200
    right = left + 20 + random.random((count, 2), dtype=np.float32) * 50
    fields = {column.name: pa.nulls(count, column.type) for column in SAMPLE_SCHEMA.field("boxes").type.value_type}
    fields |= {name: pa.array(values) for name, values in zip(("x1", "y1"), left.T.copy(), strict=True)}
    fields |= {name: pa.array(values) for name, values in zip(("x2", "y2"), right.T.copy(), strict=True)}
    fields["box_id"] = pa.array([f"{image_id[:14]}{rank:02d}" for image_id in ids for rank in range(BOXES)])
    fields["label"] = pa.array(LABELS[random.integers(0, 3, count)])
    fields["source"] = pa.array(["pseudo"] * count)
    boxes = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    offsets = np.arange(len(ids) + 1, dtype=np.int32)
    columns = {column.name: pa.nulls(len(ids), column.type) for column in SAMPLE_SCHEMA}
    columns |= {"image_id": pa.array(ids), "uri": pa.array([f"/pool/{image_id}.jpg" for image_id in ids])}
    columns |= {name: pa.array([320] * len(ids), pa.int32()) for name in ("width", "height")}
    columns |= {name: pa.array([value] * len(ids)) for name, value in (("split", "pool"), ("state", "pseudo"))}
    columns |= {name: pa.array(ids) for name in ("group_id", "fingerprint")} | {"note": pa.array([""] * len(ids))}
    columns["boxes"] = pa.ListArray.from_arrays(offsets * BOXES, boxes)
    columns["ignore"] = pa.ListArray.from_arrays(
        offsets * 0, pa.array([], SAMPLE_SCHEMA.field("ignore").type.value_type)
    )
    return pa.table(columns).cast(SAMPLE_SCHEMA)


def two_versions(folder: Folder, ids: list[str]) -> SampleStore:
    """A version of all images and one in which 1,000 changed."""
    store, rows = SampleStore(folder.path("samples")), samples_of(ids)
    store.commit(rows, reason="first", key="0")
    changed = rows.take(np.arange(0, len(rows), max(1, len(rows) // 1000)))
    place = changed.column_names.index("state")
    store.commit(changed.set_column(place, "state", pa.array(["queued"] * len(changed))), reason="second", key="1")
    return store


def known(folder: Folder, ids: list[str]) -> Callable[[], object]:
    """Find last night's proposals and checks of one part of 128 images."""
    night(folder, ids)
    middle = len(ids) // 2
    refs = [ImageRef(image_id, "", 1, 1) for image_id in ids[middle : middle + PART]]
    return lambda: known_before(folder, refs, "")


def p_correct(_: Folder, ids: list[str]) -> Callable[[], object]:
    """Tell p(correct) of every proposal."""
    names = [column.name for column in PROPOSAL_SCHEMA if pa.types.is_float32(column.type)]
    knots = ((0.25, 0.5, 0.75),) * len(names)
    calibrator = Calibrator(tuple(names), knots, (0.1,) * (4 * len(names)), 0.0, {}, 9, "m")
    evidence = proposals_of(ids).drop_columns(["embedding"])
    return lambda: calibrator.predict(evidence)


def choose(_: Folder, ids: list[str]) -> Callable[[], object]:
    """Choose 3 % of the images, unlike each other, from a shortlist five times as long."""
    random, budget = np.random.default_rng(0), max(1, len(ids) * 3 // 100)
    embeddings, values = random.random((5 * budget, EMBEDDING)), random.random(5 * budget)
    return lambda: diverse(embeddings, values, budget, 0)


def blame_image(folder: Folder, ids: list[str]) -> Callable[[], object]:
    """Tell the story of one image."""
    store = two_versions(folder, ids)
    return lambda: blame(store, ids[len(ids) // 2])


def diff(folder: Folder, ids: list[str]) -> Callable[[], object]:
    """Compare two neighbouring versions."""
    store = two_versions(folder, ids)
    return lambda: diff_versions(store.table(0), store.table(1))


STEPS = {"known": known, "p_correct": p_correct, "choose": choose, "blame": blame_image, "diff": diff}


def measured(step: str, images: int) -> Iterator[str]:
    """Prepare, then measure one step."""
    with tempfile.TemporaryDirectory() as scratch:
        run = STEPS[step](Folder(Path(scratch)), ids_of(images))
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        run()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield f"{step}: {time.process_time() - began:.2f} CPU s, {(after - before) / 1024:.0f} MB above the preparation"


def main() -> None:
    """Run every step, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--step", choices=sorted(STEPS))
    given = parser.parse_args()
    if given.step:
        for line in measured(given.step, given.images):
            print(line)
        return
    for step in STEPS:
        subprocess.run([sys.executable, __file__, "--images", str(given.images), "--step", step], check=True)


if __name__ == "__main__":
    main()
