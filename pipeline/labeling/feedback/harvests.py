"""What was harvested before, held against what people say now: answers that were deleted, or undone by a restore."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from pydantic import TypeAdapter

from pipeline.dataset.store import SampleStore
from pipeline.dataset.versions import standing_versions
from pipeline.labeling.backend import Harvest
from pipeline.records import Answer
from pipeline.workspace import Folder

ANSWERS, TOLD = "answers.json", "harvest.json"
HARVEST: TypeAdapter[Harvest] = TypeAdapter(Harvest)
LEFT = (
    "{} images keep the labels of the version that was restored, although they were answered before; "
    "`crosscheck harvest --full --again` takes these answers in again"
)
_NAMED = 20
"""Images that are named one by one where a whole project may be gone."""


def read_harvest(folder: Folder, number: str) -> Harvest:
    """What one harvest found."""
    return HARVEST.validate_json(folder.folder(number).read_bytes(ANSWERS))


def all_answers(folder: Folder, numbers: Sequence[str]) -> Iterator[Answer]:
    """Every answer that was taken in, as often as it was read, the last time last."""
    for number in numbers:
        yield from read_harvest(folder, number).answers


def deleted(found: Harvest, known: Mapping[str, Answer]) -> tuple[dict[str, set[str]], list[tuple[str, str]]]:
    """Annotations that people deleted, by image, and a note on images whose task is gone as well.

    A task that is gone says nothing about labels, so these are kept.
    """
    if found.images is None:
        return {}, []
    images, standing = set(found.images), {answer.annotation_id for answer in found.answers}
    gone: dict[str, set[str]] = defaultdict(set)
    for number, answer in known.items():
        if number not in standing:
            gone[answer.image_id].add(number)
    lost = sorted(image for image in gone if image not in images)
    notes = [(image, "its task is gone from the labeling tool; its labels are kept") for image in lost[:_NAMED]]
    if len(lost) > _NAMED:
        notes.append(("harvest", f"the tasks of {len(lost) - _NAMED} more answered images are gone; labels are kept"))
    return {image: numbers for image, numbers in gone.items() if image in images}, notes


def undone_by_restoring(
    folder: Folder, numbers: Sequence[str], store: SampleStore, answers: Sequence[Answer]
) -> list[Answer]:
    """Those of these answers that became labels only in versions which a later restore undid."""
    told = {number: folder.folder(number).read_json(TOLD) for number in numbers}
    versions = {version.number for version in standing_versions(store.history())}
    stand = [number for number in numbers if told[number]["version"] in versions]
    if len(stand) == len(numbers):
        return []
    taken_in: dict[str, Answer] = {}
    for number in stand:
        left = set(told[number].get("undone", ()))
        taken_in |= {one.annotation_id: one for one in all_answers(folder, [number]) if one.annotation_id not in left}
    return [one for one in answers if taken_in.get(one.annotation_id) != one]
