"""`crosscheck bench training` and `crosscheck bench speed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import AsJson, Overrides, explained, number, progress_bars, show_table, tell

Seeds = Annotated[list[int] | None, typer.Option("--seed", help="A run each; as often as needed. Default: 0, 1, 2.")]
Root = Annotated[
    Path, typer.Option(help="Workspaces of the benchmark; what was trained and measured there is not done again.")
]


@explained
def training(
    config: Annotated[
        list[Path] | None, typer.Option("--config", "--sets", "-c", help="A simulated project; as often as needed.")
    ] = None,
    labelled: Annotated[
        int | None, typer.Option(help="Labelled images. Default: bccd 5, deeppcb and cards 10, others as set.", min=1)
    ] = None,
    seed: Seeds = None,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arms", help="labelled, naive-0.5, naive-0.9, ours, all (the default), or ablations of ours, named above."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Of each half of every arm. Default: as the settings say.", min=1)
    ] = None,
    results: Annotated[Path, typer.Option("--json", help="Folder that gets a JSON file a cell and arm.")] = Path(
        "runs/bench/training"
    ),
    table: Annotated[
        Path | None, typer.Option(help="Train nothing: show what the files in this folder say, mean over seeds.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="With --table: draw it as SVG or PNG.")] = None,
    overrides: Overrides = None,
    root: Root = Path("runs/bench"),
) -> None:
    """Measure what pseudo-labels are worth, between the labelled images alone and the labels of all.

    Every arm trains from the same start for the same number of steps, goes on from there for as many, with its
    pseudo-labels, and is measured on the test split. Ablations, each `ours` with one change: no-mixup, mosaic,
    label-smoothing, ohem, smoothed-ohem, no-triplet, no-ema, ignore, certified-only, no-soft-weights, teacher,
    strong-view, copy-paste, burn-in, half-pseudo, natural-share, no-fusion, no-localisation-bias. What is finished is kept, and a
    killed run goes on.
    """
    from pipeline.bench.arms import ARMS
    from pipeline.bench.training import bench_training
    from pipeline.bench.training_table import draw, read_results, summarize

    if table is None:
        sets = config or [Path(f"configs/{name}.yaml") for name in ("bccd", "deeppcb", "cards")]
        changed = [*(overrides or []), *([] if steps is None else [f"training.steps={steps}"])]
        with progress_bars() as progress:
            rows = bench_training(
                sets,
                labelled,
                seed or [0, 1, 2],
                arms or ARMS,
                overrides=changed,
                root=str(root),
                results=str(results),
                progress=progress,
            )
    else:
        rows = read_results(str(table))
    told = summarize(rows)
    if figure is not None:
        draw(told, figure)
    show_table(
        "What pseudo-labels are worth: mAP on test",
        ["set", "labelled", "arm", "seeds", "mAP", "spread", "gain of each seed", "gap closed", "precision", "recall"],
        [
            (
                one.set,
                one.labelled,
                one.arm,
                len(one.maps),
                number(one.mean),
                number(one.spread),
                ", ".join(f"{gain:+.3f}" for _, gain in sorted(one.gain.items())),
                *map(number, (one.gap_closed, one.precision, one.recall)),
            )
            for one in told
        ],
    )


@explained
def speed(
    config: Annotated[Path, typer.Option("--config", "-c", help="A simulated project.")] = Path("configs/bccd.yaml"),
    rounds: Annotated[int, typer.Option(help="How often each loop has its turn.", min=1)] = 8,
    steps: Annotated[int, typer.Option(help="Training steps a turn.", min=1)] = 10,
    overrides: Overrides = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Compare our training loop with torchvision's reference loop, in turn, on the same network, images and batch."""
    from pipeline.bench.speed import bench_speed

    with progress_bars() as progress:
        told = bench_speed(
            config, rounds=rounds, steps=steps, overrides=overrides or [], root=str(root), progress=progress
        )
    if not as_json:
        rows = [
            (n, *(number(one[name]) for name in ("ours", "reference", "ratio"))) for n, one in enumerate(told["rounds"])
        ]
        show_table("Images a second", ["round", "ours", "reference", "ratio"], rows)
    low, high = told["ratio_range"]
    tell(
        told,
        as_json,
        f"{told['ours']:.1f} images a second against {told['reference']:.1f}: {told['ratio']:.2f} times, rounds from "
        f"{low:.2f} to {high:.2f}.",
    )
