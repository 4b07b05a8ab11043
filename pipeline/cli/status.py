"""`crosscheck status`: ten lines on where a project stands and what happens next."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pipeline.cli.console import DEFAULT_CONFIG, AsJson, Config, Overrides, explained, level, output, settings_from

if TYPE_CHECKING:
    from pipeline.standing import LastCycle, Standing


@explained
def status(config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Say in ten lines where the project stands and what happens next; nothing is changed."""
    from pipeline.standing import standing_of

    standing = standing_of(settings_from(config, overrides))
    output(standing, as_json, *lines(standing))


def lines(standing: Standing) -> list[str]:
    """What people read."""
    version, champion, cycle = standing.version, standing.champion, standing.cycle
    model = (
        f"{champion.model_id}, mAP {level(champion.val)} on val, {level(champion.test)} on test" if champion else "none"
    )
    rows = [
        ("project", f"{standing.project} in {standing.workspace}"),
        ("images", ", ".join(f"{count} {state}" for state, count in standing.images.items()) or "none"),
        ("version", f"{version.number}, {version.timestamp:%Y-%m-%d %H:%M} UTC: {version.why}" if version else "none"),
        ("model", model),
        ("cycle", _cycle(cycle)),
        (
            "edited",
            _listed(cycle.edited if cycle else ()) + (" (from the next cycle)" if cycle and cycle.edited else ""),
        ),
        ("certified", _listed(cycle.certified if cycle else ())),
        ("withdrawn", _listed(cycle.withdrawn if cycle else ())),
        ("disk", "remote" if standing.free_bytes is None else f"{standing.free_bytes / 1e9:.1f} GB free"),
        ("next", standing.coming),
    ]
    return [f"{name + ':':<11}{text}" for name, text in rows]


def _cycle(cycle: LastCycle | None) -> str:
    if cycle is None:
        return "none"
    if cycle.finished_at is not None:
        return f"{cycle.number}, finished {cycle.finished_at:%Y-%m-%d %H:%M} UTC"
    return (
        f"{cycle.number}, opened {cycle.opened_at:%Y-%m-%d %H:%M} UTC, not finished: {cycle.stage or 'its end'} is next"
    )


def _listed(names: Collection[str]) -> str:
    return ", ".join(names) or "none"
