"""What `crosscheck doctor` looks at: each finding says what is there and what to do about it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import httpx
from packaging.requirements import Requirement
from pydantic import SecretStr

from pipeline.cycle import require_known_format
from pipeline.dataset.store import SampleStore
from pipeline.errors import PipelineError
from pipeline.lease import keeps_apart
from pipeline.object_storage import OBJECT_STORES, protocol_of
from pipeline.runners.dask_cluster import connected, require_dask
from pipeline.runners.dask_worker import installed
from pipeline.settings import LabelStudioSettings, RunnerSettings, Settings
from pipeline.workspace import Workspace

State = Literal["ok", "warning", "error"]
PATIENCE_S = 5.0
CLOCK_S = 60.0
LOW_BYTES, NO_BYTES = 5_000_000_000, 500_000_000
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one subject; `remedy` is empty where all is well."""

    subject: str
    state: State
    found: str
    remedy: str = ""


Check = Callable[[], Iterator[Finding]]


def settled(subject: str, check: Check) -> list[Finding]:
    """Findings of a check; what it raises on purpose is one as well."""
    try:
        return list(check())
    except (PipelineError, OSError, ValueError) as fault:
        return [Finding(subject, "error", str(fault))]


def python() -> Iterator[Finding]:
    """The interpreter."""
    old = tuple(map(int, platform.python_version_tuple()[:2])) < OLDEST_PYTHON
    remedy = "Install Python 3.11 or newer and crosscheck in it." if old else ""
    yield Finding("python", "error" if old else "ok", platform.python_version(), remedy)


def pins() -> Iterator[Finding]:
    """Packages that crosscheck needs, in versions that it was tested with."""
    wrong = [
        problem for line in importlib.metadata.requires("crosscheck") or () if (problem := _unmet(Requirement(line)))
    ]
    if wrong:
        yield Finding(
            "packages", "error", ", ".join(wrong), "Run `make install`, or `pip install --upgrade crosscheck`."
        )
    else:
        yield Finding("packages", "ok", "all in the range that was tested")


def _unmet(requirement: Requirement) -> str:
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return ""
    try:
        found = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    good = requirement.specifier.contains(found, prereleases=True)
    return "" if good else f"{requirement.name} {found} is not {requirement.specifier}"


def torch_and_device(settings: Settings) -> Iterator[Finding]:
    """Torch, and the device that the settings ask for."""
    try:
        import torch
        import torchvision
    except (ImportError, RuntimeError) as fault:  # torchvision raises the latter where the two do not fit
        yield Finding("torch", "error", str(fault), "Run `make install`: torch and torchvision must come as a pair.")
        return
    yield Finding("torch", "ok", f"{torch.__version__}, torchvision {torchvision.__version__}")
    wanted, cuda = settings.training.accelerator, torch.cuda.is_available()
    if wanted == "cuda" and not cuda:
        remedy = "Install the driver, or set training.accelerator to auto."
        yield Finding("device", "error", "training.accelerator is cuda, and torch finds no GPU", remedy)
        return
    name = torch.cuda.get_device_name() if cuda and wanted != "cpu" else f"CPU, {torch.get_num_threads()} threads"
    yield Finding("device", "ok", name)


def disk(settings: Settings) -> Iterator[Finding]:
    """Free space, and whether the workspace may be written."""
    from pipeline.standing import free_bytes

    workspace = Workspace(settings.workspace)
    require_known_format(workspace)
    free = free_bytes(workspace)
    state: State = "ok" if free is None or free >= LOW_BYTES else "error" if free < NO_BYTES else "warning"
    found = "remote" if free is None else f"{free / 1e9:.1f} GB free"
    remedy = "Free space, or move the workspace; `crosscheck versions vacuum` tells what old versions take."
    yield Finding("disk", state, found, "" if state == "ok" else remedy)
    probe = f"doctor-{uuid4().hex[:8]}"
    workspace.write_bytes(probe, b"")
    workspace.remove(probe)
    yield Finding("workspace", "ok", f"{workspace.uri} may be written")
    if protocol_of(workspace.uri) in OBJECT_STORES and not keeps_apart(workspace.uri):
        found = (
            f"{workspace.uri}: the store lets two create the same object, so that neither lock nor versions are safe"
        )
        yield Finding(
            "conditional writes", "error", found, "Use a store that honours If-None-Match, or a newer release."
        )


def store(settings: Settings) -> Iterator[Finding]:
    """The sample table and the cycles: that they can be opened."""
    from pipeline.standing import standing_of

    standing = standing_of(settings)
    if standing.version is None:
        yield Finding("dataset", "warning", "no sample table", "Run `crosscheck import`.")
    else:
        yield Finding("dataset", "ok", f"version {standing.version.number} of the sample table")
    for source in settings.data.sources:
        for place in filter(None, (source.images, source.annotations)):
            if "://" not in place and not Path(place).exists():
                yield Finding("sources", "error", f"{place} is not there", "Mount it, or correct data.sources.")
    cycle = standing.cycle
    if cycle is not None and cycle.finished_at is None and not standing.running:
        found = f"{cycle.number} is not finished" + (
            f"; edited since: {', '.join(cycle.edited)}" if cycle.edited else ""
        )
        yield Finding("cycle", "warning", found, f"Next: {standing.coming}.")


def prefect(url: str) -> Iterator[Finding]:
    """The Prefect server: that it answers, and has the deployments."""
    if not url:
        yield Finding("prefect", "ok", "no server is named in PREFECT_API_URL; cycles run by hand alone")
        return
    reply = _asked(f"{url}/health")
    if isinstance(reply, str):
        remedy = "Start it with `prefect server start`, or correct PREFECT_API_URL."
        yield Finding("prefect", "error", f"{url}: {reply}", remedy)
        return
    yield _deployed(url)
    yield from _clock_beside("Prefect", reply)


def _deployed(url: str) -> Finding:
    """Deployments, and that the server schedules their runs."""

    def of_crosscheck(kind: str, **query: object) -> list[dict[str, Any]]:
        tagged = {kind: {"tags": {"all_": ["crosscheck"]}, **query}, "limit": 200}
        found: list[dict[str, Any]] = httpx.post(f"{url}/{kind}/filter", timeout=PATIENCE_S, json=tagged).json()
        return found

    deployments = of_crosscheck("deployments")
    if not deployments:
        found = f"{url} answers, and has no deployments of crosscheck"
        return Finding("prefect", "warning", found, "Run `crosscheck deploy`.")
    by_schedule = [each for each in deployments if any(schedule["active"] for schedule in each["schedules"])]
    if by_schedule and not of_crosscheck("flow_runs", state={"type": {"any_": ["SCHEDULED"]}}):
        return Finding(
            "prefect",
            "error",
            f"{url} answers, but has scheduled no run of {len(by_schedule)} deployments that have a schedule",
            "Look again a minute after `crosscheck deploy`; then the reason is in the server's log.",
        )
    return Finding("prefect", "ok", f"{url} answers")


def dask(settings: RunnerSettings) -> Iterator[Finding]:
    """The Dask cluster: that its scheduler answers, it has workers, and these run what this process runs."""
    require_dask()
    if settings.dask_scheduler is None:
        yield Finding("dask", "ok", f"no scheduler is named; a cycle starts {settings.workers} workers on this machine")
        return
    with connected(settings.dask_scheduler, settings.workers, PATIENCE_S) as cluster:
        try:
            found = cluster.everywhere(installed)
        except Exception as fault:  # whatever a worker raises that has no crosscheck, or another one
            yield Finding("dask", "error", f"a worker failed: {type(fault).__name__}: {fault}", _SAME_EVERYWHERE)
            return
    others = {address: there for address, there in found.items() if there != installed()}
    for address, there in others.items():
        yield Finding("dask", "error", f"worker {address} has {there}; here it is {installed()}", _SAME_EVERYWHERE)
    if not others:
        yield Finding("dask", "ok", f"{len(found)} workers at {settings.dask_scheduler}, all with {installed()}")


_SAME_EVERYWHERE = "Install the same release with `pip install 'crosscheck[dask]'` there, and start the worker again."


def label_studio(settings: LabelStudioSettings, token: SecretStr | None) -> Iterator[Finding]:
    """Label Studio: that it answers and takes the token."""
    reply = _asked(f"{settings.url}/health")
    if isinstance(reply, str):
        yield Finding(
            "label studio", "error", f"{settings.url}: {reply}", "Start it, or correct labeling.label_studio.url."
        )
    else:
        yield Finding("label studio", "ok", f"{settings.url} answers")
        yield from _clock_beside("Label Studio", reply)
    remedy = f"Set LABEL_STUDIO_API_KEY, or save a Prefect Secret block named {settings.secret_block!r}."
    if token is None:
        yield Finding("token", "error", "none for Label Studio", remedy)
    elif not isinstance(reply, str):
        good = _is_taken(settings.url, token.get_secret_value())
        state = "is taken by Label Studio" if good else "is refused by Label Studio"
        yield Finding(
            "token", "ok" if good else "error", state, "" if good else f"Make a new one on its page. {remedy}"
        )


def clock(settings: Settings) -> Iterator[Finding]:
    """That time has not gone back since the newest version: answers and versions are told apart by it."""
    table = SampleStore(Workspace(settings.workspace).samples_uri)
    newest = table.history()[-1].timestamp if table.exists() else datetime.min.replace(tzinfo=UTC)
    now = datetime.now(UTC)
    behind = newest > now + timedelta(seconds=CLOCK_S)
    found = f"{now:%Y-%m-%d %H:%M:%S} UTC" + (
        f", before the newest version ({newest:%Y-%m-%d %H:%M})" if behind else ""
    )
    yield Finding("clock", "error" if behind else "ok", found, "Set the clock, and keep it by NTP." if behind else "")


def _clock_beside(server: str, reply: httpx.Response) -> Iterator[Finding]:
    if "date" not in reply.headers:
        return
    gap = abs((datetime.now(UTC) - parsedate_to_datetime(reply.headers["date"])).total_seconds())
    if gap > CLOCK_S:
        remedy = "Keep both clocks by NTP: answers are found by the time of the server."
        yield Finding("clock", "error", f"{gap:.0f} s off that of {server}", remedy)


def _asked(address: str) -> httpx.Response | str:
    """The answer of a service, or why there is none."""
    try:
        return httpx.get(address, timeout=PATIENCE_S, follow_redirects=True).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        return str(fault).splitlines()[0] if str(fault) else type(fault).__name__


def _is_taken(url: str, token: str) -> bool:
    """Whether a token is a good one of either kind: legacy, or personal, which is traded for a short one."""
    legacy = httpx.get(
        f"{url}/api/current-user/whoami", headers={"Authorization": f"Token {token}"}, timeout=PATIENCE_S
    )
    if legacy.is_success:
        return True
    body = json.dumps({"refresh": token})
    personal = httpx.post(
        f"{url}/api/token/refresh", content=body, headers={"Content-Type": "application/json"}, timeout=PATIENCE_S,
        follow_redirects=True,
    )  # fmt: skip
    return personal.is_success
