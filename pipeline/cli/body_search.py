"""`crosscheck models search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsJson,
    Config,
    Overrides,
    explained,
    level,
    output,
    progress_bars,
    settings_from,
    show_table,
)

if TYPE_CHECKING:
    from pipeline.stages.search import SearchRun


@explained
def search(
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    limit: Annotated[
        float, typer.Option(help="Most that a path may take, relative to the whole body.", min=0.01, max=1)
    ] = 0.6,
    steps: Annotated[int, typer.Option(help="Training steps of the supernet.", min=1)] = 600,
    population: Annotated[int, typer.Option(help="Paths of a generation.", min=2)] = 16,
    generations: Annotated[int, typer.Option(help="Generations; the first is drawn at random.", min=1)] = 5,
    compare: Annotated[
        int, typer.Option(help="Random paths that are trained beside the found one and the whole body.", min=0)
    ] = 0,
    out: Annotated[Path, typer.Option(help="The found path.")] = Path("path.json"),
    as_json: AsJson = False,
) -> None:
    """Search for a narrower and shallower part of the default backbone that keeps a limit on latency.

    A supernet of all paths learns the labelled images once, a random path per step; paths are judged by its weights, on
    split val (DetNAS, arXiv 1903.10979). Latency is processor time on this machine. With `--compare`, the found path,
    the whole body and random paths that are as fast are trained alone as well, and measured on split test.
    """
    from pipeline.cycle import only_one
    from pipeline.detector.search.evolution import Evolution
    from pipeline.stages.search import SearchRequest, search_body

    settings = settings_from(config, overrides)
    request = SearchRequest(steps, Evolution(limit, population, generations), compare)
    with only_one(settings), progress_bars() as progress:
        run = search_body(settings, request, progress)
    out.write_text(run.found.path.model_dump_json() + "\n")
    if not as_json:
        _show(run)
    output(run, as_json, f'{out}; use it with --set detector.path="$(cat {out})"')


def _show(run: SearchRun) -> None:
    rows = [
        (
            each.origin,
            " ".join(map(str, each.path.depths)),
            " ".join(f"{width:g}" for width in each.path.widths),
            f"{each.table_latency:.2f}",
            f"{each.latency:.2f}",
            level(each.shared_map),
            level(each.trained_map),
        )
        for each in run.paths
    ]
    columns = ["path", "depths", "widths", "latency by table", "latency", "mAP on val, shared", "mAP on test, alone"]
    show_table(f"Best of {run.judged} paths", columns, rows)
