"""`crosscheck bench mining`, `calibration`, `ablation` and `misses`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.bench_options import Labelled, OneSet, Root, Seeds, Sets, measure, present, sets_of
from pipeline.cli.console import AsJson, Overrides, explained, level, number, show_table

if TYPE_CHECKING:
    from pipeline.bench.ablation import VariantResult
    from pipeline.bench.calibration import CalibrationResult
    from pipeline.bench.mining import MiningResult
    from pipeline.bench.missed_objects import MissedObjectsResult


@explained
def mining(
    config: OneSet = Path("configs/bccd.yaml"),
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
    from pipeline.bench.mining import MiningCell, MiningResult
    from pipeline.bench.scenario import Scenario

    changes = tuple(overrides or ())
    cells = [
        MiningCell(Scenario(config, labelled, value, root, changes), images, proposals) for value in seed or [0, 1, 2]
    ]
    present(measure(root / "mining", MiningResult, cells), _show_mining, as_json)


@explained
def calibration(
    config: Sets = None,
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
    from pipeline.bench.scenario import scenarios

    start = scenarios(sets_of(config), labelled or [10, 20, 40], seed or [0, 1, 2], root)
    cells = [CalibrationCell(scenario, held_back) for scenario in start]
    present(measure(root / "calibration", CalibrationResult, cells), _show_calibration, as_json)


@explained
def ablation(
    config: OneSet = Path("configs/bccd.yaml"),
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
    from pipeline.bench.scenario import scenarios

    start = scenarios([config], [labelled], seed or [0, 1, 2], root)
    cells = [VariantCell(scenario, name, images) for scenario in start for name in variant or VARIANTS]
    present(measure(root / "ablation", VariantResult, cells), _show_ablation, as_json)


@explained
def misses(
    config: Sets = None,
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
    from pipeline.bench.missed_objects import MissedObjectsCell, MissedObjectsResult
    from pipeline.bench.scenario import scenarios

    start = scenarios(sets_of(config), [labelled], seed or [0, 1, 2], root)
    cells = [MissedObjectsCell(scenario, target) for scenario in start]
    present(measure(root / "misses", MissedObjectsResult, cells), _show_missed_objects, as_json)


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
