"""`crosscheck bench strategies`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.bench_options import Root, Seeds, Sets, measure, sets_of
from pipeline.cli.console import Overrides, explained, show_table


@explained
def strategies(
    config: Sets = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="by_hand, random, entropy, margin, least_confidence, core_set, ssm, cald, ppal, published or "
            "crosscheck; as often as needed. Default: all."
        ),
    ] = None,
    pseudo: Annotated[
        bool | None,
        typer.Option("--pseudo/--plain", help="With pseudo-labels or without. Default: each strategy both ways."),
    ] = None,
    seed: Seeds = None,
    rounds: Annotated[int, typer.Option(help="Rounds, the first included, before which nothing is asked.", min=1)] = 10,
    per_round: Annotated[
        int | None, typer.Option(help="Images asked each round. Default: 20 for deeppcb, 10 for others.", min=1)
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Folder that gets rounds/, with one JSON file each, and summary.json. Default: strategies in the "
            "root folder.",
        ),
    ] = None,
    ceiling: Annotated[
        Path | None,
        typer.Option(help="Folder of `crosscheck bench training --curve`. Default: curve in the root folder."),
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Train nothing: show what the results so far say.")] = False,
    figure: Annotated[Path | None, typer.Option(help="Draw the learning curves into this SVG or PNG file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write curves and tables as this HTML page.")] = None,
    overrides: Overrides = None,
    root: Root = Path("runs/bench"),
) -> None:
    """Compare what people are asked: how much of their work each strategy takes for an equally good detector.

    Every strategy starts from the same 10 labelled images and goes through the real loop; the simulated annotator
    answers, and charges what each action takes (`labeling.seconds`). All human labels count, those of `val` too.
    `saved` is the share of the seconds of random selection without pseudo-labels that a strategy saves on the way to
    90 % of the mAP that the labels of every image give, with a 95 % interval over seeds; `saved to where random ends`
    needs no such ceiling, and is given of all seconds and of those after the start. `by_hand` is random images on
    which every box is drawn, and `published` the published rule whole: its pastes, its pseudo-labels and its
    questions. What is finished is kept, a killed run goes on, and the same command in several terminals shares the
    work.
    """
    from pipeline.bench.curve import CurvePoint
    from pipeline.bench.grid import Grid
    from pipeline.bench.strategies import STRATEGIES, Plan, RoundResult, strategy_scenarios
    from pipeline.bench.work_saved import WorkSaved, ceilings, draw, summarize
    from pipeline.bench.work_saved_table import CAPTION, COLUMNS, rows_of
    from pipeline.folder import Folder

    folder = results or root / "strategies"
    if not table:
        plan = Plan(strategy or tuple(STRATEGIES), (False, True) if pseudo is None else (pseudo,), rounds, per_round)
        scenarios = strategy_scenarios(sets_of(config), seed or [0, 1, 2], root, overrides or [])
        measure(folder / "rounds", RoundResult, plan.cells(scenarios))
    measured = list(Grid(folder / "rounds", RoundResult).results().values())
    if not measured:
        raise ValueError(f"Expected rounds in {folder / 'rounds'}, found none. Run this command without --table.")
    levels = ceilings(Grid(ceiling or root / "curve", CurvePoint).results().values())
    summary = summarize(measured, levels)
    Folder(folder.resolve()).write_record(WorkSaved.FILE, summary)
    if figure is not None:
        draw(measured, levels, figure)
    if page is not None:
        from pipeline.bench.work_saved_page import render_work_saved

        Folder(page.resolve().parent).write_bytes(page.name, render_work_saved(summary, measured, levels).encode())
    show_table(CAPTION, COLUMNS, rows_of(summary))
