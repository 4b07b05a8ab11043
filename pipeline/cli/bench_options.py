"""What the benchmarks share: options, and how their cells are measured and shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pipeline.cli.console import output, progress_bars

if TYPE_CHECKING:
    from pipeline.bench.grid import Cell

PUBLIC_SETS = ("bccd", "deeppcb", "cards")

R = TypeVar("R")

Sets = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        "--sets",
        "-c",
        help="A simulated project; as often as needed. Default: bccd, deeppcb and cards.",
    ),
]
OneSet = Annotated[Path, typer.Option("--config", "-c", help="A simulated project.")]
Seeds = Annotated[list[int] | None, typer.Option("--seed", help="As often as needed. Default: 0, 1, 2.")]
Root = Annotated[
    Path,
    typer.Option(help="Folder of the benchmark's workspaces and results; what is finished there is not done again."),
]
Labelled = Annotated[
    int, typer.Option(help="Images of the pool that start labelled; the detector learns from them.", min=1)
]


def sets_of(configs: list[Path] | None) -> list[Path]:
    """The sets that were asked for; the public ones by default."""
    return configs or [Path(f"configs/{name}.yaml") for name in PUBLIC_SETS]


def measure(folder: Path, kind: type[R], cells: Sequence[Cell[R]]) -> list[R]:
    """Measure the cells that have no result yet, with progress bars; see `Grid`."""
    from pipeline.bench.grid import Grid

    with progress_bars() as progress:
        return Grid(folder, kind).run(cells, progress)


def present(results: Sequence[R], show: Callable[[Sequence[R]], None], as_json: bool) -> None:
    """Show the results of cells to people, or print them for programs."""
    if not as_json:
        show(results)
    output({"cells": results}, as_json)
