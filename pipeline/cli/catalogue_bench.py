"""`crosscheck bench shifted` and `crosscheck bench tiles`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import AsJson, Overrides, explained, level, output, progress_bars, show_table
from pipeline.cli.training_bench import Root, Seeds, sets_of

if TYPE_CHECKING:
    from pipeline.bench.scenario import Scenario

Sets = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", help="A simulated project; as often as needed. Default: bccd, deeppcb and cards."),
]
Labelled = Annotated[int, typer.Option(help="Images of the pool that start labelled.", min=1)]


@explained
def shifted(
    config: Sets = None,
    overrides: Overrides = None,
    labelled: Labelled = 48,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Measure what `crosscheck models adapt` is worth on images of another camera.

    The test split is seen with half of its contrast in a warm light, before and after the statistics of the detector
    were estimated on images of the pool that are seen so too.
    """
    from pipeline.bench.grid import Grid
    from pipeline.bench.scenario import scenarios
    from pipeline.bench.shifted import ShiftedCell, ShiftedResult

    start = scenarios(sets_of(config), [labelled], seed or [0, 1, 2], root)
    cells = [ShiftedCell(_with(scenario, overrides)) for scenario in start]
    with progress_bars() as progress:
        results = Grid(root / "shifted", ShiftedResult).run(cells, progress)
    if not as_json:
        rows = [(r.set, r.labelled, r.seed, *map(level, (r.clean, r.shifted, r.adapted))) for r in results]
        show_table("mAP on test", ["set", "labelled", "seed", "clean", "shifted", "shifted, adapted"], rows)
    output({"cells": results}, as_json)


@explained
def tiles(
    config: Sets = None,
    overrides: Overrides = None,
    labelled: Labelled = 48,
    images: Annotated[int, typer.Option(help="Large images.", min=1)] = 4,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Measure what images of 4,000 pixels cost and show, by the share of their tiles that is looked at.

    They are made of images of the test split at their own size, on a plain ground. Cost is in detection passes.
    """
    from pipeline.bench.grid import Grid
    from pipeline.bench.scenario import scenarios
    from pipeline.bench.tiles import TilesCell, TilesResult

    start = scenarios(sets_of(config), [labelled], seed or [0, 1, 2], root)
    cells = [TilesCell(_with(scenario, overrides), images) for scenario in start]
    with progress_bars() as progress:
        results = Grid(root / "tiles", TilesResult).run(cells, progress)
    if not as_json:
        rows = [(r.set, r.seed, p.share, p.passes, level(p.map)) for r in results for p in r.curve]
        show_table("Large images", ["set", "seed", "share of tiles", "passes", "mAP"], rows)
    output({"cells": results}, as_json)


def _with(scenario: Scenario, overrides: list[str] | None) -> Scenario:
    return replace(scenario, overrides=tuple(overrides or ()))
