"""Taking in what people answered: saved first, then committed, so that no answer is lost to a kill.

Harvests are numbered over the whole project. A cycle makes one, `crosscheck harvest` makes more between cycles, and
each cycle tells of all since the cycle before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pipeline.dataset.store import SampleStore
from pipeline.labeling.backend import LabelingBackend
from pipeline.labeling.feedback.acceptance import acceptance
from pipeline.labeling.feedback.audit import Counts, add_audits, audited
from pipeline.labeling.feedback.effort import add_seconds, hours_saved, hours_spent, seconds_and_boxes
from pipeline.labeling.feedback.harvests import (
    ANSWERS,
    HARVEST,
    LEFT,
    TOLD,
    all_answers,
    deleted,
    read_harvest,
    undone_by_restoring,
)
from pipeline.labeling.feedback.merge import MergeResult, merge_answers
from pipeline.labeling.feedback.replaced_images import replaced_images
from pipeline.records import Answer
from pipeline.settings import Settings
from pipeline.stages.cycle import Cycle, Progress, silent
from pipeline.workspace import Folder, Workspace

_CHANGED_AFTER = timedelta(seconds=1)


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
    full: bool = False,
    again: bool = False,
) -> dict[str, Any]:
    """Harvest, or finish the harvest that was begun.

    Args:
        settings: The project.
        backend: Who answers; None: nobody.
        cycle: The cycle under way, None between cycles.
        progress: Told while it goes on.
        full: Ask for every answer again, not only for new ones: finds those that were deleted, and reads all with the
            labels of today. Answers that a restored version undid stay undone, unless they changed since.
        again: With `full`: take in these as well.

    Returns:
        What was taken in.

    Raises:
        RemoteError: The service is down or refuses.
    """
    folder = harvests_folder(settings)
    numbers = folder.names()
    if numbers and not folder.folder(numbers[-1]).exists(TOLD):
        told = _commit(settings, backend, folder, numbers, cycle)
        if not full:
            return told
    if backend is None or not SampleStore(Workspace(settings.workspace).samples_uri).exists():
        return _told([], {}, MergeResult((), {}, ()))
    found = backend.harvest(
        None if full else _watermark(folder),
        lambda done, total: progress("harvesting answers", done, total),
    )
    numbers.append(f"{len(numbers):06d}")
    folder.folder(numbers[-1]).write_bytes(ANSWERS, HARVEST.dump_json(found))
    return _commit(settings, backend, folder, numbers, cycle, again)


def harvests_folder(settings: Settings) -> Folder:
    """Where the project's harvests lie."""
    return Workspace(settings.workspace).labeling.folder("harvests")


def _watermark(folder: Folder) -> str | None:
    """How far the last harvest came."""
    numbers = folder.names()
    return str(folder.folder(numbers[-1]).read_json(TOLD)["watermark"]) if numbers else None


def _commit(
    settings: Settings,
    backend: LabelingBackend | None,
    folder: Folder,
    numbers: Sequence[str],
    cycle: int | None,
    again: bool = False,
) -> dict[str, Any]:
    """Finish the last of these harvests; doing it twice commits and asks once."""
    *earlier, number = numbers
    found = read_harvest(folder, number)
    look_back = found.images is not None or _any_changed(found.answers)
    known = {answer.annotation_id: answer for answer in all_answers(folder, earlier)} if look_back else {}
    new = [one for one in found.answers if known.get(one.annotation_id) != one]
    store = SampleStore(Workspace(settings.workspace).samples_uri)
    samples = list(store.samples())
    replaced, notes = replaced_images(samples, {answer.image_id for answer in new})
    gone, lost = deleted(found, known)
    told_before = [one for one in found.answers if known.get(one.annotation_id) == one]
    undone = [] if again or found.images is None else undone_by_restoring(folder, earlier, store, told_before)
    left = {one.image_id for one in undone} - {one.image_id for one in new}
    if left:
        notes.append(("harvest", LEFT.format(len(left))))
    merged = merge_answers(
        [replaced.get(sample.image_id, sample) for sample in samples],
        new,
        cycle,
        standing=[*found.standing, *(one for one in told_before if one.image_id not in left)],
        gone={image: numbers for image, numbers in gone.items() if image not in left},
        settings=settings.labeling,
    )
    version = store.version()
    rows = [*(replace(row, cycle=cycle) for row in replaced.values()), *merged.samples]
    if rows:
        version = store.commit(
            rows,
            reason=f"harvest of {len(rows)} answered images",
            key=f"harvest {number}",
            cycle=cycle,
            settings_digest=settings.digest(),
        )
    if backend is not None:
        backend.mark_disputed(merged.disputed, merged.settled)
        if merged.ask_again:
            backend.ask_again(merged.ask_again)
    told = _told(new, audited(settings, new), merged, known, [*found.notes, *notes, *lost])
    told = {**told, "version": version, "watermark": found.watermark}
    told["undone"] = [one.annotation_id for one in undone if one.image_id in left]
    folder.folder(number).write_json(TOLD, told)
    return told


def _any_changed(answers: Sequence[Answer]) -> bool:
    return any(answer.updated_at - answer.created_at > _CHANGED_AFTER for answer in answers)


def _told(
    answers: Sequence[Answer],
    audit: Mapping[str, Counts],
    merged: MergeResult,
    known: Mapping[str, Answer] | None = None,
    notes: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    given = [answer for answer in answers if not answer.skipped]
    return {
        "answered": merged.counts.get("answered", 0),
        "skipped": merged.counts.get("skipped", 0),
        "empty": merged.counts.get("empty", 0),
        "boxes": dict(Counter(str(box.source) for answer in given for box in answer.boxes)),
        "hours": hours_spent(answers, known or {}),
        "seconds": seconds_and_boxes(answers, known or {}),
        "agreements": list(merged.agreements),
        "asked_again": len(merged.ask_again),
        "annotators": dict(Counter(answer.annotator for answer in answers)),
        "audit": add_audits(list(audit.values())),
        "audited": audit,
        "notes": [list(note) for note in (*notes, *merged.notes)],
    }


def _since_last_cycle(cycle: Cycle) -> dict[str, Any]:
    """Sums over the harvests that no earlier cycle has told of."""
    folder = harvests_folder(cycle.settings)
    numbers = [name for name in folder.names() if folder.folder(name).exists(TOLD)]
    before = cycle.previous("harvest")
    new = [folder.folder(name).read_json(TOLD) for name in numbers[before["harvests"] if before else 0 :]]
    hours = [one["hours"] for one in new if one["hours"] is not None]
    every = [folder.folder(name).read_json(TOLD).get("seconds", {}) for name in numbers]
    seconds = add_seconds([one.get("seconds", {}) for one in new])
    return {
        **{key: sum(one[key] for one in new) for key in ("answered", "skipped", "empty")},
        **{key: dict(sum((Counter(one[key]) for one in new), Counter())) for key in ("boxes", "annotators")},
        "hours": sum(hours) if hours else None,
        "saved": hours_saved(seconds, add_seconds(every)),
        "agreements": [share for one in new for share in one.get("agreements", [])],
        "asked_again": sum(one.get("asked_again", 0) for one in new),
        "audit": add_audits([one["audit"] for one in new]),
        "audited": {
            number: add_audits([one.get("audited", {}).get(number, {}) for one in new])
            for number in sorted({number for one in new for number in one.get("audited", {})})
        },
        "acceptance": acceptance(cycle.settings, all_answers(folder, numbers)),
        "notes": [note for one in new for note in one["notes"]],
        "harvests": len(numbers),
    }
