"""`crosscheck bench training` and `crosscheck bench speed`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.bench_options import OneSet, Root, Seeds, Sets, measure, sets_of
from pipeline.cli.console import AsJson, Overrides, explained, number, output, progress_bars, show_table

if TYPE_CHECKING:
    from pipeline.bench.curve import CurveCell
    from pipeline.bench.training_table import ArmSummary


@explained
def training(
    config: Sets = None,
    labelled: Annotated[
        int | None,
        typer.Option(help="Images that start labelled. Default: bccd 5, deeppcb and cards 10, others as set.", min=1),
    ] = None,
    seed: Seeds = None,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arms",
            help="labelled, naive-0.5, naive-0.9, ours, all, boosting-1, boosting-3, or an ablation named above; as "
            "often as needed. Default: the first five.",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Most of each half of every arm. Default: as the settings say.", min=1)
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option("--json", help="Folder that gets one JSON file per cell. Default: training in the root folder."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Train nothing: show what the results in this folder say, mean over seeds.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw the table into this SVG or PNG file.")] = None,
    curve: Annotated[
        bool,
        typer.Option(
            "--curve",
            help="Instead of arms: how good labels of people alone make a detector, by their number (5, 10, 20, 47 or "
            "for deeppcb 90, all; or --labelled). One JSON file per cell in curve/ of the root folder, or --json.",
        ),
    ] = False,
    overrides: Overrides = None,
    root: Root = Path("runs/bench"),
) -> None:
    """Measure what pseudo-labels are worth, between the labelled images alone and the labels of all images.

    Every arm trains from the same start, goes on with its labels of the pool, each time for as long as val finds, and
    is measured on the test split. `labelled` has none, `naive-0.5` and `naive-0.9` take every detection of that
    confidence, `ours` is what the pipeline makes of the pool when nobody is asked, and `all` has the labels of every
    image. `boosting-1` and `boosting-3` are `labelled` with `training.boosting` in the second half. Ablations, each
    `ours` with one change: no-mixup, mosaic, label-smoothing, no-label-smoothing, ohem, smoothed-ohem, no-triplet,
    no-ema, no-ignore, certified-only, no-soft-weights, teacher, strong-view, no-copy-paste, pasted, no-burn-in,
    natural-share, fusion, no-localisation-bias. What is finished is kept, and a killed run goes on.
    """
    from pipeline.bench.arms import ARMS
    from pipeline.bench.curve import curve_cells
    from pipeline.bench.scenario import Scenario
    from pipeline.bench.training import ArmCell, ArmResult, default_budget
    from pipeline.bench.training_table import draw, read_results, summarize

    changes = (*(overrides or []), *([] if steps is None else [f"training.steps={steps}"]))
    if curve:
        if arms or table or figure:
            raise ValueError("Expected --curve alone: it has no --arms, no --table and no --figure")
        _curve(
            curve_cells(sets_of(config), [labelled] if labelled else [], seed or [0, 1, 2], root, changes),
            results or root / "curve",
        )
        return
    if table is None:
        cells = [
            ArmCell(Scenario(file, labelled or default_budget(file), value, root, changes), arm)
            for value in seed or [0, 1, 2]
            for file in sets_of(config)
            for arm in arms or ARMS
        ]
        measured = measure(results or root / "training", ArmResult, cells)
    else:
        measured = read_results(table)
    summaries = summarize(measured)
    if figure is not None:
        draw(summaries, figure)
    _show(summaries)


@explained
def labels(
    config: Sets = None,
    count: Annotated[
        list[int] | None,
        typer.Option("--labels", help="Images labelled by people, in all. Default: 12, 24, 48, 90.", min=8),
    ] = None,
    seed: Seeds = None,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arms", help="labelled, split, ours, naive-0.5, all; as often as needed. Default: each."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option("--json", help="Folder that gets one JSON file per cell. Default: labels in the root folder."),
    ] = None,
    overrides: Overrides = None,
    root: Root = Path("runs/bench"),
) -> None:
    """Measure what images labelled by people are worth, all of them counted, by what is done with them.

    Every arm goes through two cycles in which nobody is asked and is measured on the test split. `labelled` learns
    them, `ours` calibrates on them as well and labels the pool, `naive-0.5` takes every detection of that confidence
    for a label, `split` keeps three of four for val, and `all` has the labels of every image. Committees have two
    members; `--set selection.committee=4` compares others. What is finished is kept, and a killed run goes on.
    """
    from pipeline.bench.labels import IN_ALL, LABELS_ARMS, LabelsResult, labels_cells
    from pipeline.bench.scenario import Scenario

    anywhere = Scenario(Path(), None, 0, root, tuple(overrides or []))
    cells = labels_cells(sets_of(config), count or IN_ALL, seed or [0, 1, 2], arms or LABELS_ARMS, anywhere)
    measured = measure(results or root / "labels", LabelsResult, cells)
    show_table(
        "mAP on test by images that people labelled, in all",
        ["set", "labels", "seed", "arm", "mAP", "AP50", "steps", "minutes", "members", "pool labels", "precision"],
        [
            (
                *(own.set, own.labels, own.seed, own.arm, number(own.map), number(own.map50), own.steps, own.minutes),
                own.committee,
                own.pseudo.boxes if own.pseudo else "–",
                number(own.pseudo.precision if own.pseudo else None),
            )
            for own in measured
        ],
    )


@explained
def speed(
    config: OneSet = Path("configs/bccd.yaml"),
    rounds: Annotated[int, typer.Option(help="How often each loop has its turn.", min=1)] = 8,
    steps: Annotated[int, typer.Option(help="Training steps per turn.", min=1)] = 10,
    overrides: Overrides = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Compare our training loop with torchvision's reference loop, in turn, on the same backbone, images and batch.

    Only the ratio counts where other work runs on the same machine. Ours does what the settings say of augmentation,
    mixup, smaller batches, the head, the triplet loss and averaged weights; the reference has the stock RetinaNet.
    """
    from pipeline.bench.scenario import Scenario
    from pipeline.bench.speed import Turns, bench_speed

    scenario = Scenario(config, None, 0, root, tuple(overrides or []))
    with progress_bars() as progress:
        result = bench_speed(scenario, Turns(rounds, steps), progress)
    if not as_json:
        show_table(
            "Images per second",
            ["round", "ours", "reference", "ratio"],
            [
                (count, *map(number, (turn.ours, turn.reference, turn.ratio)))
                for count, turn in enumerate(result.rounds, 1)
            ],
        )
    low, high = result.ratio_range
    output(
        result,
        as_json,
        f"{result.ours:.1f} images per second against {result.reference:.1f}: {result.ratio:.2f} times as fast, rounds "
        f"from {low:.2f} to {high:.2f}.",
    )


def _curve(cells: Sequence[CurveCell], folder: Path) -> None:
    from pipeline.bench.curve import CurvePoint

    points = measure(folder, CurvePoint, cells)
    show_table(
        "mAP on test by labelled images",
        ["set", "labelled", "seed", "mAP", "AP50", "steps", "minutes", "ended by"],
        [
            (own.set, own.labelled, own.seed, number(own.map), number(own.map50), own.steps, own.minutes, own.ended_by)
            for own in points
        ],
    )


def _show(summaries: Sequence[ArmSummary]) -> None:
    show_table(
        "What pseudo-labels are worth: mAP on test",
        ["set", "labelled", "arm", "seeds", "mAP", "spread", "gain of each seed", "gap closed", "precision", "recall"],
        [
            (
                own.set,
                own.labelled,
                own.arm,
                len(own.maps),
                number(own.mean),
                number(own.spread),
                ", ".join(f"{gain:+.3f}" for _, gain in sorted(own.gain.items())),
                *map(number, (own.gap_closed, own.precision, own.recall)),
            )
            for own in summaries
        ],
    )
