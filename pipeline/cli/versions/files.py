"""`crosscheck versions export` and `verify`: the files of a version."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsCsv,
    AsJson,
    Config,
    Overrides,
    absolute_place,
    explained,
    for_programs,
    output,
    progress_bars,
    settings_from,
)
from pipeline.cli.versions.named import Named, counted, store_of, version_of
from pipeline.records import Split


@explained
def export(
    version: Named,
    folder: Annotated[str, typer.Option("--to", help="Folder or URI to write to.")],
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
    from pipeline.dataset.export import LEARNING_AND_EVALUATION, ExportSpec
    from pipeline.dataset.export import export as write
    from pipeline.folder import Folder

    settings = settings_from(config, overrides)
    spec = ExportSpec(format_, splits or LEARNING_AND_EVALUATION, pseudo, copy)
    place = Folder(absolute_place(folder))
    written = write(store_of(settings), version_of(settings, version), spec, place, settings.data.labels)
    lost = [f"{written.lost_regions} ignore regions have no place in this format."] if written.lost_regions else []
    counts = f"{counted(written.images)} images with {sum(written.boxes.values())} boxes"
    output(asdict(written), as_json, f"Wrote {counts} to {folder}; images are at {written.images_root}.", *lost)


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
        found = look(store_of(settings), version_of(settings, version), progress)
    if not for_programs(found, lambda: damages(found.damaged), as_json, as_csv):
        lines = [f"{damage.problem}: {damage.uri} ({damage.detail})" for damage in found.damaged]
        table = any(not damage.image_id for damage in found.damaged)
        summary = (
            "The sample table is not what was committed; its images were not looked at."
            if table
            else f"{len(found.damaged)} of {found.images} images are not what was imported."
        )
        output(found, False, *lines, summary if lines else f"All {found.images} images are what was imported.")
    if found.damaged:
        raise typer.Exit(1)
