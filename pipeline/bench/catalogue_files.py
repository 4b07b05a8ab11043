"""The files of the catalogue: figures, kept over runs, and the page made from all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.bench.catalogue import MAPS, CatalogueRow
from pipeline.bench.catalogue_entries import ENTRIES
from pipeline.bench.catalogue_page import catalogue_page
from pipeline.errors import ArtefactError
from pipeline.folder import Folder

_ROWS = TypeAdapter(list[CatalogueRow])


def write_catalogue(rows: Sequence[CatalogueRow], out: Path, page: Path) -> None:
    """Add rows to the figures, in the order of the catalogue, and write the page from all that are there.

    A method keeps the mAP of the seeds with which it is not trained again.

    Args:
        rows: New or measured again.
        out: Figures, a JSON list.
        page: Markdown.

    Raises:
        ArtefactError: The figures that are there cannot be read.
    """
    known = {(row.kind, row.name): row for row in (read_catalogue(out) if out.exists() else [])}
    for row in rows:
        before = known.get((row.kind, row.name), row)
        known[row.kind, row.name] = row.with_maps({name: {**before.maps[name], **row.maps[name]} for name in MAPS})
    kept = [known[each.kind, each.name] for each in ENTRIES if (each.kind, each.name) in known]
    texts = {out: json.dumps([asdict(row) for row in kept], indent=1) + "\n", page: catalogue_page(kept)}
    for path, text in texts.items():
        Folder(path.parent.resolve()).write_bytes(path.name, text.encode())


def read_catalogue(path: Path) -> list[CatalogueRow]:
    """Read the figures.

    Raises:
        ArtefactError: They are damaged.
    """
    try:
        return _ROWS.validate_json(path.read_bytes())
    except ValidationError as fault:
        raise ArtefactError(
            f"{path}: expected the rows of a catalogue, got {fault.errors()[0]['msg']}. Remove it."
        ) from fault
