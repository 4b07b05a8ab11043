"""Taking in what people answered: saved first, then committed, so that no answer is lost to a kill.

Harvests are numbered over the whole project. A cycle makes one, `crosscheck harvest` makes more between cycles, and
each cycle tells of all since the cycle before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from pipeline.dataset.store import SampleStore
from pipeline.labeling.backend import Harvest, LabelingBackend
from pipeline.labeling.merge import merge_answers
from pipeline.records import Answer
from pipeline.settings import Settings
from pipeline.stages.audit import Counts, add_audits, audited
from pipeline.stages.cycle import Cycle, Progress, silent
from pipeline.workspace import Folder, Workspace

ANSWERS, TOLD = "answers.json", "harvest.json"
_HARVEST: TypeAdapter[Harvest] = TypeAdapter(Harvest)


def harvest(cycle: Cycle, backend: LabelingBackend | None, progress: Progress = silent) -> dict[str, Any]:
    """Harvest once a cycle.

    Args:
        cycle: The cycle.
        backend: Who answers; None: nobody.
        progress: Told while it goes on.

    Returns:
        `harvest.json` of the cycle: everything harvested since the cycle before.

    Raises:
        RemoteError: The service is down or refuses.
    """

    def run() -> dict[str, Any]:
        harvest_now(cycle.settings, backend, cycle.number, progress)
        return _since_last_cycle(cycle)

    return cycle.once("harvest", run)


def harvest_failed(cycle: Cycle, reason: str) -> dict[str, Any]:
    """Note that nothing could be harvested; the next cycle looks back as far as the last success.

    Returns:
        `harvest.json` of the cycle.
    """

    def run() -> dict[str, Any]:
        told = _since_last_cycle(cycle)
        return {**told, "notes": [*told["notes"], ["harvest", reason]]}

    return cycle.once("harvest", run)


def harvest_now(
    settings: Settings,
    backend: LabelingBackend | None,
    cycle: int | None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Harvest, or finish the harvest that was begun.

    Args:
        settings: The project.
        backend: Who answers; None: nobody.
        cycle: The cycle under way, None between cycles.
        progress: Told while it goes on.

    Returns:
        What was taken in.

    Raises:
        RemoteError: The service is down or refuses.
    """
    folder = harvests_folder(settings)
    numbers = folder.names()
    if not numbers or folder.folder(numbers[-1]).exists(TOLD):
        if backend is None or not SampleStore(Workspace(settings.workspace).samples_uri).exists():
            return _told([], {}, [], {})
        found = backend.harvest(_watermark(folder), lambda done, total: progress("harvesting answers", done, total))
        numbers = [f"{len(numbers):06d}"]
        folder.folder(numbers[-1]).write_bytes(ANSWERS, _HARVEST.dump_json(found))
    return _commit(settings, folder, numbers[-1], cycle)


def harvests_folder(settings: Settings) -> Folder:
    """Where the project's harvests lie."""
    return Workspace(settings.workspace).labeling.folder("harvests")


def _watermark(folder: Folder) -> str | None:
    """How far the last harvest came."""
    numbers = folder.names()
    return str(folder.folder(numbers[-1]).read_json(TOLD)["watermark"]) if numbers else None


def _commit(settings: Settings, folder: Folder, number: str, cycle: int | None) -> dict[str, Any]:
    found = _HARVEST.validate_json(folder.folder(number).read_bytes(ANSWERS))
    store = SampleStore(Workspace(settings.workspace).samples_uri)
    merged = merge_answers(store.samples(), found.answers, cycle)
    version = store.version()
    if merged.samples:
        version = store.commit(
            merged.samples,
            reason=f"harvest of {len(merged.samples)} answered images",
            key=f"harvest {number}",
            cycle=cycle,
            settings_digest=settings.digest(),
        )
    told = _told(found.answers, audited(settings, found.answers), [*found.notes, *merged.notes], merged.counts)
    told = {**told, "version": version, "watermark": found.watermark}
    folder.folder(number).write_json(TOLD, told)
    return told


def _told(
    answers: Sequence[Answer], audit: dict[str, Counts], notes: Sequence[tuple[str, str]], counts: dict[str, int]
) -> dict[str, Any]:
    given = [answer for answer in answers if not answer.skipped]
    hours = [answer.lead_time_s / 3600 for answer in answers if answer.lead_time_s is not None]
    return {
        "answered": counts.get("answered", 0),
        "skipped": counts.get("skipped", 0),
        "empty": counts.get("empty", 0),
        "boxes": dict(Counter(str(box.source) for answer in given for box in answer.boxes)),
        "hours": sum(hours) if hours else None,
        "annotators": dict(Counter(answer.annotator for answer in answers)),
        "audit": add_audits(list(audit.values())),
        "audited": audit,
        "notes": [list(note) for note in notes],
    }


def _since_last_cycle(cycle: Cycle) -> dict[str, Any]:
    """Sums over the harvests that no earlier cycle has told of."""
    folder = harvests_folder(cycle.settings)
    numbers = [name for name in folder.names() if folder.folder(name).exists(TOLD)]
    before = cycle.previous("harvest")
    new = [folder.folder(name).read_json(TOLD) for name in numbers[before["harvests"] if before else 0 :]]
    hours = [one["hours"] for one in new if one["hours"] is not None]
    return {
        **{key: sum(one[key] for one in new) for key in ("answered", "skipped", "empty")},
        **{key: dict(sum((Counter(one[key]) for one in new), Counter())) for key in ("boxes", "annotators")},
        "hours": sum(hours) if hours else None,
        "audit": add_audits([one["audit"] for one in new]),
        "audited": {
            number: add_audits([one["audited"].get(number, {}) for one in new])
            for number in sorted({number for one in new for number in one["audited"]})
        },
        "notes": [note for one in new for note in one["notes"]],
        "harvests": len(numbers),
    }
