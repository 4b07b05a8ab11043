"""Tables about the model: its precision by cycle and class, and how far its scores can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline.records import Fate
from pipeline.report.contents import CycleContents, Turn, measured, page_name
from pipeline.report.measures import AuditCount, Calibration, Certificate, Evidence, Gate
from pipeline.report.tables import Badge, Cell, Column, Link, Table
from pipeline.report.wording import NOTHING, change, count, cut, difference, moment, share, short_id, with_interval

_EVIDENCE_ORDER = (
    "confidence",
    "consistency",
    "augmented view",
    "closeup_score",
    "product",
    "all evidence",
    "crosscheck",
)
_CLASSES_SHOWN = 30
_BLIND = "pseudo-labels of all cycles so far that people found when asked without seeing them, with a 95 % interval"
_TRUTH = "simulation only: this cycle's pseudo-labels against hidden truth, with a 95 % interval"


def progress(turns: Sequence[Turn], most: int, pages: frozenset[int] = frozenset()) -> Table:
    """Precision by cycle beside what it cost people.

    Args:
        turns: Ascending.
        most: Rows shown, the latest.
        pages: Cycles to link to.

    Returns:
        A row a cycle, the latest first.
    """
    shown = list(turns)[-most:]
    columns = (
        Column("Cycle", numeric=False),
        Column("Labeled images", hint="training images labeled by people"),
        Column("Boxes on them"),
        Column("Pseudo-labels", hint="boxes that this cycle pseudo-labeled"),
        Column("mAP val [95 %]"),
        Column("mAP test [95 %]"),
        Column("AP50 test"),
        Column("Model", numeric=False),
        Column("Opened", numeric=False),
    )
    rows = tuple(_progress_row(turn, turn.cycle in pages) for turn in reversed(shown))
    return Table(
        "Precision and what it cost, by cycle", columns, rows, cut(len(shown), len(turns), "cycles", "index.html")
    )


def splits(gate: Gate) -> Table:
    """The new model on each split beside the champion that it had to match."""
    sizes = ("map_small", "map_medium", "map_large")
    titles = ("mAP [95 %]", "AP50", "AP75", "small", "medium", "large")
    columns = (Column("Model and split", numeric=False), *map(Column, titles), Column("Images"), Column("True boxes"))
    known = {
        f"new model {short_id(gate.candidate)} on test": gate.test,
        f"new model {short_id(gate.candidate)} on val": gate.val,
        f"champion before {short_id(gate.champion)} on val": gate.champion_val,
    }
    rows = tuple(
        (
            name,
            with_interval(one.map, one.interval),
            share(one.map50),
            share(one.map75),
            *(share(getattr(one, size)) for size in sizes),
            count(one.images),
            count(one.boxes),
        )
        for name, one in known.items()
        if one and one.boxes
    )
    return Table("The new model in detail", columns, rows)


def classes(turns: Sequence[Turn]) -> Table:
    """AP of every class beside the evaluated cycle before, the worst first.

    Args:
        turns: Ascending; the last is shown.

    Returns:
        A row a class; no rows where the last turn has no metrics.
    """
    split = turns[-1].reported_split
    now = turns[-1].metrics(split)
    earlier, before = next(reversed(measured(turns[:-1], split)), (None, None))
    columns = (
        Column("Class", numeric=False),
        Column(f"True boxes in {split}"),
        Column(f"AP {split}"),
        Column(f"Since cycle {earlier.cycle}" if earlier else "Change"),
        Column(f"AP50 {split}"),
        Column("AP val"),
    )
    known = now.per_class if now else {}
    val = turns[-1].metrics("val")
    rows = []
    for label in sorted(known, key=lambda name: (known[name].ap is None, known[name].ap, name))[:_CLASSES_SHOWN]:
        one = known[label]
        old = before.per_class.get(label) if before else None
        on_val = val.per_class.get(label) if val else None
        delta = difference(one.ap, old.ap if old else None)
        ap_val = share(on_val.ap if on_val else None)
        rows.append((label, count(one.n), share(one.ap), change(delta), share(one.ap50), ap_val))
    note = cut(len(rows), len(known), "classes", "metrics.json")
    return Table(f"Average precision of each class on {split}, the worst first", columns, tuple(rows), note)


def evidence(calibration: Calibration) -> Table:
    """Every score beside chance: how well it tells right boxes from wrong ones.

    Returns:
        A row a score, chance first, then confidence alone, the fused score last.
    """
    columns = (
        Column("Score", numeric=False),
        Column("AUROC [95 %]", hint="0.5 is chance"),
        Column("AP", hint="average precision of the ranking"),
        Column("Recall at precision 0.95", hint="share of the true boxes that a threshold of this precision keeps"),
        Column("Calibration error", hint="expected calibration error, lower is better"),
        Column("Brier", hint="mean squared error, lower is better"),
    )
    known = calibration.evidence
    names = [*sorted(set(known) - set(_EVIDENCE_ORDER)), *(name for name in _EVIDENCE_ORDER if name in known)]
    chance = Evidence(auroc=0.5, ap=_share_right(calibration))
    rows = (_evidence_row("random", chance), *(_evidence_row(name, known[name]) for name in names))
    return Table(f"Measured on {count(calibration.boxes)} held-back labeled boxes, out of fold", columns, rows)


def certificates(contents: CycleContents) -> Table:
    """What is promised for the pseudo-labels of each class, beside what was found and what became of its boxes.

    Returns:
        A row a class; the precision that people found once they were asked blindly, the true one in a simulation.
    """
    promised = contents.certificates.classes if contents.certificates else {}
    withdrawn = {label for label, one in contents.standings.items() if one.withdrawn}
    fates = count_fates(contents.selection)
    audits = [
        (Column(name, hint=hint), counts)
        for name, hint, counts in (
            ("Blind audit", _BLIND, contents.blind_audit),
            ("Precision found", _TRUTH, contents.audit),
        )
        if counts
    ]
    columns = (
        Column("Class", numeric=False),
        Column("Certificate", numeric=False),
        Column("Threshold", hint="on p(correct)"),
        Column("Held-back boxes right", hint="right boxes of all held-back boxes above the threshold"),
        Column("Certified precision", hint="lower bound"),
        *(column for column, _ in audits),
        Column("Pseudo-labels"),
        Column("Asked"),
        Column("Dropped"),
    )
    rows = tuple(
        (
            label,
            *_promise(promised.get(label), withdrawn=label in withdrawn),
            *(_found(counts.get(label)) for _, counts in audits),
            *(count(fates.get(label, {}).get(fate, 0)) for fate in (Fate.PSEUDO, Fate.ASK, Fate.DROP)),
        )
        for label in sorted({*promised, *fates, *(label for _, counts in audits for label in counts)})
    )
    return Table("Certificates, and what became of the boxes of each class", columns, rows)


def missing_for_certificates(contents: CycleContents) -> Table:
    """What would let more classes be pseudo-labelled.

    Returns:
        A row a class that is withdrawn or not certified; beside the promises its words would find no room.
    """
    promised = contents.certificates.classes if contents.certificates else {}
    words: dict[str, list[str | None]] = {label: [one.needed] for label, one in sorted(promised.items())}
    for label, standing in contents.standings.items():
        if standing.withdrawn:
            words.setdefault(label, []).insert(0, standing.needed)
    rows = tuple((label, "; ".join(filter(None, own))) for label, own in sorted(words.items()) if any(own))
    return Table(
        "What is missing", (Column("Class", numeric=False), Column("What would be needed", numeric=False)), rows
    )


def count_fates(selection: pa.Table) -> dict[str, dict[str, int]]:
    """Count boxes by label and fate.

    Args:
        selection: `SELECTION_SCHEMA`.

    Returns:
        Numbers by label, then fate; fates without a box are left out.
    """
    counted = selection.group_by(["label", "fate"]).aggregate([([], "count_all")])
    found: dict[str, dict[str, int]] = {}
    for row in counted.to_pylist():
        found.setdefault(row["label"], {})[row["fate"]] = row["count_all"]
    return found


def gate_badge(turn: Turn) -> Badge:
    """Whether the cycle's model was promoted."""
    if turn.gate is None:
        return Badge("none trained", "note")
    return Badge("promoted", "good") if turn.gate.promoted else Badge("not promoted", "warn")


def _progress_row(turn: Turn, linked: bool) -> tuple[Cell, ...]:
    val, test = turn.metrics("val"), turn.metrics("test")
    return (
        Link(str(turn.cycle), page_name(turn.cycle)) if linked else str(turn.cycle),
        count(turn.labeled_images),
        count(turn.labeled_boxes),
        count(turn.pseudo_boxes),
        with_interval(val.map, val.interval) if val else NOTHING,
        with_interval(test.map, test.interval) if test else NOTHING,
        share(test.map50 if test else None),
        gate_badge(turn),
        moment(turn.opened_at),
    )


def _evidence_row(name: str, one: Evidence) -> tuple[Cell, ...]:
    auroc = with_interval(one.auroc, one.auroc_interval)
    return (name, auroc, share(one.ap), share(one.recall_at_p95), share(one.ece), share(one.brier))


def _share_right(calibration: Calibration) -> float | None:
    """Share of right boxes among all held-back ones: the AP of a random ranking."""
    bins = next(filter(None, calibration.reliability.values()), ())
    boxes = sum(number for _, _, number in bins)
    return sum(right * number for _, right, number in bins) / boxes if boxes else None


def _promise(one: Certificate | None, *, withdrawn: bool) -> tuple[Cell, ...]:
    if one is None:
        return (Badge("none", "note"), NOTHING, NOTHING, NOTHING)
    badge = Badge("certified", "good") if one.certified else Badge("not certified", "warn")
    badge = Badge("withdrawn", "bad") if withdrawn else badge
    return (badge, share(one.threshold), f"{count(one.right)} of {count(one.boxes)}", share(one.lower_bound))


def _found(one: AuditCount | None) -> str:
    if one is None or not one.boxes:
        return NOTHING
    return f"{with_interval(one.precision, one.interval)} ({count(one.right)} of {count(one.boxes)})"
