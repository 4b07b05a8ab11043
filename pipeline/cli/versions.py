"""`crosscheck versions`: the history of the dataset."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsCsv,
    AsJson,
    Config,
    Overrides,
    explained,
    level,
    output,
    settings_from,
    show_csv,
    show_table,
)
from pipeline.records import Split

if TYPE_CHECKING:
    from pipeline.dataset.blame import Change
    from pipeline.dataset.store import SampleStore
    from pipeline.dataset.versions import Version
    from pipeline.settings import Settings

Number = Annotated[int, typer.Argument(help="Version number, see `crosscheck versions list`.", min=0)]

app = typer.Typer(no_args_is_help=True, help="List, show, compare, explain, export and restore dataset versions.")


def _store(settings: Settings) -> SampleStore:
    from pipeline.dataset.store import SampleStore
    from pipeline.workspace import Workspace

    return SampleStore(Workspace(settings.workspace).samples_uri)


@app.command("list")
@explained
def list_(
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List every version: when, why, by which cycle and model, and what it holds."""
    history = _store(settings_from(config, overrides)).history()
    if as_csv:
        from pipeline.report.frames import versions

        show_csv(versions(history))
    elif as_json:
        output([asdict(version) for version in history], True)
    else:
        columns = ["version", "committed (UTC)", "why", "model", "images", "boxes"]
        show_table("Dataset versions", columns, [_row(version) for version in history])


@app.command()
@explained
def show(
    version: Number, config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Show what one version holds and how it came about."""
    from pipeline.errors import ArtefactError

    history = {each.number: each for each in _store(settings_from(config, overrides)).history()}
    if version not in history:
        raise ArtefactError(f"Expected a dataset version from 0 to {max(history)}, got {version}.")
    chosen = history[version]
    origin = {name: getattr(chosen, name) for name in ("parent", "cycle", "model_id", "settings_digest")}
    output(
        asdict(chosen),
        as_json,
        f"Version {version}, committed {chosen.timestamp:%Y-%m-%d %H:%M} UTC: {chosen.reason}",
        *(f"{kind}: {_counts(counts)}" for kind, counts in chosen.counts.items()),
        *(f"{name}: {value}" for name, value in origin.items() if value not in {None, ""}),
    )


@app.command()
@explained
def diff(
    old: Number,
    new: Number,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show what changed between two versions: images by state, boxes by source and label."""
    from pipeline.dataset.diff import diff_versions

    store = _store(settings_from(config, overrides))
    changes = diff_versions(store.table(old), store.table(new))
    if as_csv:
        from pipeline.report.frames import differences

        show_csv(differences(changes))
        return
    values = changes.to_json()
    images = [f"images {kind}: {_counts(counts)}" for kind, counts in values["images"].items() if counts]
    boxes = [
        f"boxes {kind}: {counts['total']} ({_counts(counts['by_source'])}; {_counts(counts['by_label'])})"
        for kind, counts in values["boxes"].items()
        if counts["total"]
    ]
    output(values, as_json, *(images + boxes or ["Nothing changed."]))


@app.command()
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
    if as_csv:
        show_csv(frames.blame(changes))
    elif as_json:
        output(json.loads(frames.blame(changes).to_json(orient="records", date_format="iso")), True)
    else:
        columns = ["version", "why", "change", "box", "drawn by", "p(correct)", "score", "proposal", "detail"]
        show_table(f"What changed {image}", columns, [_change_row(change) for change in changes])


@app.command()
@explained
def export(
    version: Number,
    folder: Annotated[Path, typer.Option("--to", help="Folder to write to.")],
    format_: Annotated[Literal["coco", "yolo", "voc"], typer.Option("--format", help="coco, yolo or voc.")] = "coco",
    pseudo: Annotated[bool, typer.Option("--pseudo", help="With pseudo-labelled images.")] = False,
    copy: Annotated[bool, typer.Option("--copy", help="With copies of the images.")] = False,
    splits: Annotated[list[Split] | None, typer.Option("--split", help="As often as needed; all by default.")] = None,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write a version's labels in another tool's format."""
    from pipeline.dataset.export import LEARNING_AND_EVALUATION
    from pipeline.dataset.export import export as write
    from pipeline.workspace import Folder

    settings = settings_from(config, overrides)
    written = write(
        _store(settings),
        version,
        format_,
        Folder(folder.resolve()),
        settings.data.labels,
        splits or LEARNING_AND_EVALUATION,
        include_pseudo=pseudo,
        copy_images=copy,
    )
    lost = [f"{written.lost_regions} ignore regions have no place in this format."] if written.lost_regions else []
    counts = f"{_counts(written.images)} images with {sum(written.boxes.values())} boxes"
    output(asdict(written), as_json, f"Wrote {counts} to {folder}; images are at {written.images_root}.", *lost)


@app.command()
@explained
def restore(
    version: Number,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "restored by hand",
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Bring back the rows of an earlier version, as a new version; nothing is lost."""
    from pipeline.cycle import only_one

    settings = settings_from(config, overrides)
    with only_one(settings):
        made = _store(settings).restore(version, reason)
    output(
        {"version": made, "restored": version},
        as_json,
        f"Version {made} holds the rows of version {version}.",
        "Answers harvested since then stay out of it; `crosscheck harvest --full --again` takes them in.",
    )


def _change_row(change: Change) -> tuple[object, ...]:
    start = (change.version.number, change.version.reason, change.change)
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
    told = "; ".join(filter(None, [change.detail, took]))
    return (*start, place, " ".join(filter(None, people)), *measured, box.proposal_id, told)


def _row(version: Version) -> tuple[object, ...]:
    committed, images = f"{version.timestamp:%Y-%m-%d %H:%M}", _counts(version.counts.get("images", {}))
    return (version.number, committed, version.reason, version.model_id, images, version.count("boxes"))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
