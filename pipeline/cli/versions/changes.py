"""`crosscheck versions restore`, `tag` and `vacuum`: what changes the history."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.console import DEFAULT_CONFIG, AsJson, Config, Overrides, explained, output, settings_from
from pipeline.cli.versions.named import Named, in_words, store_of, version_of


@explained
def restore(
    version: Named,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--image", help="Only this image: an image_id or how it begins, a path, or a file name; repeatable."
        ),
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only show what would change.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "restored by hand",
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Bring back the rows of an earlier version, or of some images in it, as a new version; nothing is lost."""
    from pipeline.cycle import only_one
    from pipeline.dataset.blame import find_image
    from pipeline.dataset.restoring import restore_images, restored_difference
    from pipeline.stages.report import renew_index

    settings = settings_from(config, overrides)
    store, number = store_of(settings), version_of(settings, version)
    chosen = [find_image(store, name) for name in images or []]
    if preview:
        changes = restored_difference(store, number, chosen)
        output(changes.to_json(), as_json, *in_words(changes), "Nothing was changed: leave --preview out to do it.")
        return
    with only_one(settings):
        made = restore_images(store, number, chosen, reason) if chosen else store.restore(number, reason)
        renew_index(settings)
    what = f"{len(chosen)} image{'s' * (len(chosen) != 1)}" if chosen else "the rows"
    output(
        {"version": made, "restored": number, "images": chosen} if chosen else {"version": made, "restored": number},
        as_json,
        f"Version {made} holds {what} of version {number}.",
        "Answers harvested since then stay out of it; `crosscheck harvest --full --again` takes them in.",
    )


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
    from pipeline.stages.report import renew_index
    from pipeline.workspace import Workspace

    settings = settings_from(config, overrides)
    with only_one(settings):
        number, latest = version_of(settings, version), store_of(settings).version()
        if number > latest:
            raise ArtefactError(f"Expected a dataset version from 0 to {latest}, got {number}.")
        if remove:
            remove_tag(Workspace(settings.workspace), name)
        else:
            tag_version(Workspace(settings.workspace), name, number, move)
        renew_index(settings)
    values = {"tag": name, "version": None if remove else number}
    output(values, as_json, f"Nothing is called {name} any more." if remove else f"Version {number} is {name}.")


@explained
def vacuum(
    keep: Annotated[int, typer.Option(help="So many of the newest versions stay.", min=1)] = 10,
    apply: Annotated[bool, typer.Option("--apply", help="Remove; otherwise only show what would go.")] = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Remove the rows of old versions that have no tag and that no model learnt from; the history stays."""
    from pipeline.cycle import only_one
    from pipeline.stages.report import renew_index
    from pipeline.stages.vacuum import vacuum as make_room

    settings = settings_from(config, overrides)
    gone = make_room(settings, keep, apply=apply)
    if apply:
        with only_one(settings):
            renew_index(settings)
    names = ", ".join(map(str, gone.versions)) or "no version"
    did = "Removed" if apply else "Would remove"
    hint = (
        []
        if apply or not gone.versions
        else ["--apply removes them; they cannot be restored, compared or exported then."]
    )
    values = {"versions": gone.versions, "bytes": gone.size, "applied": apply}
    output(values, as_json, f"{did} the rows of {names} ({gone.size / 1e6:.1f} MB).", *hint)
