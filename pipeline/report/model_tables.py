"""Tables about the model: its precision by cycle, by split and by class."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.artefacts import ClassMetrics, CommitteeRun, GateOutcome, Metrics
from pipeline.report.contents import Turn, checked_split, measured
from pipeline.report.names import model_page, page_name
from pipeline.report.tables import Badge, Cell, Column, Table, linked
from pipeline.report.wording import NOTHING, change, count, cut, difference, moment, share, short_id, with_interval

_CLASSES_SHOWN = 30


def progress(turns: Sequence[Turn], most: int, pages: frozenset[str] = frozenset()) -> Table:
    """Precision by cycle beside what it cost people.

    Args:
        turns: Ascending.
        most: Rows shown, the latest.
        pages: Names of the pages to link to.

    Returns:
        One row per cycle, the latest first.
    """
    shown = list(turns)[-most:]
    columns = (
        Column("Cycle", numeric=False),
        Column("Labeled images", hint="images of train and val labeled by people"),
        Column("Boxes on them"),
        Column("Pseudo-labels", hint="boxes that this cycle pseudo-labeled"),
        Column(f"mAP {checked_split(turns)} [95 %]"),
        Column("mAP test [95 %]"),
        Column("AP50 test"),
        Column("Model", numeric=False),
        Column("Gate", numeric=False),
        Column("Opened", numeric=False),
    )
    rows = tuple(_progress_row(turn, checked_split(turns), pages) for turn in reversed(shown))
    note = cut(len(shown), len(turns), "cycles", "index.html")
    return Table("Precision and what it cost, by cycle", columns, rows, note)


def splits(gate: GateOutcome) -> Table:
    """The new model on each split beside the champion that it had to match.

    Returns:
        One row per model and split that has true boxes.
    """
    titles = ("mAP [95 %]", "AP50", "AP75", "small", "medium", "large")
    columns = (Column("Model and split", numeric=False), *map(Column, titles), Column("Images"), Column("True boxes"))
    evaluations = {
        f"new model {short_id(gate.candidate)} on test": gate.test,
        f"new model {short_id(gate.candidate)} on val": gate.val,
        f"champion before {short_id(gate.champion)} on val": gate.champion_val,
        "its committee, out of fold": gate.held_back,
        "the champion's committee, out of fold": gate.champion_held_back,
    }
    rows = tuple((name, *_numbers(metrics)) for name, metrics in evaluations.items() if metrics and metrics.boxes)
    return Table("The new model in detail", columns, rows)


def committee(run: CommitteeRun) -> Table:
    """The members of a committee: what each learnt, how good it is where it did not, and what it cost.

    Args:
        run: The committee.
    """
    columns = (
        Column("Member", numeric=False),
        Column("Began with", numeric=False),
        Column("Learnt images", hint="labeled by people"),
        Column("Pseudo-labeled", hint="by itself"),
        Column("Held-back images"),
        Column("mAP on these"),
        Column("Steps"),
        Column("Minutes"),
    )
    rows = tuple(
        (
            short_id(member.model_id),
            short_id(member.parent) if member.parent else "pretrained weights",
            count(member.run.labeled_images),
            count(member.run.pseudo_images),
            count(member.held_back_images),
            share(member.map),
            count(member.run.steps),
            f"{member.run.train_seconds / 60:.1f}",
        )
        for member in run.members
    )
    return Table("The committee: each member judges the images that it did not learn", columns, rows)


def classes(turns: Sequence[Turn]) -> Table:
    """AP of every class beside the evaluated cycle before, the worst first.

    Args:
        turns: Ascending; the last is shown.

    Returns:
        One row per class; no rows where the last turn has no metrics.
    """
    split = turns[-1].reported_split
    now = _per_class(turns[-1].metrics(split))
    earlier, metrics_before = next(reversed(measured(turns[:-1], split)), (None, None))
    checked = checked_split(turns[-1:])
    before, on_val = _per_class(metrics_before), _per_class(turns[-1].metrics(checked))
    columns = (
        Column("Class", numeric=False),
        Column(f"True boxes in {split}"),
        Column(f"AP {split}"),
        Column(f"Since cycle {earlier.cycle}" if earlier else "Change"),
        Column(f"AP50 {split}"),
        # Without a test split these are the figures already.
        *([Column(f"AP {checked}")] if split != checked else []),
    )
    rows = []
    for label in sorted(now, key=lambda name: (now[name].ap is None, now[name].ap, name))[:_CLASSES_SHOWN]:
        own = now[label]
        delta = difference(own.ap, before[label].ap if label in before else None)
        ap_val = [share(on_val[label].ap if label in on_val else None)] if split != checked else []
        rows.append((label, count(own.boxes), share(own.ap), change(delta), share(own.ap50), *ap_val))
    note = cut(len(rows), len(now), "classes", "metrics.json")
    return Table(f"Average precision of each class on {split}, the worst first", columns, tuple(rows), note)


def gate_badge(turn: Turn) -> Badge:
    """Whether the cycle's model was promoted."""
    if turn.gate is None:
        return Badge("none trained", "note")
    return Badge("promoted", "good") if turn.gate.promoted else Badge("not promoted", "warn")


def _progress_row(turn: Turn, checked: str, pages: frozenset[str]) -> tuple[Cell, ...]:
    val, test = turn.metrics(checked), turn.metrics("test")
    return (
        linked(str(turn.cycle), page_name(turn.cycle), pages),
        count(turn.labeled_images),
        count(turn.labeled_boxes),
        count(turn.pseudo_boxes),
        with_interval(val.map, val.interval) if val else NOTHING,
        with_interval(test.map, test.interval) if test else NOTHING,
        share(test.map50 if test else None),
        linked(short_id(turn.gate.candidate), model_page(turn.gate.candidate), pages) if turn.gate else NOTHING,
        gate_badge(turn),
        moment(turn.opened_at),
    )


def _numbers(metrics: Metrics) -> tuple[str, ...]:
    precisions = (metrics.map50, metrics.map75, metrics.map_small, metrics.map_medium, metrics.map_large)
    return (
        with_interval(metrics.map, metrics.interval),
        *map(share, precisions),
        count(metrics.images),
        count(metrics.boxes),
    )


def _per_class(metrics: Metrics | None) -> dict[str, ClassMetrics]:
    return dict(metrics.per_class) if metrics else {}
