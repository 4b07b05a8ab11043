"""A look into every file of a project: what is damaged is named with the command that makes it again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pipeline.artefacts as records
from pipeline.cycle import load_cycle
from pipeline.cycle_settings import SETTINGS
from pipeline.dataset.checksums import damaged_files
from pipeline.dataset.store import SampleStore
from pipeline.dataset.verify import verify
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.registry import CHAMPION, WEIGHTS, load_card
from pipeline.errors import PipelineError
from pipeline.folder import Folder
from pipeline.progress import Progress, silent
from pipeline.workspace import Workspace

_KINDS: dict[str, type[object]] = {
    kind.FILE: kind for kind in vars(records).values() if hasattr(kind, "FILE") and hasattr(kind, "MADE_BY")
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one file, and what to do about it."""

    subject: str
    problem: str


def inspect_table(workspace: Workspace) -> Iterator[Fault]:
    """Hold every file of the sample table against its checksum."""
    for damage in damaged_files(Folder(workspace.samples_uri)):
        yield Fault(damage.file, f"{damage.found}. Bring the file back from a backup.")


def inspect_images(workspace: Workspace, progress: Progress = silent) -> Iterator[Fault]:
    """Hash every image of the newest version; of a damaged table none is looked at."""
    store = SampleStore(workspace.samples_uri)
    if not store.exists() or damaged_files(Folder(store.uri)):
        return
    for damage in verify(store, store.version(), progress).damaged:
        yield Fault(
            damage.uri, f"{damage.problem}: {damage.detail}. Bring the file back; mining leaves it out until then."
        )


def inspect_cycles(workspace: Workspace) -> Iterator[Fault]:
    """Read every artefact of every cycle to its end."""
    for number in workspace.cycles():
        folder = workspace.cycle(number)
        yield from _tried(folder.path(SETTINGS), partial(load_cycle, workspace.uri, number))
        for name in folder.names():
            yield from _tried(folder.path(name), partial(_read, folder, name))


def inspect_models(workspace: Workspace) -> Iterator[Fault]:
    """Hold the weights of every model against its card, and look for the champion."""
    models = workspace.models
    for name in (name for name in models.names() if name != CHAMPION):
        yield from _tried(models.path(name), partial(_require_weights, models, name))
    yield from _tried(models.path(CHAMPION), lambda: champion_of(workspace))


def _tried(subject: str, look: Callable[[], object]) -> Iterator[Fault]:
    try:
        look()
    except PipelineError as fault:
        yield Fault(subject, str(fault))


def _read(folder: Folder, name: str) -> None:
    """Read a file to its end, as what it is."""
    if name in _KINDS:
        folder.read_record(name, _KINDS[name])
    elif name.endswith(".json"):
        folder.read_json(name)
    elif name.endswith(".parquet"):
        for _ in folder.read_groups(name):
            pass


def _require_weights(models: Folder, model_id: str) -> None:
    card, folder = load_card(models, model_id), models.folder(model_id)
    if hashlib.sha256(folder.read_bytes(WEIGHTS)).hexdigest() != card.weights_sha256:
        raise PipelineError(
            f"{folder.path(WEIGHTS)}: these are not the bytes that were written. Restore them from a backup, or "
            "go back to another model with `crosscheck models promote`."
        )
