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
    progress_bars,
    settings_from,
    show_csv,
    show_table,
)
from pipeline.records import Split

if TYPE_CHECKING:
    from pipeline.dataset.blame import Change
    from pipeline.dataset.store import SampleStore
    from pipeline.dataset.tags import Tags
    from pipeline.dataset.versions import Version
    from pipeline.settings import Settings

Named = Annotated[
    str, typer.Argument(help="Version number, tag, `latest`, or `champion`: what the model in use learnt from.")
]

app = typer.Typer(
    no_args_is_help=True, help="List, show, tag, compare, explain, verify, export and restore dataset versions."
)


def _store(settings: Settings) -> SampleStore:
    from pipeline.dataset.store import SampleStore
    from pipeline.workspace import Workspace

    return SampleStore(Workspace(settings.workspace).samples_uri)


def _number(settings: Settings, name: str) -> int:
    from pipeline.detector.models.dataset_versions import version_named
    from pipeline.workspace import Workspace

    return version_named(Workspace(settings.workspace), name)


def _tags(settings: Settings) -> Tags:
    """Names that people gave, and `champion`."""
    from pipeline.dataset.tags import CHAMPION, Tags, read_tags
    from pipeline.detector.models.dataset_versions import champion_version
    from pipeline.workspace import Workspace

    workspace = Workspace(settings.workspace)
    champion = champion_version(workspace)
    return Tags({**read_tags(workspace).versions, **({} if champion is None else {CHAMPION: champion})})


@app.command("list")
@explained
def list_(
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List every version: when, why, by which cycle and model, and what it holds."""
    settings = settings_from(config, overrides)
    history, tags = _store(settings).history(), _tags(settings)
    if as_csv:
        from pipeline.report.frames import versions

        show_csv(versions(history, tags))
    elif as_json:
        output([{**asdict(version), "tags": tags.of(version.number)} for version in history], True)
    else:
        columns = ["version", "tags", "committed (UTC)", "why", "model", "images", "boxes"]
        show_table("Dataset versions", columns, [_row(version, tags) for version in history])


@app.command()
@explained
def show(version: Named, config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show what one version holds and how it came about."""
    from pipeline.errors import ArtefactError

    settings = settings_from(config, overrides)
    number = _number(settings, version)
    history = {each.number: each for each in _store(settings).history()}
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
        *(f"{kind}: {_counts(counts)}" for kind, counts in chosen.counts.items()),
        *(f"{name}: {value}" for name, value in origin.items() if value not in {None, ""}),
    )


@app.command()
@explained
def diff(
    old: Named,
    new: Named,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write a page with changed images before and after.")
    ] = None,
    most: Annotated[int, typer.Option("--images", help="Most images on the page.", min=0, max=1000)] = 50,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show what changed between two versions: images by state and split, boxes by source and label."""
    from pipeline.dataset.diff import diff_stored

    settings = settings_from(config, overrides)
    store = _store(settings)
    if html is not None:
        from pipeline.cli.diff_page import write_page

        write_page(settings, (_number(settings, old), _number(settings, new)), html, most)
    changes = diff_stored(store, _number(settings, old), _number(settings, new))
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
    pairs = [
        f"boxes {pair.change}: {pair.number} {pair.label} ({pair.source}, mean IoU {pair.iou:.3f})"
        for pair in changes.box_pairs
    ]
    output(values, as_json, *(images + boxes + pairs or ["Nothing changed."]))


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
    version: Named,
    folder: Annotated[Path, typer.Option("--to", help="Folder to write to.")],
    format_: Annotated[Literal["coco", "yolo", "voc"], typer.Option("--format", help="coco, yolo or voc.")] = "coco",
    pseudo: Annotated[bool, typer.Option("--pseudo", help="With pseudo-labelled images.")] = False,
    copy: Annotated[
        bool,
        typer.Option("--copy", help="With copies of the images; else YOLO gets links to them, the others their paths."),
    ] = False,
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
        _number(settings, version),
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
    version: Named,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "restored by hand",
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Bring back the rows of an earlier version, as a new version; nothing is lost."""
    from pipeline.cycle import only_one
    from pipeline.stages.report import renew_index

    settings = settings_from(config, overrides)
    with only_one(settings):
        number = _number(settings, version)
        made = _store(settings).restore(number, reason)
        renew_index(settings)
    output(
        {"version": made, "restored": number},
        as_json,
        f"Version {made} holds the rows of version {number}.",
        "Answers harvested since then stay out of it; `crosscheck harvest --full --again` takes them in.",
    )


@app.command()
@explained
def tag(
    version: Named,
    name: Annotated[str, typer.Argument(help="A letter, then letters, digits, '.', '-' and '_'.")],
    move: Annotated[bool, typer.Option("--move", help="Take the name from the version that has it.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take the name away from the version.")] = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Give a version a name that every command takes for its number; `vacuum` keeps versions that have one."""
    from pipeline.cycle import only_one
    from pipeline.dataset.tags import remove_tag, tag_version
    from pipeline.errors import ArtefactError
    from pipeline.workspace import Workspace

    settings = settings_from(config, overrides)
    with only_one(settings):
        number, latest = _number(settings, version), _store(settings).version()
        if number > latest:
            raise ArtefactError(f"Expected a dataset version from 0 to {latest}, got {number}.")
        if remove:
            remove_tag(Workspace(settings.workspace), name)
        else:
            tag_version(Workspace(settings.workspace), name, number, move)
    values = {"tag": name, "version": None if remove else number}
    output(values, as_json, f"Nothing is called {name} any more." if remove else f"Version {number} is {name}.")


@app.command()
@explained
def verify(
    version: Named = "latest",
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Read and hash the table and every image of a version again; name what is missing or changed, and exit with 1."""
    from pipeline.dataset.verify import verify as look
    from pipeline.report.frames import damages

    settings = settings_from(config, overrides)
    with progress_bars() as progress:
        found = look(_store(settings), _number(settings, version), progress)
    if as_csv:
        show_csv(damages(found.damaged))
    else:
        lines = [f"{damage.problem}: {damage.uri} ({damage.detail})" for damage in found.damaged]
        table = any(not damage.image_id for damage in found.damaged)
        summary = (
            "The sample table is not what was committed; its images were not looked at."
            if table
            else f"{len(found.damaged)} of {found.images} images are not what was imported."
        )
        output(found, as_json, *lines, summary if lines else f"All {found.images} images are what was imported.")
    if found.damaged:
        raise typer.Exit(1)


@app.command()
@explained
def vacuum(
    keep: Annotated[int, typer.Option(help="So many of the newest versions stay.", min=1)] = 10,
    apply: Annotated[bool, typer.Option("--apply", help="Remove; otherwise only show what would go.")] = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Remove the rows of old versions that have no tag and that no model learnt from; the history stays."""
    from pipeline.stages.vacuum import vacuum as make_room

    gone = make_room(settings_from(config, overrides), keep, apply=apply)
    names = ", ".join(map(str, gone.versions)) or "no version"
    did = "Removed" if apply else "Would remove"
    hint = (
        []
        if apply or not gone.versions
        else ["--apply removes them; they cannot be restored, compared or exported then."]
    )
    values = {"versions": gone.versions, "bytes": gone.size, "applied": apply}
    output(values, as_json, f"{did} the rows of {names} ({gone.size / 1e6:.1f} MB).", *hint)


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


def _row(version: Version, tags: Tags) -> tuple[object, ...]:
    committed, images = f"{version.timestamp:%Y-%m-%d %H:%M}", _counts(version.counts.get("images", {}))
    named = " ".join(tags.of(version.number))
    return (version.number, named, committed, version.why, version.model_id, images, version.count("boxes"))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
