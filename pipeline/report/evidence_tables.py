"""Tables about held-back evidence: how far scores can be trusted, what is promised, and what is never proposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipeline.artefacts import (
    ALL_CLASSES,
    AuditCount,
    Calibration,
    Certificate,
    Recall,
    ScoreQuality,
    SelectionRun,
)
from pipeline.records import Fate
from pipeline.report.contents import CycleContents
from pipeline.report.tables import Badge, Cell, Column, Table
from pipeline.report.wording import NOTHING, count, share, with_interval

_SCORE_ORDER = ("confidence", "consistency", "augmented view", "close-up", "product", "all evidence", "crosscheck")
_BLIND = "pseudo-labels of all cycles so far that people drew too when they did not see them, with a 95 % interval"
_TRUTH = "simulation only: this cycle's pseudo-labels against hidden truth, with a 95 % interval"


def scores(calibration: Calibration) -> Table:
    """Every score beside chance: how well it tells right boxes from wrong ones.

    Returns:
        One row per score: chance first, then confidence alone, the fused score last.
    """
    columns = (
        Column("Score", numeric=False),
        Column("AUROC [95 %]", hint="0.5 is chance"),
        Column("AP", hint="average precision of the ranking"),
        Column("Recall at precision 0.95", hint="share of the true boxes that a threshold of this precision keeps"),
        Column("Calibration error", hint="expected calibration error, lower is better"),
        Column("Brier", hint="mean squared error, lower is better"),
    )
    measured = calibration.scores
    names = [*sorted(set(measured) - set(_SCORE_ORDER)), *(name for name in _SCORE_ORDER if name in measured)]
    chance = ScoreQuality(auroc=0.5, ap=_share_right(calibration))
    rows = (_score_row("random", chance), *(_score_row(name, measured[name]) for name in names))
    return Table(f"Measured on {count(calibration.boxes)} held-back labeled boxes, out of fold", columns, rows)


def recall(rows: Sequence[Recall]) -> Table:
    """How many objects of each class and size any proposal finds, those found least often first.

    Args:
        rows: One per class and size.
    """
    columns = (
        Column("Class", numeric=False),
        Column("Size", numeric=False, hint="by area: small under 32 x 32 pixels, large from 96 x 96 on"),
        Column("Found [95 %]", hint="share of the objects that any proposal found, however unsure"),
        Column("Never proposed"),
        Column("Held-back objects"),
    )
    shown = tuple(
        (
            row.label,
            row.size,
            with_interval(row.found / row.objects, (row.lower, row.upper)),
            count(row.objects - row.found),
            count(row.objects),
        )
        for row in sorted(rows, key=lambda row: (row.found / row.objects, row.label))
    )
    return Table("What is found at all, by class and size", columns, shown)


def certificates(contents: CycleContents) -> Table:
    """What is promised for the pseudo-labels of each class, beside their audits and what became of its boxes.

    Returns:
        One row per class; the precision that people confirmed without seeing the boxes once there are such answers, and
        the true one in a simulation.
    """
    promised = contents.certificates.classes if contents.certificates else {}
    together = contents.certificates.together if contents.certificates else None
    highest = contents.certificates.highest if contents.certificates else {}
    withdrawn = {label for label, standing in contents.standings.items() if standing.withdrawn}
    fates = count_fates(contents.selection)
    written = _written(contents.selected, fates)
    audits = [
        (Column(name, hint=hint), counts)
        for name, hint, counts in (
            ("Blind audit", _BLIND, contents.blind_audit),
            ("True precision", _TRUTH, contents.audit),
        )
        if counts
    ]
    columns = (
        Column("Class", numeric=False),
        Column("Certificate", numeric=False),
        Column("Threshold", hint="on p(correct)"),
        Column("Held-back boxes right", hint="right boxes among all held-back boxes above the threshold"),
        Column("Certified precision", hint="lower bound"),
        *(column for column, _ in audits),
        Column("Pseudo-labels", hint="boxes that this cycle wrote into the dataset version"),
        Column("Sure, not written", hint="on images that people are asked about, or where objects may be missed"),
        Column("Asked"),
        Column("Dropped"),
        Column("Highest", hint="of the precisions 0.95, 0.9 and 0.8, the highest that can be promised"),
    )
    rows = tuple(
        (
            label,
            *promise(promised.get(label), withdrawn=label in withdrawn),
            *(_precision(counts.get(label)) for _, counts in audits),
            count(written.get(label, 0)),
            count(fates.get(label, {}).get(Fate.PSEUDO, 0) - written.get(label, 0)),
            *(count(fates.get(label, {}).get(fate, 0)) for fate in (Fate.ASK, Fate.DROP)),
            share(highest.get(label)),
        )
        for label in sorted({*promised, *fates, *(label for _, counts in audits for label in counts)})
    )
    return Table(
        "Certificates, and what became of the boxes of each class", columns, rows, _together(together, highest)
    )


def _together(together: Certificate | None, highest: Mapping[str, float]) -> str:
    """What is promised of the boxes of all classes at once, in words."""
    if together is None:
        return ""
    best = f"; {highest[ALL_CLASSES]:g} is the highest that can be promised" if ALL_CLASSES in highest else ""
    if not together.certified:
        return f"Of all classes together the target is not certified{best}. Needed: {together.needed}."
    return (
        f"Of all classes together, boxes from a p(correct) of {share(together.threshold)} on are certified for a "
        f"precision of {share(together.lower_bound)}: {count(together.right)} of {count(together.boxes)} right{best}."
    )


def missing_for_certificates(contents: CycleContents) -> Table:
    """What would let more classes be pseudo-labeled; beside the promises there is no room for so many words.

    Returns:
        One row per class that is withdrawn or not certified.
    """
    promised = contents.certificates.classes if contents.certificates else {}
    needs: dict[str, list[str]] = {label: [certificate.needed] for label, certificate in promised.items()}
    for label, standing in contents.standings.items():
        if standing.withdrawn:
            needs.setdefault(label, []).insert(0, standing.needed)
    rows = tuple((label, "; ".join(filter(None, own))) for label, own in sorted(needs.items()) if any(own))
    columns = (Column("Class", numeric=False), Column("What would be needed", numeric=False))
    return Table("What is missing", columns, rows)


def promise(certificate: Certificate | None, *, withdrawn: bool) -> tuple[Cell, ...]:
    """Whether a class is certified, its threshold, its held-back boxes that are right, and its certified precision."""
    if certificate is None:
        return (Badge("none", "note"), NOTHING, NOTHING, NOTHING)
    badge = Badge("certified", "good") if certificate.certified else Badge("not certified", "warn")
    right = f"{count(certificate.right)} of {count(certificate.boxes)}"
    return (
        Badge("withdrawn", "bad") if withdrawn else badge,
        share(certificate.threshold),
        right,
        share(certificate.lower_bound),
    )


def _written(selected: SelectionRun | None, fates: Mapping[str, Mapping[str, int]]) -> Mapping[str, int]:
    """Pseudo-labels by class; before they are committed, those that will be at most."""
    if selected is None:
        return {label: own.get(Fate.PSEUDO, 0) for label, own in fates.items()}
    return selected.pseudo_by_class


def count_fates(selection: pa.Table) -> dict[str, dict[str, int]]:
    """Count boxes by label and fate.

    Args:
        selection: `SELECTION_SCHEMA`.

    Returns:
        Numbers by label, then fate; fates without a box are left out.
    """
    counted = selection.group_by(["label", "fate"]).aggregate([([], "count_all")])
    numbers: dict[str, dict[str, int]] = {}
    for row in counted.to_pylist():
        numbers.setdefault(row["label"], {})[row["fate"]] = row["count_all"]
    return numbers


def _score_row(name: str, quality: ScoreQuality) -> tuple[Cell, ...]:
    numbers = (quality.ap, quality.recall_at_p95, quality.ece, quality.brier)
    return (name, with_interval(quality.auroc, quality.auroc_interval), *map(share, numbers))


def _share_right(calibration: Calibration) -> float | None:
    """Share of right boxes among all held-back ones: the AP of a random ranking."""
    bins = next((quality.reliability for quality in calibration.scores.values() if quality.reliability), ())
    boxes = sum(number for _, _, number in bins)
    return sum(right * number for _, right, number in bins) / boxes if boxes else None


def _precision(audit: AuditCount | None) -> str:
    if audit is None or not audit.boxes:
        return NOTHING
    return f"{with_interval(audit.precision, audit.interval)} ({count(audit.right)} of {count(audit.boxes)})"
