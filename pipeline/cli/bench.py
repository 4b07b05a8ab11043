"""`crosscheck bench`: what the claims of this project are measured by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.catalogue_bench import shifted, tiles
from pipeline.cli.console import AsJson, Overrides, explained, level, number, output, progress_bars, show_table
from pipeline.cli.strategies_bench import strategies
from pipeline.cli.training_bench import Root, Seeds, labels, sets_of, speed, training

if TYPE_CHECKING:
    from pipeline.bench.ablation import VariantResult
    from pipeline.bench.asking import AskingResult
    from pipeline.bench.calibration import CalibrationResult
    from pipeline.bench.mining import MiningResult
    from pipeline.bench.missed_objects import MissedObjectsResult

Configs = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", help="A simulated project; as often as needed. Default: bccd, deeppcb and cards."),
]
OneConfig = Annotated[Path, typer.Option("--config", "-c", help="A simulated project.")]
Labelled = Annotated[
    int, typer.Option(help="Images of the pool that start labelled; the detector learns from them.", min=1)
]

app = typer.Typer(
    no_args_is_help=True,
    help="Measure mining, calibration and training beside what they have to beat, and Label Studio under load.\n\n"
    "The sets are simulated projects, whose true boxes are known; configs/ has three. Every cell of a benchmark (a "
    "set, a seed, an arm ...) is trained and measured once and kept as a file in the root folder: a killed benchmark "
    "goes on where it was, and the same command in several terminals shares the work. After a change of code, remove "
    "that folder to measure anew.",
)
app.command()(training)
app.command()(labels)
app.command()(speed)
app.command()(strategies)
app.command()(shifted)
app.command()(tiles)


@app.command()
@explained
def mining(
    config: OneConfig = Path("configs/bccd.yaml"),
    labelled: Labelled = 20,
    images: Annotated[int, typer.Option(help="Most images of the test split.", min=1)] = 200,
    proposals: Annotated[
        int, typer.Option(help="Most proposals that the published rule checks, which is slow.", min=2)
    ] = 200,
    seed: Seeds = None,
    overrides: Overrides = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Compare the cost and the worth of mining with a plain detection pass and with the published rule.

    The published rule pastes each proposal into five whole hosts, one forward pass each. The engine pastes every box
    that is not dropped, within the budget; "every box checked" also looks at every image and box again. Cost is in
    plain detection passes by the same engine. `speedup_same_boxes` is the time that the published rule takes for the
    same boxes with the same number of pastes, over the engine's whole time, proposals included. Both are ratios of
    medians over runs in turn: a busy machine matters little.
    """
    from pipeline.bench.grid import Grid
    from pipeline.bench.mining import MiningCell, MiningResult
    from pipeline.bench.scenario import Scenario

    changes = tuple(overrides or ())
    cells = [
        MiningCell(Scenario(config, labelled, value, root, changes), images, proposals) for value in seed or [0, 1, 2]
    ]
    with progress_bars() as progress:
        results = Grid(root / "mining", MiningResult).run(cells, progress)
    if not as_json:
        _show_mining(results)
    output({"cells": results}, as_json)


@app.command()
@explained
def calibration(
    config: Configs = None,
    labelled: Annotated[
        list[int] | None,
        typer.Option(help="Images of the pool that start labelled; as often as needed. Default: 10, 20, 40."),
    ] = None,
    seed: Seeds = None,
    held_back: Annotated[
        int | None, typer.Option(help="Most images of val to fit p(correct) on. Default: all.", min=1)
    ] = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Compare scores for "this box is right": confidence, consistency, flip agreement, p(correct) and others.

    A detector is trained on the labelled images, p(correct) is fitted on val, and every score is measured on test,
    which nothing learnt from. `gain` is the 95 % interval of the gain in AUROC over confidence. The second table tells
    which kind of wrong box a score sees; the third holds certificates against test.
    """
    from pipeline.bench.calibration import CalibrationCell, CalibrationResult
    from pipeline.bench.grid import Grid
    from pipeline.bench.scenario import scenarios

    start = scenarios(sets_of(config), labelled or [10, 20, 40], seed or [0, 1, 2], root)
    cells = [CalibrationCell(scenario, held_back) for scenario in start]
    with progress_bars() as progress:
        results = Grid(root / "calibration", CalibrationResult).run(cells, progress)
    if not as_json:
        _show_calibration(results)
    output({"cells": results}, as_json)


@app.command()
@explained
def ablation(
    config: OneConfig = Path("configs/bccd.yaml"),
    labelled: Labelled = 20,
    images: Annotated[int, typer.Option(help="Most images of the test split.", min=2)] = 40,
    variant: Annotated[
        list[str] | None, typer.Option(help='Such as "no context" or "8 hosts"; as often as needed. Default: all.')
    ] = None,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Change one choice in how boxes are pasted at a time, and measure what the pastes are then worth.

    Every box of the same test images is checked. `all evidence` is p(correct), fitted on the other folds of these
    images. A wrong name of a variant is answered with the list of them.
    """
    from pipeline.bench.ablation import VARIANTS, VariantCell, VariantResult
    from pipeline.bench.grid import Grid
    from pipeline.bench.scenario import scenarios

    start = scenarios([config], [labelled], seed or [0, 1, 2], root)
    cells = [VariantCell(scenario, name, images) for scenario in start for name in variant or VARIANTS]
    with progress_bars() as progress:
        results = Grid(root / "ablation", VariantResult).run(cells, progress)
    if not as_json:
        _show_ablation(results)
    output({"cells": results}, as_json)


@app.command()
@explained
def misses(
    config: Configs = None,
    labelled: Labelled = 20,
    target: Annotated[float, typer.Option(help="Promised precision of pseudo-labels.", min=0.5, max=0.99)] = 0.9,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Count missed objects: those that no proposal finds, and those that training would take for background.

    The test split plays the pool. `before`: every image with a sure box is pseudo-labelled. `weak regions`: dropped
    boxes that may be something become ignore regions. `half`: the half of the images with most expected missed objects
    is left out as well.
    """
    from pipeline.bench.grid import Grid
    from pipeline.bench.missed_objects import MissedObjectsCell, MissedObjectsResult
    from pipeline.bench.scenario import scenarios

    start = scenarios(sets_of(config), [labelled], seed or [0, 1, 2], root)
    cells = [MissedObjectsCell(scenario, target) for scenario in start]
    with progress_bars() as progress:
        results = Grid(root / "misses", MissedObjectsResult).run(cells, progress)
    if not as_json:
        _show_missed_objects(results)
    output({"cells": results}, as_json)


@app.command()
@explained
def asking(
    config: Configs = None,
    labelled: Annotated[
        list[int] | None, typer.Option(help="Images that start labelled; as often as needed. Default: 12, 24 and 48.")
    ] = None,
    images: Annotated[int, typer.Option(help="How many images people are asked about.", min=1)] = 20,
    seed: Annotated[list[int] | None, typer.Option(help="As often as needed. Default: 0.")] = None,
    results: Annotated[
        Path | None,
        typer.Option("--json", help="Folder that gets one JSON file per cell. Default: asking in the root folder."),
    ] = None,
    overrides: Overrides = None,
    root: Root = Path("runs/bench"),
) -> None:
    """Measure what answers take with the machine's boxes and without: a simulated annotator, `labeling.seconds`.

    A detector is trained on the labelled images, and the first images that people would be asked about are answered
    three times: as asked, all corrected, and all drawn without a box. Boxes cost time if the first takes longer than
    the last. What is finished is kept, and a killed run goes on.
    """
    from pipeline.bench.asking import AskingCell, AskingResult
    from pipeline.bench.grid import Grid
    from pipeline.bench.scenario import scenarios

    start = scenarios(sets_of(config), labelled or [12, 24, 48], seed or [0], root, overrides or ())
    cells = [AskingCell(scenario, images) for scenario in start]
    with progress_bars() as progress:
        measured = Grid(results or root / "asking", AskingResult).run(cells, progress)
    _show_asking(measured)


@app.command()
@explained
def labeling(
    url: Annotated[str, typer.Option(help="A running Label Studio, for instance from `make label-studio`.")] = (
        "http://localhost:8080"
    ),
    tasks: Annotated[int, typer.Option(help="How many to push and harvest.", min=1, max=1_000_000)] = 10_000,
    boxes: Annotated[int, typer.Option(help="The machine's boxes on each.", min=0, max=100)] = 5,
    renewed: Annotated[
        int, typer.Option(help="How many of them get new boxes, as after a new model.", min=0, max=1_000_000)
    ] = 500,
    page_size: Annotated[int, typer.Option(help="Tasks per request.", min=1, max=10_000)] = 500,
    as_json: AsJson = False,
) -> None:
    """Measure how long a push and a harvest of many tasks take, in a project that is removed afterwards.

    The token is read from LABEL_STUDIO_API_KEY. Nobody is asked anything: the server itself answers every task.
    """
    from pipeline.bench.labeling import Load, bench_labeling
    from pipeline.errors import SettingsError
    from pipeline.settings import Secrets

    token = Secrets().label_studio_api_key
    if token is None:
        raise SettingsError("Expected a Label Studio token in LABEL_STUDIO_API_KEY, found none.")
    with progress_bars() as progress:
        result = bench_labeling(url, token, Load(tasks, boxes, renewed, page_size), progress)
    if not as_json:
        rows = [(step, f"{seconds:.1f}") for step, seconds in result.seconds.items()]
        show_table(f"{tasks} tasks with {boxes} boxes each", ["step", "seconds"], rows)
    output(result, as_json)


def _show_mining(results: Sequence[MiningResult]) -> None:
    from pipeline.bench.measures import mean
    from pipeline.bench.mining import STEPS

    names = ("cost_over_plain_pass", "speedup_same_boxes", "pasted_share", "pastes_per_box", "windows_per_canvas")
    scores = ("published", "confidence", "engine", "consistency")
    for way in ("engine", "everything"):
        measured = [
            (*(getattr(getattr(result, way), name) for name in names), *(result.auroc[name] for name in scores))
            for result in results
        ]
        means = [mean(column) for column in zip(*measured, strict=True)]
        rows = zip([*(result.seed for result in results), "mean"], [*measured, means], strict=True)
        show_table(
            f"Mining on {results[0].set}: {'as set' if way == 'engine' else 'every box checked in every way'}",
            ["seed", *names, *(f"AUROC {name}" for name in scores)],
            [(seed, *map(number, measures)) for seed, measures in rows],
        )
    ways = {
        "engine": [result.engine for result in results],
        "every box checked": [result.everything for result in results],
    }
    show_table(
        "Where the time goes, share of a run",
        ["", *STEPS],
        [(name, *(level(mean(run.share_of(step) for run in runs)) for step in STEPS)) for name, runs in ways.items()],
    )


def _show_calibration(results: Sequence[CalibrationResult]) -> None:
    cell = ["set", "labelled", "seed"]
    scores = [
        (result.set, result.labelled, result.seed, name, score.quality, score.gain)
        for result in results
        for name, score in result.scores.items()
    ]
    show_table(
        "Is this box right?",
        [*cell, "score", "AUROC", "gain", "AP", "ECE", "Brier", "recall at precision 0.95"],
        [
            (*start, *map(number, (own.auroc, gain, own.ap, own.ece, own.brier, own.recall_at_p95)))
            for *start, own, gain in scores
        ],
    )
    shown = ("confidence", "consistency", "detection", "all evidence")
    wrong = [(result.set, result.labelled, result.seed, kind) for result in results for kind in result.wrong_boxes]
    show_table(
        "AUROC of right boxes against each kind of wrong ones",
        [*cell, "wrong boxes", "boxes", *shown],
        [(*start, kind.kind, kind.boxes, *(number(kind.auroc[name]) for name in shown)) for *start, kind in wrong],
    )
    show_table(
        "Certified classes, on the test split",
        [*cell, "class", "boxes", "right", "promised precision"],
        [
            (result.set, result.labelled, result.seed, promise.label, promise.boxes, promise.right, promise.target)
            for result in results
            for promise in result.promises
        ],
    )


def _show_ablation(results: Sequence[VariantResult]) -> None:
    names = list(results[0].auroc)
    show_table(
        "AUROC of what pastes tell",
        ["variant", "seed", *names, "canvases"],
        [
            (result.variant, result.seed, *(number(result.auroc[name]) for name in names), result.canvases)
            for result in results
        ],
    )
    first_of_each_seed = {result.seed: result for result in reversed(results)}
    show_table(
        "The published gate, which looks at no paste",
        ["seed", "gamma", "boxes let through", "right"],
        [
            (seed, gamma, passed.boxes, passed.right)
            for seed, result in sorted(first_of_each_seed.items())
            for gamma, passed in result.gate.items()
        ],
    )


def _show_missed_objects(results: Sequence[MissedObjectsResult]) -> None:
    show_table(
        "Missed objects",
        ["set", "seed", "", "pseudo-labelled", "pseudo-labels", "objects missed", "taken for background"],
        [
            (result.set, result.seed, name, way.images, way.boxes, way.missed, way.background)
            for result in results
            for name, way in result.ways.items()
        ],
    )


def _show_asking(results: Sequence[AskingResult]) -> None:
    numbers = ["accepted", "moved", "relabelled", "deleted", "added"]
    show_table(
        "What answers take, per image",
        ["set", "labelled", "seed", "", "images", "verified", "seconds", "seconds per box", *numbers, "left open"],
        [
            (
                *(result.set, result.labelled, result.seed, way, work.images, work.verified),
                *(_rounded(work.seconds_per_image), _rounded(work.seconds_per_box)),
                *(_rounded(getattr(work.actions, name) / max(1, work.images)) for name in numbers),
                work.open_images,
            )
            for result in results
            for way, work in result.work.items()
        ],
    )


def _rounded(number: float | None) -> str:
    return "-" if number is None else f"{number:.1f}"
