"""`crosscheck bench`: what the claims of this project are measured by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import AsJson, explained, number, progress_bars, show_table, tell
from pipeline.cli.training_bench import Root, Seeds, speed, training

Configs = Annotated[list[Path] | None, typer.Option("--config", "-c", help="A simulated project; as often as needed.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Measure mining, calibration and training beside what they have to beat, and Label Studio under load.",
)
app.command()(training)
app.command()(speed)


@app.command()
@explained
def mining(
    config: Annotated[Path, typer.Option("--config", "-c", help="A simulated project.")] = Path("configs/bccd.yaml"),
    images: Annotated[int, typer.Option(help="Most images of the test split.", min=1)] = 200,
    proposals: Annotated[
        int, typer.Option(help="Most proposals that are checked the published way, the slow one.", min=2)
    ] = 200,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Compare mining with a plain detection pass and with the published rule, in one run on the same boxes.

    A detector is trained once a seed. The published rule pastes each proposal into five whole hosts, one forward pass
    each; the engine checks what can change what becomes of a box. Ratios are of medians of five runs in turn.
    """
    from pipeline.bench.mining import bench_mining

    with progress_bars() as progress:
        told = bench_mining(
            config, seed or [0, 1, 2], images=images, proposals=proposals, root=str(root), progress=progress
        )
    if not as_json:
        columns = ("speedup", "cost_over_plain_pass", "auroc_reference", "auroc_confidence", "auroc_engine")
        rows = [(run["seed"], *(number(run[name]) for name in columns)) for run in told["runs"]]
        show_table(
            f"Mining on {told['set']}",
            ["seed", "speedup", "cost / plain pass", "AUROC published", "AUROC confidence", "AUROC engine"],
            [*rows, ("mean", *(number(told[name]) for name in columns))],
        )
        stages = {"engine": told["seconds_by_stage"], "every box checked": told["seconds_by_stage_all_checked"]}
        show_table(
            "Where its time goes, share of a run",
            ["", *told["seconds_by_stage"]],
            [
                (name, *(f"{100 * share / sum(seconds.values()):.0f} %" for share in seconds.values()))
                for name, seconds in stages.items()
            ],
        )
    tell(
        told,
        as_json,
        f"With every box checked: {told['speedup_all_checked']:.1f} times the published speed, "
        f"{told['cost_over_plain_pass_all_checked']:.1f} plain passes.",
    )


@app.command()
@explained
def calibration(
    config: Configs = None,
    labelled: Annotated[
        list[int] | None, typer.Option(help="Labelled images to train on; as often as needed. Default: 10, 20, 40.")
    ] = None,
    seed: Seeds = None,
    held_back: Annotated[
        int | None, typer.Option(help="Most images of val to fit p(correct) on. Default: all.", min=1)
    ] = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Compare scores for "this box is right": confidence, consistency, their product, flip agreement, and ours.

    A cell is a set, a number of labelled images and a seed: a detector is trained on these, p(correct) is fitted on the
    val split, and all scores are measured on the test split, which nothing learnt from. Finished cells are kept:
    after a change of code, remove `calibration` in the root folder to measure them again.
    """
    from pipeline.bench.calibration import bench_calibration

    sets = config or [Path(f"configs/{name}.yaml") for name in ("bccd", "deeppcb", "cards")]
    with progress_bars() as progress:
        told = bench_calibration(
            sets,
            labelled or [10, 20, 40],
            seed or [0, 1, 2],
            held_back=held_back,
            root=str(root),
            progress=progress,
        )
    if not as_json:
        columns = ("set", "labelled", "seed", "evidence")
        measures = ("auroc", "gain", "ap", "ece", "brier", "recall_at_p95")
        rows = [
            (*(row[name] for name in columns), *(number(row[name]) for name in measures)) for row in told["evidence"]
        ]
        show_table("Is this box right?", [*columns, *measures], rows)
        shown = ("confidence", "consistency", "detection alone, calibrated", "crosscheck")
        mistakes = [
            (
                *(row[name] for name in ("set", "labelled", "seed", "kind", "boxes")),
                *(number(row["auroc"][name]) for name in shown),
            )
            for row in told["mistakes"]
        ]
        show_table(
            "AUROC of right boxes against each kind of wrong ones",
            ["set", "labelled", "seed", "wrong boxes", "boxes", *shown],
            mistakes,
        )
        promises = [
            (one["set"], one["labelled"], one["seed"], one["label"], one["boxes"], one["right"], one["target"])
            for one in told["certificates"]
        ]
        show_table(
            "Certified classes, on the test split",
            ["set", "labelled", "seed", "class", "boxes", "right", "promised"],
            promises,
        )
    tell(told, as_json)


@app.command()
@explained
def ablation(
    config: Annotated[Path, typer.Option("--config", "-c", help="A simulated project.")] = Path("configs/bccd.yaml"),
    labelled: Annotated[int, typer.Option(help="Labelled images to train on.", min=1)] = 20,
    images: Annotated[int, typer.Option(help="Most images of the test split.", min=2)] = 40,
    variant: Annotated[list[str] | None, typer.Option(help="As often as needed. Default: all of them.")] = None,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Change one thing at a time in how boxes are pasted, and measure what the pastes then tell.

    Every box of the same test images is checked; p(correct) is fitted on the other folds of these images.
    """
    from pipeline.bench.ablation import VARIANTS, bench_ablation
    from pipeline.errors import SettingsError

    if unknown := set(variant or []) - VARIANTS.keys():
        raise SettingsError(f"Expected variants among {list(VARIANTS)}, got {sorted(unknown)}.")
    with progress_bars() as progress:
        told = bench_ablation(
            config,
            labelled,
            seed or [0, 1, 2],
            variant or list(VARIANTS),
            images=images,
            root=str(root),
            progress=progress,
        )
    if not as_json:
        measures = ("confidence", "consistency", "product", "crosscheck")
        rows = [
            (row["variant"], row["seed"], *(number(row[f"auroc_{name}"]) for name in measures), row["canvases"])
            for row in told["rows"]
        ]
        show_table("AUROC of what pastes tell", ["variant", "seed", *measures, "canvases"], rows)
        gates = [
            (row["seed"], most, one["boxes"], one["right"])
            for row in told["rows"]
            if row["variant"] == told["rows"][0]["variant"]
            for most, one in row["gate"].items()
        ]
        show_table("The published gate, without pastes", ["seed", "gamma", "boxes let through", "right"], gates)
    tell(told, as_json)


@app.command()
@explained
def misses(
    config: Configs = None,
    labelled: Annotated[int, typer.Option(help="Labelled images to train on.", min=1)] = 20,
    target: Annotated[float, typer.Option(help="Promised precision of pseudo-labels.", min=0.5, max=0.99)] = 0.9,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Count objects that are never found, and those of them that training would take for background.

    The test split plays the pool. `before`: every image with a sure box is pseudo-labelled. `weak regions`: dropped
    boxes that may be something are ignored. `half`: the half of the images with most expected misses is left out.
    """
    from pipeline.bench.missed_objects import bench_missed_objects

    sets = config or [Path(f"configs/{name}.yaml") for name in ("bccd", "deeppcb", "cards")]
    with progress_bars() as progress:
        told = bench_missed_objects(sets, labelled, seed or [0, 1, 2], target=target, root=str(root), progress=progress)
    if not as_json:
        rows = [
            (cell["set"], cell["seed"], way, *(str(one[name]) for name in ("images", "boxes", "missed", "background")))
            for cell in told["cells"]
            for way, one in cell["pseudo_labels"].items()
        ]
        columns = ["set", "seed", "", "pseudo-labelled", "pseudo-labels", "objects missed", "taken for background"]
        show_table("Missed objects", columns, rows)
    tell(told, as_json)


@app.command()
@explained
def labeling(
    url: Annotated[str, typer.Option(help="A running Label Studio, for instance from `make label-studio`.")] = (
        "http://localhost:8080"
    ),
    tasks: Annotated[int, typer.Option(help="How many to push and harvest.", min=1, max=1_000_000)] = 10_000,
    boxes: Annotated[int, typer.Option(help="Boxes of the machine on each.", min=0, max=100)] = 5,
    renewed: Annotated[
        int, typer.Option(help="How many of them get new boxes, as after a new model.", min=0, max=1_000_000)
    ] = 500,
    page_size: Annotated[int, typer.Option(help="Tasks a request.", min=1, max=10_000)] = 500,
    as_json: AsJson = False,
) -> None:
    """Measure how long a push and a harvest of many tasks take, in a project that is removed afterwards.

    The token is read from LABEL_STUDIO_API_KEY. Nothing is shown to anybody: the server itself answers every task.
    """
    from pipeline.bench.labeling import bench_labeling
    from pipeline.errors import SettingsError
    from pipeline.settings import Secrets

    token = Secrets().label_studio_api_key
    if token is None:
        raise SettingsError("Expected a Label Studio token in LABEL_STUDIO_API_KEY, found none.")
    with progress_bars() as progress:
        told = bench_labeling(
            url, token, tasks=tasks, boxes=boxes, renewed=renewed, page_size=page_size, progress=progress
        )
    if not as_json:
        rows = [(name, f"{seconds:.1f}") for name, seconds in told["seconds"].items()]
        show_table(f"{told['tasks']} tasks with {told['boxes']} boxes", ["step", "seconds"], rows)
    tell(told, as_json)
