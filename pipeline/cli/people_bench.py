"""`crosscheck bench asking` and `crosscheck bench labeling`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.bench_options import Root, Sets, measure, sets_of
from pipeline.cli.console import AsJson, Overrides, explained, output, progress_bars, show_table

if TYPE_CHECKING:
    from pipeline.bench.asking import AskingResult


@explained
def asking(
    config: Sets = None,
    labelled: Annotated[
        list[int] | None, typer.Option(help="Images that start labelled; as often as needed. Default: 12, 24 and 48.")
    ] = None,
    images: Annotated[int, typer.Option(help="How many images people are asked about.", min=1)] = 20,
    seed: Annotated[list[int] | None, typer.Option("--seed", help="As often as needed. Default: 0.")] = None,
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
    from pipeline.bench.scenario import scenarios

    start = scenarios(sets_of(config), labelled or [12, 24, 48], seed or [0], root, overrides or ())
    cells = [AskingCell(scenario, images) for scenario in start]
    _show_asking(measure(results or root / "asking", AskingResult, cells))


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
