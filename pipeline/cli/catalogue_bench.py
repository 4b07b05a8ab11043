"""`crosscheck bench engines`, `frames`, `shifted` and `tiles`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.bench_options import Labelled, Root, Seeds, Sets, measure, present, sets_of
from pipeline.cli.console import AsJson, Overrides, ends, explained, level, number, show_table

if TYPE_CHECKING:
    from pipeline.bench.engines import EnginesResult
    from pipeline.bench.frames import FramesResult
    from pipeline.bench.shifted import ShiftedResult
    from pipeline.bench.tiles import TilesResult


@explained
def shifted(
    config: Sets = None,
    overrides: Overrides = None,
    labelled: Labelled = 48,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Measure what `crosscheck models adapt` is worth on images of another camera.

    The test split is seen with half of its contrast in a warm light, before and after the statistics of the detector
    were estimated on images of the pool that are seen so too.
    """
    from pipeline.bench.scenario import scenarios
    from pipeline.bench.shifted import ShiftedCell, ShiftedResult

    start = scenarios(sets_of(config), [labelled], seed or [0, 1, 2], root, overrides or ())
    present(measure(root / "shifted", ShiftedResult, list(map(ShiftedCell, start))), _show_shifted, as_json)


@explained
def tiles(
    config: Sets = None,
    overrides: Overrides = None,
    labelled: Labelled = 48,
    images: Annotated[int, typer.Option(help="Large images.", min=1)] = 4,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Measure what images of 4,000 pixels cost and show, by the share of their tiles that is looked at.

    They are made of images of the test split at their own size, on a plain ground. Cost is in detection passes.
    """
    from pipeline.bench.scenario import scenarios
    from pipeline.bench.tiles import TilesCell, TilesResult

    start = scenarios(sets_of(config), [labelled], seed or [0, 1, 2], root, overrides or ())
    cells = [TilesCell(scenario, images) for scenario in start]
    present(measure(root / "tiles", TilesResult, cells), _show_tiles, as_json)


@explained
def frames(
    config: Sets = None,
    overrides: Overrides = None,
    labelled: Labelled = 48,
    count: Annotated[int, typer.Option("--frames", help="Frames of a sequence.", min=2)] = 12,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Measure what the frames around a box add to its p(correct): a moving average, and a small GRU.

    A window pans and zooms over every image of val and test, so that the truth of each frame is known; blur,
    brightness and noise change from frame to frame. The GRU is fitted on val, everything is measured on test.
    """
    from pipeline.bench.frames import FramesCell, FramesResult
    from pipeline.bench.scenario import scenarios

    start = scenarios(sets_of(config), [labelled], seed or [0, 1, 2], root, overrides or ())
    cells = [FramesCell(scenario, count) for scenario in start]
    present(measure(root / "frames", FramesResult, cells), _show_frames, as_json)


@explained
def engines(
    config: Sets = None,
    overrides: Overrides = None,
    labelled: Labelled = 48,
    seed: Seeds = None,
    root: Root = Path("runs/bench"),
    as_json: AsJson = False,
) -> None:
    """Measure what torch, ONNX Runtime, int8, and int8 with float32 for doubtful images find, and how fast.

    On processors, on the test split. Of two precisions, three values of `mining.float32_share`.
    """
    from pipeline.bench.engines import EnginesCell, EnginesResult
    from pipeline.bench.scenario import scenarios

    start = scenarios(sets_of(config), [labelled], seed or [0, 1, 2], root, overrides or ())
    present(measure(root / "engines", EnginesResult, list(map(EnginesCell, start))), _show_engines, as_json)


def _show_engines(results: Sequence[EnginesResult]) -> None:
    rows = [
        (
            *(own.set, own.seed, one.engine),
            *map(level, (one.share, one.twice, one.map, one.differing)),
            number(one.images_per_second),
        )
        for own in results
        for one in own.engines
    ]
    columns = ["set", "seed", "engine", "share", "looked at twice", "mAP", "proposals apart", "images per second"]
    show_table("Engines", columns, rows)


def _show_frames(results: Sequence[FramesResult]) -> None:
    rows = [
        (own.set, own.seed, way.by, *map(level, (way.auroc, way.ap, way.log_loss)), ends(way.behind))
        for own in results
        for way in own.judged
    ]
    columns = ["set", "seed", "by", "AUROC", "AP", "log loss", "AUROC of the GRU less this, 95 %"]
    show_table("p(correct) of boxes in frames", columns, rows)
    counts = [(own.set, own.seed, each.kind, each.count, each.right) for own in results for each in own.flicker]
    show_table("Flicker", ["set", "seed", "frames", "count", "right"], counts)


def _show_shifted(results: Sequence[ShiftedResult]) -> None:
    rows = [(own.set, own.labelled, own.seed, *map(level, (own.clean, own.shifted, own.adapted))) for own in results]
    show_table("mAP on test", ["set", "labelled", "seed", "clean", "shifted", "shifted, adapted"], rows)


def _show_tiles(results: Sequence[TilesResult]) -> None:
    rows = [(own.set, own.seed, point.share, point.passes, level(point.map)) for own in results for point in own.curve]
    show_table("Large images", ["set", "seed", "share of tiles", "passes", "mAP"], rows)
