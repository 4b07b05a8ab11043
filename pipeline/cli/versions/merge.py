"""`crosscheck versions merge`: another source of images and labels."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

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
from pipeline.dataset.merging.settling import Conflicts, Outcome

if TYPE_CHECKING:
    from pipeline.dataset.merging.incoming import Incoming
    from pipeline.dataset.merging.places import Wanted
    from pipeline.dataset.merging.plan import Change, MergePlan
    from pipeline.progress import Progress
    from pipeline.settings import Settings

_NAMED = 10


@explained
def merge(
    other: Annotated[str, typer.Argument(help="Another workspace, a COCO file, or a folder that an export wrote.")],
    conflicts: Annotated[
        Conflicts,
        typer.Option(
            "--conflicts",
            help="Whose labels of an image stand where neither side's are worth more; review: ours, until people have "
            "compared them.",
        ),
    ] = Conflicts.REVIEW,
    renamed: Annotated[
        list[str] | None, typer.Option("--map", help="A class there and its name here: car=vehicle.")
    ] = None,
    version: Annotated[str, typer.Option(help="Version of another workspace.")] = "latest",
    format_: Annotated[
        Literal["coco", "yolo", "voc"] | None, typer.Option("--format", help="Where the files do not tell.")
    ] = None,
    images: Annotated[str | None, typer.Option(help="Folder of the images, where it is not beside the labels.")] = None,
    split: Annotated[
        Literal["train", "val", "test"] | None, typer.Option(help="What the images are for, where no file says.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Commit; otherwise only show what would change.")] = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Take another source's images and labels in, as one version; without --apply it is only shown what would change.

    Labels go before none, and those of people before imported ones. Images of test never become images of train.
    """
    from pipeline.cycle import between_cycles
    from pipeline.dataset.merging.places import Wanted
    from pipeline.dataset.merging.plan import commit_merge, merge_plan
    from pipeline.dataset.store import SampleStore
    from pipeline.records import Split
    from pipeline.stages.report import renew_index
    from pipeline.workspace import Workspace

    settings = settings_from(config, overrides)
    images_at = absolute_place(images) if images else None
    wanted = Wanted(absolute_place(other), format_, images_at, Split(split) if split else None)
    with between_cycles(settings, "and learns from the labels as they were"), progress_bars() as progress:
        store = SampleStore(Workspace(settings.workspace).samples_uri)
        made = before = store.version()
        incoming = _incoming(settings, wanted, (version, _map(renamed or [])), progress)
        plan = merge_plan(store, incoming, conflicts, settings.data.near_duplicate_bits)
        if apply:
            made = commit_merge(store, plan, settings.digest())
            renew_index(settings)
    values = {"version": made if made != before else None, "images": plan.counts, "applied": apply}
    rows = [{"image_id": each.image_id, "file": each.uri, "outcome": each.outcome} for each in _told(plan)]
    output({**values, "named": rows, "issues": len(plan.issues)}, as_json, *_lines(plan, made != before, apply))


def _incoming(settings: Settings, wanted: Wanted, how: tuple[str, dict[str, str]], progress: Progress) -> Incoming:
    from pipeline.dataset.merging.incoming import from_files, from_workspace
    from pipeline.dataset.merging.label_map import LabelMap
    from pipeline.dataset.store import SampleStore
    from pipeline.detector.models.dataset_versions import version_named
    from pipeline.errors import DataError
    from pipeline.workspace import Workspace

    version, renamed = how
    classes, there = LabelMap(settings.data.labels, renamed), Workspace(wanted.place)
    if there.uri == Workspace(settings.workspace).uri:
        raise DataError(f"Expected another source than this workspace, got {there.uri}.")
    store = SampleStore(there.samples_uri)
    if not wanted.place.endswith(".json") and store.exists():
        return from_workspace(store, version_named(there, version), classes, progress)
    return from_files(wanted, settings.data, classes, datetime.now(UTC), progress)


def _map(renamed: list[str]) -> dict[str, str]:
    from pipeline.errors import SettingsError

    pairs = [text.split("=") for text in renamed]
    wrong = [text for text, pair in zip(renamed, pairs, strict=True) if len(pair) != 2 or not all(pair)]
    if wrong:
        raise SettingsError(f"--map: expected a class there and its name here, as in car=vehicle, got {wrong[0]!r}.")
    return {pair[0]: pair[1] for pair in pairs}


def _lines(plan: MergePlan, committed: bool, applied: bool) -> list[str]:
    did = "Merged" if applied else "Would merge"
    counts = ", ".join(f"{number} {outcome}" for outcome, number in plan.counts.items()) or "no image"
    told = list(_told(plan))
    named = [f"{each.outcome}: {each.uri}" + f" ({each.detail})" * bool(each.detail) for each in told[:_NAMED]]
    more = [f"and {len(told) - _NAMED} more; --json names them all"] if len(told) > _NAMED else []
    issues = [f"{issue.problem}: {issue.uri} ({issue.detail})" for issue in plan.issues[:_NAMED]]
    hint = "" if applied else "--apply commits it as one version." if plan.rows or plan.disputed else ""
    asked = "Next: crosscheck review push, so that people compare the labels." if applied and plan.disputed else ""
    nothing = "Nothing changed." if applied and not committed else ""
    return [f"{did} {plan.source}: {counts}.", *named, *more, *issues, *filter(None, [nothing, hint, asked])]


def _told(plan: MergePlan) -> list[Change]:
    """What a person should look at: all but images that are simply new, or known."""
    quiet = {Outcome.NEW, Outcome.KNOWN, Outcome.LABELED}
    return [each for each in plan.changes if each.outcome not in quiet or "from " in each.detail]
