"""`crosscheck doctor`: whether everything that a cycle needs is there, and what to do about what is not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsJson,
    Config,
    Overrides,
    explained,
    output,
    progress_bars,
)
from pipeline.settings import load_settings

if TYPE_CHECKING:
    from pydantic import SecretStr

    from pipeline.cli.checkup import Check, Finding
    from pipeline.progress import Progress
    from pipeline.settings import Settings

_IN_WORKSPACE = ("dataset", "clock")


@explained
def doctor(
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read the table, every artefact, model and image as well, by checksum.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check Python, packages, device, disk, dataset, servers, token and clock; exit with 1 where something is wrong."""
    from pipeline.cli.checkup import settled

    settings = load_settings(config, overrides or [])
    found: list[Finding] = []
    for subject, check in _checks(settings):
        if subject not in _IN_WORKSPACE or _is_reached(settings, found):
            found += settled(subject, check)
    if deep and _is_reached(settings, found):
        with progress_bars() as progress:
            found += _deep(settings, progress)
    wrong = sum(finding.state == "error" for finding in found)
    output(found, as_json, *map(_line, found), f"{wrong} of {len(found)} are wrong." if wrong else "Nothing is wrong.")
    if wrong:
        raise typer.Exit(1)


def _is_reached(settings: Settings, found: list[Finding]) -> bool:
    """Whether the workspace can be looked into; an object store that cannot be reached would say so at every look."""
    lost = any(finding.subject == "workspace" and finding.state == "error" for finding in found)
    return not lost or "://" not in settings.workspace


def _checks(settings: Settings) -> Iterator[tuple[str, Check]]:
    from flows.server import server_url
    from pipeline.cli import checkup

    yield "python", checkup.python
    yield "packages", checkup.pins
    yield "torch", partial(checkup.torch_and_device, settings)
    yield "workspace", partial(checkup.disk, settings)
    yield "dataset", partial(checkup.store, settings)
    yield "prefect", partial(checkup.prefect, server_url())
    if settings.runner.kind == "dask":
        yield "dask", partial(checkup.dask, settings.runner)
    if settings.labeling.backend == "label_studio" and settings.labeling.label_studio is not None:
        token = _token(settings)
        yield "label studio", partial(checkup.label_studio, settings.labeling.label_studio, token)
    yield "clock", partial(checkup.clock, settings)


def _token(settings: Settings) -> SecretStr | None:
    """From the environment, or a block of the server that is named; without one Prefect would start its own."""
    from flows.server import has_server
    from flows.tasks import label_studio_token
    from pipeline.settings import Secrets

    return label_studio_token(settings) if has_server() else Secrets().label_studio_api_key


def _deep(settings: Settings, progress: Progress) -> Iterator[Finding]:
    from pipeline import inspection
    from pipeline.cli.checkup import Finding
    from pipeline.workspace import Workspace

    workspace = Workspace(settings.workspace)
    looks = {
        "table": inspection.inspect_table(workspace),
        "cycles": inspection.inspect_cycles(workspace),
        "models": inspection.inspect_models(workspace),
        "images": inspection.inspect_images(workspace, progress),
    }
    for subject, faults in looks.items():
        wrong = [Finding(subject, "error", f"{fault.subject}: {fault.problem}") for fault in faults]
        yield from wrong or [Finding(subject, "ok", "every file is what was written")]


def _line(finding: Finding) -> str:
    marks = {"ok": "ok", "warning": "look", "error": "WRONG"}
    remedy = f" {finding.remedy}" if finding.remedy else ""
    stop = "." if remedy and not finding.found.endswith(".") else ""
    return f"{marks[finding.state]:<6}{finding.subject}: {finding.found}{stop}{remedy}"
