"""What a pool of a given size needs, from unit costs: the tables of docs/sizing.md.

`python scripts/sizing.py` prints both tables; `--measure` measures here what no benchmark of the documentation states.
"""

from __future__ import annotations

import argparse
import io
import math
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, refs_from_table

POOLS = (100_000, 10_000_000, 1_000_000_000)
TASKS = 1_000
"""What a cycle asks people: as many as `selection.query.images` says, whatever the size of the pool."""
NIGHT_H = 10
PROPOSALS, CHECKS = 29, 58
"""Per image: as on bccd, each pasted twice."""


@dataclass(frozen=True)
class Unit:
    """A unit cost.

    Attributes:
        name: What it is.
        cost: How much.
        unit: Of what.
        source: The command that measured it.
    """

    name: str
    cost: float
    unit: str
    source: str


MINE = Unit("mining an image, one core", 0.085, "s", "`crosscheck bench mining -c configs/bccd.yaml`")
COMMIT = Unit("writing an image into the table", 18, "CPU µs", "`python -m scripts.scale --images 100000`")
STORE = Unit("an image in the table, 5 boxes", 267, "B", "`python -m scripts.scale --images 100000`")
PUSH = Unit("pushing a task with 5 boxes", 2.1, "ms", "`crosscheck bench labeling`")
HARVEST = Unit("harvesting an answer", 3.4, "ms", "`crosscheck bench labeling`")
PROPOSAL = Unit("a proposal, embeddings of 64 numbers", 434, "B", "`python scripts/sizing.py --measure`")
CHECK = Unit("a check of a proposal in a paste", 173, "B", "`python scripts/sizing.py --measure`")
REF = Unit("an image of the pool in memory", 400, "B", "`python scripts/sizing.py --measure`")
UNITS = (MINE, COMMIT, STORE, PROPOSAL, CHECK, REF, PUSH, HARVEST)


def units_table() -> str:
    """The unit costs, as Markdown."""
    rows = [f"| {unit.name} | {unit.cost:g} {unit.unit} | {unit.source} |" for unit in UNITS]
    return "\n".join(["| one | costs | measured by |", "|---|---|---|", *rows])


def needs_table() -> str:
    """What each pool needs, as Markdown."""
    head = f"| | {' | '.join(f'{images:,}' for images in POOLS)} |"
    lines = [[name, *(_number(value(images)) + unit for images in POOLS)] for name, unit, value in _NEEDS]
    return "\n".join([head, "|---|---|---|---|", *(f"| {' | '.join(line)} |" for line in lines)])


_NEEDS = (
    ("mining, one core", " h", lambda images: images * MINE.cost / 3600),
    (
        f"cores that mine it in {NIGHT_H} h",
        "",
        lambda images: math.ceil(images * MINE.cost / 3600 / NIGHT_H),
    ),
    ("first commit of the table", " CPU h", lambda images: images * COMMIT.cost / 1e6 / 3600),
    ("the table", " GB", lambda images: images * STORE.cost / 1e9),
    ("rows of the table", "", lambda images: images),
    ("proposals and checks of a cycle", " GB", lambda images: images * _evidence() / 1e9),
    ("rows of proposals and checks", "", lambda images: images * (PROPOSALS + CHECKS)),
    ("memory for the pool's images while mining", " GB", lambda images: images * REF.cost / 1e9),
    ("Label Studio tasks of a cycle", "", lambda _: TASKS),
    ("rows in Label Studio's database: task, prediction, answer", "", lambda _: 3 * TASKS),
    ("pushing and harvesting them", " s", lambda _: TASKS * (PUSH.cost + HARVEST.cost) / 1000),
)


def _evidence() -> float:
    return PROPOSALS * PROPOSAL.cost + CHECKS * CHECK.cost


def _number(value: float) -> str:
    """Two digits that count, the others zeros; whole numbers from 10 on."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def measure(rows: int = 20_000) -> dict[str, float]:
    """Bytes per row of what mining writes, with random numbers, and per image of the pool in memory."""
    random = np.random.default_rng(0)
    ids = pa.array([random.bytes(32).hex() for _ in range(rows)])
    return {
        PROPOSAL.name: _file_bytes(_filled(PROPOSAL_SCHEMA, ids, random)) / rows,
        CHECK.name: _file_bytes(_filled(CHECK_SCHEMA, ids, random)) / rows,
        REF.name: _ref_bytes(ids),
    }


def _filled(schema: pa.Schema, ids: pa.Array, random: np.random.Generator) -> pa.Table:
    return pa.table([_column(field, ids, random) for field in schema], schema=schema)


def _column(field: pa.Field, ids: pa.Array, random: np.random.Generator) -> pa.Array:
    count = len(ids)
    if field.name in {"label", "host_kind", "model_id"}:
        return pa.array(["name"] * count)
    if pa.types.is_string(field.type):
        return ids.take(pa.array(np.arange(count) // (PROPOSALS if field.name == "image_id" else 1)))
    if pa.types.is_list(field.type):
        return pa.array(list(random.normal(size=(count, 64)).astype(np.float32)), field.type)
    if pa.types.is_boolean(field.type):
        return pa.array(random.random(count) < 0.5)
    return pa.array(random.random(count) * 500).cast(field.type, safe=False)


def _file_bytes(table: pa.Table) -> int:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", write_page_checksum=True)
    return len(file.getvalue())


def _ref_bytes(ids: pa.Array) -> float:
    uris = pa.array([f"s3://bucket/pool/{name}.jpg" for name in ids.to_pylist()])
    sides = pa.array(np.full(len(ids), 640), pa.int32())
    table = pa.table({"image_id": ids, "uri": uris, "width": sides, "height": sides})
    tracemalloc.start()
    refs = refs_from_table(table)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held / len(refs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure sizes here")
    if parser.parse_args().measure:
        for name, size in measure().items():
            print(f"{name}: {size:.0f} B")
    else:
        print(units_table(), needs_table(), sep="\n\n")
