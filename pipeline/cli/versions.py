"""`crosscheck versions`: the history of the dataset."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.console import DEFAULT_CONFIG, AsJson, Config, Overrides, explained, settings_from, show_table, tell
from pipeline.records import Split

if TYPE_CHECKING:
    from pipeline.dataset.store import SampleStore
    from pipeline.settings import Settings

Number = Annotated[int, typer.Argument(help="Version number, see `crosscheck versions list`.", min=0)]

app = typer.Typer(no_args_is_help=True, help="List, show, compare, export and restore dataset versions.")


def _store(settings: Settings) -> SampleStore:
    from pipeline.dataset.store import SampleStore
    from pipeline.workspace import Workspace

    return SampleStore(Workspace(settings.workspace).samples_uri)


@app.command("list")
@explained
def list_(config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """List every version: when, why, by which cycle and model, and what it holds."""
    history = _store(settings_from(config, overrides)).history()
    if as_json:
        tell([asdict(one) for one in history], True)
        return
    rows = [
        (
            one.number,
            f"{one.timestamp:%Y-%m-%d %H:%M}",
            one.reason,
            one.model_id,
            _counts(one.counts.get("images", {})),
            sum(one.counts.get("boxes", {}).values()),
        )
        for one in history
    ]
    show_table("Dataset versions", ["version", "committed (UTC)", "why", "model", "images", "boxes"], rows)


@app.command()
@explained
def show(
    version: Number, config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Show what one version holds and how it came about."""
    from pipeline.errors import ArtefactError

    history = {one.number: one for one in _store(settings_from(config, overrides)).history()}
    if version not in history:
        raise ArtefactError(f"Expected a dataset version from 0 to {max(history)}, got {version}.")
    one = history[version]
    origin = {name: getattr(one, name) for name in ("parent", "cycle", "model_id", "settings_digest")}
    tell(
        asdict(one),
        as_json,
        f"Version {one.number}, committed {one.timestamp:%Y-%m-%d %H:%M} UTC: {one.reason}",
        *(f"{kind}: {_counts(counts)}" for kind, counts in one.counts.items()),
        *(f"{name}: {value}" for name, value in origin.items() if value not in {None, ""}),
    )


@app.command()
@explained
def diff(
    old: Number, new: Number, config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Show what changed between two versions: images by state, boxes by source and label."""
    from pipeline.dataset.diff import diff_versions

    store = _store(settings_from(config, overrides))
    told = diff_versions(store.table(old), store.table(new)).to_json()
    images = [f"images {kind}: {_counts(counts)}" for kind, counts in told["images"].items() if counts]
    boxes = [
        f"boxes {kind}: {one['total']} ({_counts(one['by_source'])}; {_counts(one['by_label'])})"
        for kind, one in told["boxes"].items()
        if one["total"]
    ]
    tell(told, as_json, *(images + boxes or ["Nothing changed."]))


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
    told = write(
        _store(settings),
        version,
        format_,
        Folder(folder.resolve()),
        settings.data.labels,
        splits or LEARNING_AND_EVALUATION,
        include_pseudo=pseudo,
        copy_images=copy,
    )
    lost = [f"{told.lost_regions} ignore regions have no place in this format."] if told.lost_regions else []
    counts = f"{_counts(told.images)} images with {sum(told.boxes.values())} boxes"
    tell(asdict(told), as_json, f"Wrote {counts} to {folder}; images are at {told.images_root}.", *lost)


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
    from pipeline.stages.cycle import only_one

    settings = settings_from(config, overrides)
    with only_one(settings):
        made = _store(settings).restore(version, reason)
    tell(
        {"version": made, "restored": version},
        as_json,
        f"Version {made} holds the rows of version {version}.",
        "Answers harvested since then stay out of it; `crosscheck harvest --full --again` takes them in.",
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
