"""What a person must know first: the cycle in one sentence, and what needs attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.report.contents import CycleContents, Turn, measured
from pipeline.report.data_tables import count_issues
from pipeline.report.wording import change, count, interval, listing, percent, plural, share, short_id

_TONES = {"bad": "problem", "warn": "check", "note": "note"}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that needs attention.

    Attributes:
        tone: `bad`: act on it; `warn`: look at it; `note`: know it.
        text: What is the matter, in plain words.
        section: Anchor of the part of the page that tells more.
    """

    tone: str
    text: str
    section: str

    @property
    def word(self) -> str:
        """The tone in a word for people."""
        return _TONES[self.tone]


@dataclass(frozen=True, slots=True)
class Fact:
    """A number that stands large on the page, with what it is and what qualifies it."""

    name: str
    value: str
    detail: str


def headline(turns: Sequence[Turn]) -> str:
    """The last cycle in one sentence, without any untrusted text.

    Args:
        turns: Ascending, at least one.
    """
    turn = turns[-1]
    human = f"with {plural(turn.labeled_images, 'human-labeled image')}"
    asked = f"{plural(turn.asked_images, 'image')} asked" if turn.asked_images else "nobody asked"
    return f"Cycle {turn.cycle}: {_precision(turns)} {human}; {_pseudo(turn)}; {asked}"


def facts(contents: CycleContents) -> tuple[Fact, ...]:
    """The four numbers of a cycle: precision, labels of people, pseudo-labels, questions."""
    turn = contents.turn
    now = turn.metrics(turn.reported_split)
    ends = f"95 % interval {interval(now.interval)}" if now and now.interval else ""
    held = "not promoted" if turn.gate and not turn.gate.promoted else ""
    qualified = (_since_first(contents.turns) or "nothing earlier to compare with", ends, held)
    certified = f"; {count(turn.certified)} of {plural(turn.classes, 'class', 'classes')} certified"
    soft = f"and {plural(turn.soft_boxes, 'soft label')}, " if turn.soft_boxes else ""
    pool = f"{count(contents.versions[-1].count('images', 'pool'))} left in the pool" if contents.versions else ""
    return (
        Fact(f"mAP on {turn.reported_split}", share(now.map if now else None), "; ".join(filter(None, qualified))),
        Fact(
            "images labeled by people",
            count(turn.labeled_images),
            f"{plural(turn.labeled_boxes, 'box', 'boxes')}; {count(turn.answered_images)} images answered this time",
        ),
        Fact(
            "pseudo-labels",
            count(turn.pseudo_boxes),
            f"{soft}in {plural(turn.pseudo_images, 'image')}{certified if turn.classes else ''}",
        ),
        Fact("images asked", count(turn.asked_images), pool),
    )


def attention(contents: CycleContents) -> tuple[Notice, ...]:
    """What needs attention, the most urgent first; empty where nothing does."""
    found = [
        *_gate(contents),
        *_audits(contents),
        *_push(contents),
        *_files(contents),
        *_certificates(contents),
        *_evidence(contents),
        *_answers(contents),
        *_rubber_stamps(contents),
        *_pool(contents),
    ]
    return tuple(sorted(found, key=lambda notice: list(_TONES).index(notice.tone)))


def _precision(turns: Sequence[Turn]) -> str:
    turn = turns[-1]
    metrics = turn.metrics(turn.reported_split)
    if metrics is None or turn.gate is None:
        return "no model trained,"
    since = _since_first(turns)
    told = f"{turn.reported_split} mAP {share(metrics.map)}{f' ({since})' if since else ''}"
    return told if turn.gate.promoted else f"{told}, but the new model was not promoted,"


def _since_first(turns: Sequence[Turn]) -> str:
    """`+0.051 since cycle 0`; empty where no earlier cycle was measured on the same split."""
    known = measured(turns, turns[-1].reported_split)
    if len(known) < 2 or known[-1][0] is not turns[-1]:
        return ""
    (first, then), (_, now) = known[0], known[-1]
    return f"{change(now.map - then.map)} since cycle {first.cycle}"


def _pseudo(turn: Turn) -> str:
    soft = f", {plural(turn.soft_boxes, 'soft label')}" if turn.soft_boxes else ""
    if turn.pseudo_boxes:
        certified = plural(turn.certified, "certified class", "certified classes")
        return f"{plural(turn.pseudo_boxes, 'pseudo-label')} of {certified}{soft}"
    return f"no pseudo-labels{'' if turn.certified else ', as no class is certified'}{soft}"


def _gate(contents: CycleContents) -> Iterator[Notice]:
    gate = contents.turn.gate
    if gate is None:
        yield Notice("warn", "No model was trained in this cycle.", "model")
    elif not gate.promoted:
        stays = f" Model {short_id(gate.champion)} stays in use." if gate.champion else ""
        yield Notice(
            "bad", f"The new model was not promoted: {gate.why}{'' if gate.why.endswith('.') else '.'}{stays}", "model"
        )
    split = contents.turn.reported_split
    known = measured(contents.turns, split)[-2:]
    if len(known) == 2 and known[-1][0] is contents.turn and known[1][1].map < known[0][1].map:
        (before, then), (_, now) = known
        yield Notice("warn", f"mAP on {split} fell by {share(then.map - now.map)} since cycle {before.cycle}.", "model")


def _audits(contents: CycleContents) -> Iterator[Notice]:
    if contents.certificates is None:
        return
    target = contents.certificates.target
    for label, one in sorted((contents.audit or {}).items()):
        if one.precision is None or one.interval is None or one.precision >= target:
            continue
        surely = one.interval[1] < target
        found = f"{share(one.precision)} ({count(one.right)} of {count(one.boxes)})"
        against = "below" if surely else "under, though within chance of,"
        yield Notice(
            "bad" if surely else "warn",
            f"Precision of the pseudo-labels of {label} is {found}, {against} the promised {share(target)}; known only "
            "in this simulation.",
            "certificates",
        )


def _rubber_stamps(contents: CycleContents) -> Iterator[Notice]:
    found = contents.harvest.acceptance if contents.harvest else None
    for label, one in sorted(found.classes.items()) if found else ():
        if one.is_rubber_stamped:
            yield Notice(
                "warn",
                f"People leave {share(one.unchanged.precision)} of the {label} boxes that they see as they are, but "
                f"draw only {share(one.confirmation.precision)} of those that they do not see: some are accepted "
                "without a look.",
                "people",
            )


def _push(contents: CycleContents) -> Iterator[Notice]:
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
    for label, one in sorted(contents.standings.items()):
        if one.withdrawn:
            yield Notice("bad", f"No pseudo-labels of {label}: {one.needed}.", "certificates")
    without = sorted(label for label, one in promised.classes.items() if not one.certified)
    if without:
        told = (
            f"No pseudo-labels of {listing(without)}: a precision of {percent(promised.target)} could not be certified."
        )
        yield Notice("warn", told, "certificates")


def _evidence(contents: CycleContents) -> Iterator[Notice]:
    known = contents.calibration.evidence if contents.calibration else {}
    fused, plain = known.get("crosscheck"), known.get("confidence")
    if fused and plain and fused.auroc is not None and plain.auroc is not None and fused.auroc <= plain.auroc:
        told = f"Cross-checks did not beat confidence alone (AUROC {share(fused.auroc)} against {share(plain.auroc)})."
        yield Notice("warn", told, "evidence")


def _answers(contents: CycleContents) -> Iterator[Notice]:
    if contents.harvest and contents.harvest.notes:
        yield Notice(
            "warn", f"{plural(len(contents.harvest.notes), 'answer')} needed repair or could not be read.", "people"
        )
    if len(contents.turns) > 1 and not (contents.harvest and contents.harvest.answered):
        yield Notice("warn", "No new answers from people since the cycle before.", "people")
    waiting = contents.versions[-1].count("images", "queued") if contents.versions else 0
    if waiting:
        yield Notice("note", f"{plural(waiting, 'image')} in the queue of the annotators.", "people")


def _pool(contents: CycleContents) -> Iterator[Notice]:
    if contents.versions and not contents.versions[-1].count("images", "pool"):
        yield Notice("note", "The pool is empty: there is nothing left to mine or to ask about.", "data")
