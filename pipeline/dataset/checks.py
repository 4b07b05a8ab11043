"""Checks between what a file states and what its image shows: every image becomes a sample, bad ones quarantined."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

from pipeline.dataset.box_checks import check_boxes
from pipeline.dataset.formats.entry import Entry, ImportResult
from pipeline.dataset.images import ImageFacts, inspect_image
from pipeline.dataset.repeated_files import keep_one_a_file
from pipeline.errors import DataError, ImageFault
from pipeline.progress import Progress, silent
from pipeline.records import ImportIssue, Sample, Split, State
from pipeline.settings import DataSettings

_THREADS = 8
_SHOWN = 5
_ACTIONS = {"box_clipped": "clipped", "box_repeated": "left_out", "box_too_small": "left_out", "converted": "converted"}


def check_entries(
    entries: Iterable[Entry],
    split: Split,
    data: DataSettings,
    now: datetime,
    progress: Progress = silent,
) -> ImportResult:
    """Look at every image and check its labels against it.

    An image that cannot be read, has another size than its annotation states, or carries a box that cannot be used
    becomes a quarantined sample; a box partly outside is cut; a missing file is left out; of files with the same
    bytes one is kept. Each of these makes an issue that names the file, and so does an image that is converted on
    reading.

    Args:
        entries: Images as the annotation files state them. Boxes of the pool are dropped unseen.
        split: What they are for.
        data: Class names and bounds.
        now: Creation time of the boxes, UTC.
        progress: Called after each image.

    Returns:
        Samples in the order of the entries, each `image_id` once, and the issues.

    Raises:
        DataError: A label is not among `data.labels`; the message names each such label, where it first appears
            and the nearest known one.
        RemoteError: The storage of the images cannot be reached.
    """
    listed = list(entries)
    if split is Split.POOL:
        listed = [Entry(entry.uri, refused=entry.refused) for entry in listed]
    _require_known_labels(listed, data.labels)
    found = []
    with ThreadPoolExecutor(_THREADS) as pool:
        facts = pool.map(lambda entry: _inspected(entry, data.max_image_pixels), listed)
        for done, (entry, fact) in enumerate(zip(listed, facts, strict=True), 1):
            found.append(_check(entry, fact, split, data, now))
            progress("reading images", done, len(listed))
    joined = ImportResult.join(found)
    unique = keep_one_a_file(joined.samples, rank=lambda sample: sample.state is State.QUARANTINED)
    return ImportResult(unique.samples, joined.issues + unique.issues)


def _inspected(entry: Entry, max_pixels: int) -> ImageFacts | ImageFault:
    if entry.refused:
        return ImageFault(entry.uri, entry.refused)
    try:
        return inspect_image(entry.uri, max_pixels)
    except ImageFault as fault:
        return fault


def _check(
    entry: Entry, facts: ImageFacts | ImageFault, split: Split, data: DataSettings, now: datetime
) -> ImportResult:
    if entry.refused:
        return ImportResult((), (ImportIssue(entry.uri, "refused", entry.refused, "left_out"),))
    if isinstance(facts, ImageFault):
        return _unreadable(facts, split)
    sample = Sample(
        image_id=facts.image_id,
        uri=entry.uri,
        width=facts.width,
        height=facts.height,
        split=split,
        group_id=facts.image_id,
        state=State.POOL if split is Split.POOL else State.LABELED,
        fingerprint=facts.fingerprint,
        note="; ".join(facts.notes),
    )
    issues = [ImportIssue(entry.uri, "converted", note, "converted") for note in facts.notes]
    checked = check_boxes(entry, facts, data.min_box_px, now)
    issues += [ImportIssue(entry.uri, kind, detail, _ACTIONS[kind]) for kind, detail in checked.repairs]
    if checked.faults:
        return _quarantined(sample, checked.faults, issues)
    return ImportResult((replace(sample, boxes=checked.boxes, ignore=checked.ignore),), tuple(issues))


def _quarantined(sample: Sample, faults: Sequence[tuple[str, str]], issues: Sequence[ImportIssue] = ()) -> ImportResult:
    """Keep the image out of every use, with what is wrong with it."""
    found = [ImportIssue(sample.uri, kind, detail, "quarantined") for kind, detail in faults]
    details = [detail for _, detail in faults]
    more = [f"and {len(details) - _SHOWN} more"] if len(details) > _SHOWN else []
    note = "; ".join(details[:_SHOWN] + more)
    return ImportResult((replace(sample, state=State.QUARANTINED, note=note),), (*issues, *found))


def _unreadable(fault: ImageFault, split: Split) -> ImportResult:
    if fault.image_id is None:
        return ImportResult((), (ImportIssue(fault.uri, "missing", fault.reason, "left_out"),))
    known = fault.image_id
    sample = Sample(known, fault.uri, 0, 0, split, group_id=known, state=State.QUARANTINED)
    return _quarantined(sample, [("unreadable", fault.reason)])


def _require_known_labels(entries: Iterable[Entry], labels: Sequence[str]) -> None:
    known = frozenset(labels)
    first: dict[str, str] = {}
    for entry in entries:
        for box in entry.boxes:
            if box.label not in known:
                first.setdefault(box.label, f"{entry.uri}, {box.where}")
    if not first:
        return
    lines = [f"  {label!r} ({place}){_hint(label, labels)}" for label, place in list(first.items())[:_SHOWN]]
    raise DataError(
        f"Expected labels among {', '.join(labels)}, got {len(first)} other:\n" + "\n".join(lines) + "\n"
        "Rename them in the annotations or add them to data.labels."
    )


def _hint(label: str, labels: Sequence[str]) -> str:
    near = difflib.get_close_matches(label, labels, n=1, cutoff=0.4)
    return f", did you mean {near[0]!r}?" if near else ""
