"""`crosscheck bench evidence`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.bench_options import Labelled, Root, Seeds, Sets, measure, present, sets_of
from pipeline.cli.console import AsJson, Overrides, explained, level, show_table

if TYPE_CHECKING:
    from pipeline.bench.evidence import EvidenceResult


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
