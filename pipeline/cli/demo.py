"""`crosscheck demo`: generated images, a simulated annotator, and whole cycles on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.console import DEFAULT_CONFIG, OUT, AsJson, explained, progress_bars, settings_from, tell
from pipeline.cli.running import run_cycle

if TYPE_CHECKING:
    from pipeline.settings import Settings


@explained
def demo(
    cycles: Annotated[int, typer.Option(help="Full cycles after the opening one.", min=0, max=100)] = 2,
    config: Annotated[Path, typer.Option("--config", "-c", help="Settings of the demo.")] = DEFAULT_CONFIG,
    data: Annotated[Path, typer.Option(help="Where the images are generated.")] = Path("data/demo"),
    overrides: Annotated[list[str] | None, typer.Option("--set", "-s", help="section.key=value")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again: drops the demo's workspace first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Generate images of workshop parts and run whole cycles on them, with a simulated annotator.

    Cycle 0 learns from 24 labelled images and asks its first questions; each cycle after it harvests the answers,
    learns from them and from pseudo-labels, and asks again. A demo that was killed goes on where it was. The last
    line is the path of the report.
    """
    from pipeline.dataset.demo import generate_demo

    settings = settings_from(config, overrides)
    with progress_bars() as progress:
        generate_demo(
            data.resolve(), settings.seed, progress=lambda done, total: progress("drawing images", done, total)
        )
    if fresh:
        _drop(settings)
    while (number := _next_cycle(settings)) <= cycles:
        told = run_cycle(config, overrides)
        if not as_json:
            OUT.print(f"cycle {number}: {told['summary']}", markup=False)
    outcome = _outcome(settings, cycles)
    first, last = outcome["test_map"][0], outcome["test_map"][-1]
    tell(outcome, as_json, f"test mAP: {first:.3f} after cycle 0, {last:.3f} after cycle {cycles}", outcome["report"])


def _drop(settings: Settings) -> None:
    from pipeline.workspace import Folder

    path = Path(settings.workspace)
    Folder(path.parent).remove(path.name)


def _next_cycle(settings: Settings) -> int:
    """The cycle under way, or the one after the last."""
    from pipeline.stages.cycle import DONE
    from pipeline.workspace import Workspace

    workspace = Workspace(settings.workspace)
    return sum(workspace.cycle(number).exists(DONE) for number in workspace.cycles())


def _outcome(settings: Settings, cycles: int) -> dict[str, Any]:
    from pipeline.report.contents import page_name
    from pipeline.workspace import Workspace

    workspace = Workspace(settings.workspace)
    metrics = [workspace.cycle(number).read_json("metrics.json") for number in range(cycles + 1)]
    return {
        "test_map": [_champion_map(one, metrics[:index]) for index, one in enumerate(metrics)],
        "report": workspace.reports.path(page_name(cycles)),
        "index": workspace.reports.path("index.html"),
    }


def _champion_map(metrics: dict[str, Any], before: list[dict[str, Any]]) -> float:
    """Test mAP of the model in use after a cycle: the candidate, or the last that was promoted."""
    promoted = [one for one in [*before, metrics] if one["promoted"]]
    return float(promoted[-1]["test"]["map"])
