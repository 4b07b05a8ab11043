"""Whether people look before they agree: machine boxes left as they are, beside what people draw without seeing them.

Blind tasks are drawn at random from the images asked about, so without rubber-stamping people would leave no more boxes
unchanged where they see them than they confirm where they do not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import pyarrow as pa

from pipeline.artefacts import Acceptance, AcceptanceCount, Decision
from pipeline.detector.evaluation.proposal_matching import mark_right
from pipeline.labeling.feedback.asked_kinds import kinds_of
from pipeline.labeling.feedback.audit import as_drawn
from pipeline.records import Answer, Source, TaskKind, of_images
from pipeline.selection.showing import is_shown
from pipeline.settings import Settings
from pipeline.workspace import Workspace

Counts = dict[str, Counter[str]]
"""By class, by the names of `AcceptanceCount`."""


def count_acceptance(settings: Settings, answers: Iterable[Answer]) -> Acceptance:
    """Count what became of machine boxes that people saw, and how many they confirm without seeing them.

    On a blind task, boxes that would have been shown are withheld. Such a box is confirmed by one that a person drew,
    at `selection.match_iou`.

    Args:
        settings: The project.
        answers: Of all harvests so far, in order; the last word of each annotation counts.
    """
    by_cycle: dict[int, list[Answer]] = defaultdict(list)
    for answer in {answer.annotation_id: answer for answer in answers}.values():
        if answer.cycle is not None and not answer.skipped:
            by_cycle[answer.cycle].append(answer)
    workspace = Workspace(settings.workspace)
    images: Counter[str] = Counter()
    classes: Counts = defaultdict(Counter)
    for number, given in sorted(by_cycle.items()):
        kinds = kinds_of(workspace.cycle(number), given)
        shown = [answer for answer in given if answer.image_id in kinds and kinds[answer.image_id].shows_boxes]
        blind = [answer for answer in given if kinds.get(answer.image_id) is TaskKind.BLIND]
        images.update(shown=len(shown), blind=len(blind))
        _count_shown(shown, classes)
        if blind:
            _count_blind(settings, workspace, number, blind, classes)
    counts = {label: AcceptanceCount(**classes[label]) for label in sorted(classes)}
    return Acceptance(images["shown"], images["blind"], counts)


def _count_shown(answers: Sequence[Answer], classes: Counts) -> None:
    for answer in answers:
        for label, verdict in answer.verdicts:
            classes[label].update(["shown", verdict])
        for label, boxes in Counter(label for label, _ in answer.verdicts).items():
            classes[label]["shown_squared"] += boxes**2
        for box in answer.boxes:
            if box.source is Source.HUMAN:
                classes[box.label]["added"] += 1


def _count_blind(
    settings: Settings, workspace: Workspace, number: int, answers: Sequence[Answer], classes: Counts
) -> None:
    folder, images = workspace.cycle(number), of_images(answer.image_id for answer in answers)
    proposals: pa.Table = folder.read_table("selection.parquet", None, images)
    boxes = proposals.filter(pa.array(is_shown(proposals, folder.read_record(Decision.FILE, Decision).shown_from)))
    drawn = as_drawn(workspace, answers)
    right = mark_right(boxes, drawn, settings.selection.match_iou)
    for label, is_right in zip(boxes["label"].to_pylist(), right.tolist(), strict=True):
        classes[label].update(blind=1, confirmed=int(is_right), missed=-int(is_right))
    withheld = Counter(zip(boxes["image_id"].to_pylist(), boxes["label"].to_pylist(), strict=True))
    for (_, label), in_image in withheld.items():
        classes[label]["blind_squared"] += in_image**2
    for sample in drawn:
        for box in sample.boxes:
            classes[box.label]["missed"] += 1
