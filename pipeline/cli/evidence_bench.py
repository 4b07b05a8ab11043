"""`crosscheck bench evidence` and `crosscheck bench stacking`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.bench_options import Labelled, Root, Seeds, Sets, measure, present, sets_of
from pipeline.cli.console import AsJson, Overrides, explained, level, show_table

if TYPE_CHECKING:
    from pipeline.bench.evidence import EvidenceResult
    from pipeline.bench.stacking import StackingResult


@explained
def evidence(
    config: Sets = None,
    labelled: Labelled = 20,
    images: Annotated[int, typer.Option(help="Most images of the test split.", min=2)] = 60,
    seed: Seeds = None,
    overrides: Overrides = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Measure what each kind of evidence adds to p(correct), and what another detector's checks would add.

    Every box of the same test images is checked in every way, with up to five pastes, and p(correct) is fitted on the
    other folds of these images. The other detector learnt from images that the next of the seeds draws; it looks at
    the same boxes, pasted into images that it did not learn from, and at the images themselves ("another's word").
    """
    from pipeline.bench.evidence import EvidenceCell, EvidenceResult
    from pipeline.bench.scenario import scenarios

    seeds = seed or [0, 1, 2]
    following = dict(zip(seeds, [*seeds[1:], seeds[0] if len(seeds) > 1 else seeds[0] + 1], strict=True))
    start = scenarios(sets_of(config), [labelled], seeds, root, overrides or [])
    cells = [EvidenceCell(scenario, images, following[scenario.seed]) for scenario in start]
    present(measure(root / "evidence", EvidenceResult, cells), _show, as_json)


def _show(results: Sequence[EvidenceResult]) -> None:
    names = [f"{result.set} {result.seed}" for result in results]
    for title, column in (("AUROC of p(correct)", "auroc"), ("Recall at a precision of 0.95", "recall_at_p95")):
        show_table(
            title,
            ["known beside the detection", *names],
            [(kind, *(level(getattr(result, column)[kind]) for result in results)) for kind in results[0].auroc],
        )


@explained
def stacking(
    config: Sets = None,
    labelled: Labelled = 40,
    images: Annotated[int, typer.Option(help="Most images of the test split.", min=2)] = 60,
    seed: Seeds = None,
    overrides: Overrides = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Measure what a second member of the committee adds to p(correct), beside weighted boxes fusion of two members.

    Members are those of a committee of four with selection.stacking, so that each learns half of the labelled images.
    One of a pair proposes in the test images, and p(correct) is fitted on the other folds of these images, with and
    without what its partner says. Fused are the boxes of the same two.
    """
    from pipeline.bench.scenario import scenarios
    from pipeline.bench.stacking import StackingCell, StackingResult

    start = scenarios(sets_of(config), [labelled], seed or [0, 1, 2], root, overrides or [])
    cells = [StackingCell(scenario, images) for scenario in start]
    present(measure(root / "stacking", StackingResult, cells), _show_stacking, as_json)


def _show_stacking(results: Sequence[StackingResult]) -> None:
    rows = [
        (own.set, own.seed, name, way.boxes, *map(level, (way.map, way.auroc, way.recall_at_p95)))
        for own in results
        for name, way in own.ways.items()
    ]
    columns = ["set", "seed", "ranked by", "boxes", "mAP", "AUROC", "recall at precision 0.95"]
    show_table("Boxes in test images, ranked by one member or two", columns, rows)
