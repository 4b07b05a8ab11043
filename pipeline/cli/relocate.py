"""`crosscheck relocate`: images that have moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsJson,
    Config,
    Overrides,
    absolute_place,
    explained,
    output,
    progress_bars,
    settings_from,
)

if TYPE_CHECKING:
    from pipeline.settings import Settings


@explained
def relocate(
    old: Annotated[str, typer.Argument(help="Folder or URI that the images were below.")],
    new: Annotated[str, typer.Argument(help="Folder or URI that they are below now.")],
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Tell the sample table that images have moved; every file is hashed at its new place first."""
    from pipeline.cycle import between_cycles
    from pipeline.dataset.relocation import Move
    from pipeline.dataset.relocation import relocate as write_anew
    from pipeline.dataset.store import SampleStore
    from pipeline.workspace import Workspace

    settings = settings_from(config, overrides)
    with between_cycles(settings, "and reads images where they were"), progress_bars() as progress:
        store = SampleStore(Workspace(settings.workspace).samples_uri)
        move = Move(absolute_place(old), absolute_place(new))
        images, version = write_anew(store, move, settings_digest=settings.digest(), progress=progress)
        waiting = store.history()[-1].count("images", "queued")
    output(
        {"images": images, "version": version, "waiting": waiting},
        as_json,
        f"Version {version}: {images} images are below {move.new} now.",
        "Change the folders in data.sources as well.",
        *_about_tasks(settings, waiting),
    )


def _about_tasks(settings: Settings, waiting: int) -> list[str]:
    """Tasks that are open still name the old place."""
    if not waiting or settings.labeling.backend != "label_studio":
        return []
    return [
        f"{waiting} images wait for an answer, and their tasks name the old place: `crosscheck push` gives those that "
        "nobody has begun the new one, `crosscheck review push` those of reviews. Label Studio must see the new folder "
        "first (labeling.label_studio.document_root for local files)."
    ]
