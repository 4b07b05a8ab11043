"""What needs attention in a cycle, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.artefacts import AnswerRemark
from pipeline.report.contents import CycleContents, measured
from pipeline.report.data_tables import count_issues
from pipeline.report.wording import count, difference, file_name, listing, percent, plural, sentence, share, short_id

_REMARKS_OF_A_KIND = 3
_LEAST_OBJECTS = 10
"""So many objects of a class must be there before it is said that none is found."""
_TONES = {"bad": "problem", "warn": "check", "note": "note"}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that needs attention.

    Attributes:
        tone: `bad`: act on it; `warn`: check it; `note`: know it.
        text: What is the matter, in plain words.
        section: Anchor of the part of the page that says more.
        link: Address of the task in question; empty for none.
    """

    tone: str
    text: str
    section: str
    link: str = ""

    @property
    def word(self) -> str:
        """The tone in a word for people."""
        return _TONES[self.tone]


def attention(contents: CycleContents) -> tuple[Notice, ...]:
    """What needs attention, the most urgent first; empty where nothing does."""
    notices = [
        *_gate(contents),
        *_audits(contents),
        *_push(contents),
        *_files(contents),
        *_certificates(contents),
        *_scores(contents),
        *_answers(contents),
        *_rubber_stamps(contents),
        *_remarks(contents),
        *_never_found(contents),
        *_cost(contents),
        *_pool(contents),
    ]
    return tuple(sorted(notices, key=lambda notice: list(_TONES).index(notice.tone)))


def _gate(contents: CycleContents) -> Iterator[Notice]:
    gate = contents.turn.gate
    if gate is None:
        yield Notice("warn", "No model was trained in this cycle.", "model")
    elif not gate.promoted:
        stays = f" Model {short_id(gate.champion)} stays in use." if gate.champion else ""
        yield Notice("bad", f"The new model was not promoted: {sentence(gate.why)}{stays}", "model")
    split = contents.turn.reported_split
    history = measured(contents.turns, split)[-2:]
    if len(history) == 2 and history[-1][0] is contents.turn:
        (before, then), (_, now) = history
        fall = difference(then.map, now.map)
        if fall is not None and fall > 0:
            yield Notice("warn", f"mAP on {split} fell by {share(fall)} since cycle {before.cycle}.", "model")


def _audits(contents: CycleContents) -> Iterator[Notice]:
    if contents.certificates is None:
        return
    target = contents.certificates.target
    for label, audit in sorted((contents.audit or {}).items()):
        if audit.precision is None or audit.interval is None or audit.precision >= target:
            continue
        surely = audit.interval[1] < target
        precision = f"{share(audit.precision)} ({count(audit.right)} of {count(audit.boxes)})"
        against = "below" if surely else "under, though within chance of,"
        yield Notice(
            "bad" if surely else "warn",
            f"Precision of the pseudo-labels of {label} is {precision}, {against} the promised {share(target)}; known "
            "only in this simulation.",
            "certificates",
        )


def _rubber_stamps(contents: CycleContents) -> Iterator[Notice]:
    classes = contents.harvest.acceptance.classes if contents.harvest else {}
    for label, counts in sorted(classes.items()):
        if counts.is_rubber_stamped:
            yield Notice(
                "warn",
                f"People leave {share(counts.unchanged.precision)} of the {label} boxes that they see unchanged, but "
                f"draw only {share(counts.confirmation.precision)} of those that they do not see: some are accepted "
                "unchecked.",
                "people",
            )


def _remarks(contents: CycleContents) -> Iterator[Notice]:
    """The first answers of each kind that a second look is due to, and how many more there are."""
    by_kind: dict[str, list[AnswerRemark]] = {}
    for remark in contents.harvest.remarks if contents.harvest else ():
        by_kind.setdefault(remark.kind, []).append(remark)
    for found in by_kind.values():
        for remark in found[:_REMARKS_OF_A_KIND]:
            text = f"{file_name(remark.uri) or remark.image_id[:12]}, {remark.annotator}: {sentence(remark.text)}"
            yield Notice("warn", text, "people", remark.link)
        more = len(found) - _REMARKS_OF_A_KIND
        if more > 0:
            text = f"{plural(more, 'more answer')} of the same kind, such as: {sentence(found[-1].text)}"
            yield Notice("warn", text, "people")


def _never_found(contents: CycleContents) -> Iterator[Notice]:
    split = contents.turn.reported_split
    metrics = contents.turn.metrics(split)
    for label, own in sorted(metrics.per_class.items() if metrics else ()):
        if own.boxes >= _LEAST_OBJECTS and not own.ap50:
            text = f"No {label} is ever found: AP 0.000 with {plural(own.boxes, 'object')} in {split}."
            yield Notice("bad", text, "model")


def _cost(contents: CycleContents) -> Iterator[Notice]:
    priced = contents.turn.priced
    if priced.boxes_cost_time:
        per_image = (f"{total / priced.images:.0f} s" for total in (priced.with_boxes_s, priced.without_boxes_s))
        yield Notice(
            "warn",
            f"The machine's boxes cost people time: {' an image with them, '.join(per_image)} without; none is shown "
            "in this cycle.",
            "people",
        )


def _push(contents: CycleContents) -> Iterator[Notice]:
    if contents.push and contents.push.failed:
        text = (
            f"Nothing could be pushed to the annotators; the next cycle tries again: {sentence(contents.push.failed)}"
        )
        yield Notice("bad", text, "people")
    if contents.push and contents.push.refused:
        refused = len(contents.push.refused)
        yield Notice("bad", f"{plural(refused, 'image')} could not be pushed to the annotators.", "people")


def _files(contents: CycleContents) -> Iterator[Notice]:
    done = count_issues(contents.issues)
    if done:
        text = ", ".join(f"{count(number)} {action}" for action, number in done.items())
        yield Notice("warn" if "quarantined" in done else "note", f"Files with problems: {text}.", "files")


def _certificates(contents: CycleContents) -> Iterator[Notice]:
    promised = contents.certificates
    if promised is None or not promised.classes:
        yield Notice("note", "There is no certificate yet, so nothing is promised of any box.", "certificates")
        return
    for label, standing in sorted(contents.standings.items()):
        if standing.withdrawn:
            yield Notice("bad", f"No pseudo-labels of {label}: {sentence(standing.needed)}", "certificates")
    without = sorted(label for label, certificate in promised.classes.items() if not certificate.certified)
    if without:
        why = f"a precision of {percent(promised.target)} could not be certified"
        yield Notice("warn", f"No pseudo-labels of {listing(without)}: {why}.", "certificates")


def _scores(contents: CycleContents) -> Iterator[Notice]:
    scores = contents.calibration.scores if contents.calibration else {}
    fused, plain = (scores[name].auroc if name in scores else None for name in ("crosscheck", "confidence"))
    if fused is not None and plain is not None and fused <= plain:
        text = f"Cross-checks did not beat confidence alone (AUROC {share(fused)} against {share(plain)})."
        yield Notice("warn", text, "evidence")


def _answers(contents: CycleContents) -> Iterator[Notice]:
    if contents.harvest and contents.harvest.notes:
        notes = len(contents.harvest.notes)
        yield Notice("warn", f"{plural(notes, 'answer')} needed repair or could not be read.", "people")
    waiting = contents.versions[-1].count("images", "queued") if contents.versions else 0
    if not contents.asks_people:
        chosen = f"; {plural(waiting, 'image')} chosen for the day that somebody is" if waiting else ""
        yield Notice("note", f"Nobody is asked, as labeling.backend is none{chosen}.", "people")
        return
    if len(contents.turns) > 1 and not (contents.harvest and contents.harvest.answered):
        yield Notice("warn", "No new answers from people since the cycle before.", "people")
    if waiting:
        yield Notice("note", f"{plural(waiting, 'image')} in the queue of the annotators.", "people")


def _pool(contents: CycleContents) -> Iterator[Notice]:
    if contents.versions and not contents.pool:
        yield Notice("note", "The pool is empty: there is nothing left to mine or to ask about.", "data")
