"""`crosscheck versions list`, `show`, `diff` and `blame`: what happened to the dataset."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsCsv,
    AsJson,
    Config,
    Overrides,
    explained,
    for_programs,
    level,
    output,
    settings_from,
    show_table,
)
from pipeline.cli.versions.named import Named, counted, in_words, store_of, version_of

if TYPE_CHECKING:
    from pandas import DataFrame

    from pipeline.dataset.blame import Change
    from pipeline.dataset.tags import Tags
    from pipeline.dataset.versions import Version
    from pipeline.settings import Settings


@explained
def list_(
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List every version: when, why, by which cycle and model, and what it holds."""
    settings = settings_from(config, overrides)
    history, tags = store_of(settings).history(), _tags(settings)
    values = [{**asdict(version), "tags": tags.of(version.number)} for version in history]
    if not for_programs(values, lambda: _table(history, tags), as_json, as_csv):
        columns = ["version", "tags", "committed (UTC)", "why", "model", "images", "boxes"]
        show_table("Dataset versions", columns, [_row(version, tags) for version in history])


@explained
def show(version: Named, config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show what one version holds and how it came about."""
    from pipeline.errors import ArtefactError

    settings = settings_from(config, overrides)
    number = version_of(settings, version)
    history = {each.number: each for each in store_of(settings).history()}
    if number not in history:
        raise ArtefactError(f"Expected a dataset version from 0 to {max(history)}, got {number}.")
    chosen, tags = history[number], _tags(settings).of(number)
    origin = {
        name: getattr(chosen, name) for name in ("parent", "cycle", "model_id", "settings_digest", "code_version")
    }
    output(
        {**asdict(chosen), "tags": tags},
        as_json,
        f"Version {number}, committed {chosen.timestamp:%Y-%m-%d %H:%M} UTC: {chosen.why}",
        *([f"tags: {', '.join(tags)}"] if tags else []),
        *(f"{kind}: {counted(counts)}" for kind, counts in chosen.counts.items()),
        *(f"{name}: {value}" for name, value in origin.items() if value not in {None, ""}),
    )


@explained
def diff(
    old: Named,
    new: Named,
    html: Annotated[
        str | None, typer.Option("--html", help="Also write a page with changed images before and after.")
    ] = None,
    most: Annotated[int, typer.Option("--images", help="Most images on the page.", min=0, max=1000)] = 50,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show what changed between two versions: images by state and split, boxes by source and label."""
    from pipeline.dataset.diff import diff_stored
    from pipeline.report.frames import differences

    settings = settings_from(config, overrides)
    store = store_of(settings)
    if html is not None:
        from pipeline.cli.versions.diff_page import write_page

        write_page(settings, (version_of(settings, old), version_of(settings, new)), html, most)
    changes = diff_stored(store, version_of(settings, old), version_of(settings, new))
    values = changes.to_json()
    if for_programs(values, lambda: differences(changes.numbers()), as_json, as_csv):
        return
    output(values, False, *in_words(changes))


@explained
def blame(
    image: Annotated[str, typer.Argument(help="An image_id or how it begins, a path, or a file name.")],
    box: Annotated[str | None, typer.Option("--box", help="Only the box of this box_id, and what it began as.")] = None,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show every version that changed an image or a box of it: why, who or what drew it, and how sure it was."""
    from pipeline.labeling.feedback.provenance import blame_image
    from pipeline.report import frames
    from pipeline.workspace import Workspace

    changes = blame_image(Workspace(settings_from(config, overrides).workspace), image, box)
    rows = frames.blame(changes)
    values = json.loads(rows.to_json(orient="records", date_format="iso"))
    if not for_programs(values, lambda: rows, as_json, as_csv):
        columns = ["version", "why", "change", "box", "drawn by", "p(correct)", "score", "proposal", "detail"]
        show_table(f"What changed {image}", columns, [_change_row(change) for change in changes])


def _tags(settings: Settings) -> Tags:
    """Names that people gave, and `champion`."""
    from pipeline.dataset.tags import CHAMPION, Tags, read_tags
    from pipeline.detector.models.dataset_versions import champion_version
    from pipeline.workspace import Workspace

    workspace = Workspace(settings.workspace)
    champion = champion_version(workspace)
    return Tags({**read_tags(workspace).versions, **({} if champion is None else {CHAMPION: champion})})


def _table(history: list[Version], tags: Tags) -> DataFrame:
    from pipeline.report.frames import versions

    return versions(history, tags)


def _row(version: Version, tags: Tags) -> tuple[object, ...]:
    committed, images = f"{version.timestamp:%Y-%m-%d %H:%M}", counted(version.counts.get("images", {}))
    named = " ".join(tags.of(version.number))
    return (version.number, named, committed, version.why, version.model_id, images, version.count("boxes"))


def _change_row(change: Change) -> tuple[object, ...]:
    start = (change.version.number, change.version.why, change.change)
    box = change.box
    if box is None:
        return (*start, "", "", "", "", "", change.detail)
    place = f"{box.label} ({', '.join(f'{value:.0f}' for value in box.xyxy)}) {box.box_id}"
    people = [
        box.source,
        f"by {box.annotator}" if box.annotator else "",
        f"from {box.model_id}" if box.model_id else "",
    ]
    took = f"{change.seconds:.0f} s on the image" if change.seconds is not None else ""
    measured = [level(box.p_correct), level(box.score)]
    note = "; ".join(filter(None, [change.detail, took]))
    return (*start, place, " ".join(filter(None, people)), *measured, box.proposal_id, note)
