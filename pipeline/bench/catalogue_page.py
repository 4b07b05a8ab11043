"""The page of the catalogue, made from its entries and what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files

from pipeline.bench.catalogue import CatalogueRow
from pipeline.bench.catalogue_entries import ENTRIES, Entry

TITLES = {
    "backbone": "Backbones",
    "neck": "Necks",
    "norm": "Normalisation of the backbone",
    "head": "Detectors",
    "loss": "Losses and what batches hold",
}
_MEASURED = ("million weights", "billion multiply-adds", "ms", "mAP", "mAP converged", "mAP from scratch")


def catalogue_page(rows: Sequence[CatalogueRow]) -> str:
    """Write the page as Markdown.

    Args:
        rows: What was measured; a method without a row has no figures.
    """
    measured = {(row.kind, row.name): row for row in rows}
    text = files("pipeline.bench").joinpath("catalogue_text.md").read_text()
    opening, closing = text.split("<!-- tables -->\n")
    tables = "\n".join(_table(kind, title, measured) for kind, title in TITLES.items())
    return f"{opening}{tables}{closing}"


def _table(kind: str, title: str, measured: dict[tuple[str, str], CatalogueRow]) -> str:
    head = ("method", "setting", "paper", "when to choose it", *_MEASURED)
    entries = [each for each in ENTRIES if each.kind == kind]
    lines = [
        _line(head),
        _line("---" for _ in head),
        *(_row(each, measured.get((kind, each.name))) for each in entries),
    ]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _row(entry: Entry, row: CatalogueRow | None) -> str:
    setting = ", ".join(f"`{one}`" for one in entry.setting)
    return _line((entry.name, setting, entry.paper, entry.when, *_figures(row)))


def _figures(row: CatalogueRow | None) -> tuple[str, ...]:
    if row is None:
        return ("–",) * len(_MEASURED)
    return (
        f"{row.parameters / 1e6:.1f}",
        f"{row.multiply_adds / 1e9:.2f}",
        f"{row.latency_ms:.0f}",
        *map(_maps, row.maps.values()),
    )


def _maps(by_seed: Mapping[int, float]) -> str:
    return ", ".join(f"{by_seed[seed]:.3f}" for seed in sorted(by_seed)) or "–"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
