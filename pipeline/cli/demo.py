"""`crosscheck demo`: generated images, a simulated annotator, and whole cycles on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import DEFAULT_CONFIG, OUT, AsJson, explained, output, progress_bars, settings_from
from pipeline.cli.running import run_cycle

if TYPE_CHECKING:
    from pipeline.settings import Settings


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo ends with.

    Attributes:
        test_map: Test mAP of the model in use after each cycle.
        report: Path of the last cycle's page.
        index: Path of the index.
    """

    test_map: tuple[float, ...]
    report: str
    index: str


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
            data.resolve(),
            settings.seed,
            beside="visible" if settings.detector.visible_box else "mask" if settings.detector.masks else None,
            progress=progress,
        )
    if fresh:
        _drop(settings)
    while (number := _next_cycle(settings)) <= cycles:
        outcome = run_cycle(config, overrides)
        if not as_json:
            OUT.print(f"cycle {number}: {outcome['summary']}", markup=False)
    ended = _outcome(settings, cycles)
    first, last = ended.test_map[0], ended.test_map[-1]
    output(ended, as_json, f"test mAP: {first:.3f} after cycle 0, {last:.3f} after cycle {cycles}", ended.report)


def _drop(settings: Settings) -> None:
    from pipeline.folder import Folder

    workspace = Folder(settings.workspace)
    for name in workspace.names():
        workspace.remove(name)


def _next_cycle(settings: Settings) -> int:
    """The active cycle, or the one after the last."""
    from pipeline.cycle import last_cycle, unfinished_cycle

    active, last = unfinished_cycle(settings), last_cycle(settings)
    return active if active is not None else last.number + 1 if last else 0


def _outcome(settings: Settings, cycles: int) -> DemoOutcome:
    from pipeline.artefacts import GateOutcome, ReportRun
    from pipeline.cycle import load_cycle

    run = [load_cycle(settings.workspace, number) for number in range(cycles + 1)]
    champions, promoted = [], 0.0
    for gate in (cycle.read(GateOutcome) for cycle in run):
        promoted = gate.test.map or 0.0 if gate.promoted else promoted
        champions.append(promoted)
    pages = run[-1].read(ReportRun)
    return DemoOutcome(tuple(champions), pages.page, pages.index)
