"""What `crosscheck bench strategies` found, as a page in the manner of the report."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from pipeline.bench.strategies import RoundResult
from pipeline.bench.work_saved import WorkSaved, draw
from pipeline.bench.work_saved_table import CAPTION, COLUMNS, rows_of
from pipeline.report.page import environment
from pipeline.report.tables import Table, text_table


def render_work_saved(summary: WorkSaved, results: Sequence[RoundResult], levels: Mapping[str, float]) -> str:
    """Write the page.

    Args:
        summary: Of these rounds.
        results: Rounds of any strategies.
        levels: Of `ceilings`.

    Returns:
        HTML, self-contained.
    """
    drawn = io.StringIO()
    draw(results, levels, drawn)
    svg = drawn.getvalue()
    template = environment().get_template("strategies.html")
    return template.render(
        figure=Markup(svg[svg.index("<svg") :]),  # noqa: S704 (matplotlib escapes what it draws)
        work=text_table(CAPTION, COLUMNS, rows_of(summary)),
        rounds=_rounds(results),
    )


def _rounds(results: Sequence[RoundResult]) -> Table:
    columns = ("set", "strategy", "pseudo", "seed", "round", "images", "boxes", "hours", "mAP")
    ranked = sorted(results, key=lambda one: (one.set, one.strategy, one.pseudo, one.seed, one.round))
    rows = (
        (
            one.set,
            one.strategy,
            "yes" if one.pseudo else "no",
            *(f"{number:,}" for number in (one.seed, one.round, one.images, one.boxes)),
            f"{one.seconds / 3600:.2f}",
            "–" if one.map is None else f"{one.map:.3f}",
        )
        for one in ranked
    )
    return text_table("Every round", columns, rows)
