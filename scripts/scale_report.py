"""Steps of `scale.py` that write the report of many cycles; they alone load what it needs, since memory is measured."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pipeline.cycle import Cycle, last_cycle
from pipeline.folder import Folder
from scripts.scale_tables import proposals_of, samples_of

CYCLES = 100


def cycles(folder: Folder, ids: list[str]) -> None:
    """A project of 100 cycles, with image files and without a report."""
    from scripts.scale_project import draw_files, run_cycle, settings_of, with_files

    rows, proposals, settings = samples_of(ids), proposals_of(ids), settings_of(folder)
    rows = with_files(rows, draw_files(folder))
    folder.write_table("rows.parquet", rows)
    Cycle(settings, 0, datetime.now(UTC)).store.commit(rows, reason="import", key="import")
    for _ in range(CYCLES):
        run_cycle(settings, rows, proposals)


def reported(folder: Folder, _: list[str]) -> Callable[[], object]:
    """Write the report of the newest cycle."""
    from pipeline.stages.report import report
    from scripts.scale_project import settings_of

    cycle = last_cycle(settings_of(folder))
    assert cycle is not None
    return lambda: report(cycle)


def one_more(folder: Folder, ids: list[str]) -> Callable[[], object]:
    """The same after another cycle."""
    from scripts.scale_project import run_cycle, settings_of

    run_cycle(settings_of(folder), folder.read_table("rows.parquet"), proposals_of(ids))
    return reported(folder, ids)
