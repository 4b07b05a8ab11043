"""What `crosscheck bench strategies` found, as a table: the same rows in a terminal and on its page."""

from __future__ import annotations

from pipeline.bench.work_saved import Lead, WayResult, WorkSaved

CAPTION = "Human work by strategy"
_LEAD = ("saved to where random ends", "of what was asked")
_WORK = ("images to 90 %", "boxes", "hours", "saved", "interval", "seeds")
COLUMNS = ("set", "strategy", "pseudo", "rounds", "mAP at the end", "mean mAP", *_LEAD, *_WORK)


def rows_of(summary: WorkSaved) -> list[tuple[str, ...]]:
    """One row of `COLUMNS` for each strategy on each set."""
    return [
        (
            own.set,
            own.strategy,
            "yes" if own.pseudo else "no",
            str(own.rounds),
            *("–" if value is None else f"{value:.3f}" for value in (own.last, own.area)),
            *_lead(own.lead),
            *_work(own),
        )
        for own in summary.ways
    ]


def _lead(lead: Lead | None) -> tuple[str, str]:
    if lead is None or lead.saved is None or lead.saved_asked is None:
        return "-", "-" if lead is None else f"0 of {lead.of} seeds"
    interval = "" if lead.interval is None else f" ({lead.interval[0]:+.0%} to {lead.interval[1]:+.0%})"
    return f"{lead.saved:+.0%}", f"{lead.saved_asked:+.0%}{interval}"


def _work(way: WayResult) -> tuple[str, ...]:
    reached = way.reached.get("0.9")
    if reached is None or reached.work is None:
        return ("-",) * (len(_WORK) - 1) + (f"0 of {reached.of}" if reached else "no ceiling",)
    interval = "-" if reached.interval is None else f"{reached.interval[0]:+.0%} to {reached.interval[1]:+.0%}"
    return (
        str(reached.work.images),
        str(reached.work.boxes),
        f"{reached.work.seconds / 3600:.2f}",
        "-" if reached.saved is None else f"{reached.saved:+.0%}",
        interval,
        f"{reached.seeds} of {reached.of}",
    )
