"""What people should hear of between two looks at the report: events in Prefect, which automations.yaml passes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prefect.events import emit_event

from pipeline.artefacts import SelectionRun, Standings
from pipeline.cycle import Cycle
from pipeline.settings import Settings
from pipeline.standing import free_bytes
from pipeline.workspace import Workspace

WITHDRAWN, DRY, LOW = "crosscheck.certificate.withdrawn", "crosscheck.queue.dry", "crosscheck.disk.low"
LOW_BYTES = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Notice:
    """The name of an event, and what people read."""

    event: str
    text: str


def emit(settings: Settings, notices: Iterator[Notice]) -> None:
    """Send notices about a project to Prefect, where the flow that is running reports to."""
    resource = {
        "prefect.resource.id": f"crosscheck.project.{settings.name}",
        "prefect.resource.name": settings.name,
    }
    for notice in notices:
        emit_event(notice.event, resource, payload={"text": f"{settings.name}: {notice.text}"})


def of_disk(settings: Settings, low: int = LOW_BYTES) -> Iterator[Notice]:
    """Whether the disk of the workspace is filling up; to be asked before a cycle."""
    free = free_bytes(Workspace(settings.workspace))
    if free is not None and free < low:
        yield Notice(
            LOW,
            f"{free / 1e9:.1f} GB are free on the disk of {settings.workspace}. Free space, or move the workspace; "
            "`crosscheck versions vacuum` tells what old versions take.",
        )


def of_cycle(cycle: Cycle) -> Iterator[Notice]:
    """What a finished cycle leaves to people."""
    standings, selection = cycle.find(Standings), cycle.find(SelectionRun)
    for label, standing in standings.classes.items() if standings else ():
        if standing.withdrawn_in == cycle.number:
            yield Notice(
                WITHDRAWN, f"the certificate of {label} was withdrawn in cycle {cycle.number}: {standing.needed}"
            )
    if selection is not None and not selection.queued:
        yield Notice(
            DRY, f"cycle {cycle.number} leaves no image to ask people about. Add images to the pool, or stop here."
        )
