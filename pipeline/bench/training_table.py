"""The table and the figure of `crosscheck bench training`, from its results."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.bench.arms import ABLATIONS, ALL, ARMS, BOOSTED, LABELLED, OURS
from pipeline.bench.grid import Grid
from pipeline.bench.measures import mean
from pipeline.bench.training import ArmResult
from pipeline.errors import ArtefactError

GATED = "ours, gated"
"""`ours` as the gate leaves it: the model from before stays where that of `ours` is refused on val."""
ORDER = (*(arm for arm in ARMS if arm != ALL), GATED, ALL, *BOOSTED, *ABLATIONS)
"""Of arms in the table."""

Maps = Mapping[int, float]
"""mAP on test by seed."""


@dataclass(frozen=True)
class ArmSummary:
    """An arm over seeds.

    Attributes:
        set: Name of the set.
        labelled: Images that start labelled.
        arm: Among `ORDER`.
        maps: mAP on test by seed.
        gain: Over the arm to compare with (`labelled`; `ours` for an ablation), by seed.
        gap_closed: Share of the way from `labelled` to `all`, over seeds that have both; None without any.
        precision: Of the pseudo-labels, mean over seeds; None without any.
        recall: Share of the pool's true boxes that they mark, likewise.
    """

    set: str
    labelled: int
    arm: str
    maps: Maps
    gain: Maps
    gap_closed: float | None
    precision: float | None
    recall: float | None

    @property
    def mean(self) -> float:
        """Mean mAP over seeds."""
        return float(np.mean(list(self.maps.values())))

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        return float(np.std(list(self.maps.values()), ddof=1)) if len(self.maps) > 1 else None


def read_results(folder: Path) -> list[ArmResult]:
    """Read the files of a benchmark.

    Raises:
        ArtefactError: There is none, or one arm of a scenario was measured with different settings.
    """
    results = list(Grid(folder, ArmResult).results().values())
    if not results:
        raise ArtefactError(f"Expected results in {folder}, found none. `{ArmResult.MADE_BY}` makes them.")
    counts = Counter((result.set, result.labelled, result.seed, result.arm) for result in results)
    for cell, count in counts.items():
        if count > 1:
            raise ArtefactError(
                f"Expected one result for {cell} in {folder}, found {count}: they were measured with different "
                "settings and are not to be averaged. Move those aside that are not wanted."
            )
    return results


def summarize(results: Iterable[ArmResult]) -> list[ArmSummary]:
    """Sum up over seeds.

    Args:
        results: Of any scenarios and arms; one without a true box on test has no part in it.

    Returns:
        One summary per set, number of labelled images and arm; arms in the order of `ORDER`.
    """
    starts: dict[tuple[str, int], list[ArmResult]] = defaultdict(list)
    for result in results:
        starts[result.set, result.labelled].append(result)
    return [summary for _, own in sorted(starts.items()) for summary in _summarize_start(own)]


def draw(summaries: Sequence[ArmSummary], path: Path) -> None:
    """Draw every arm that is no ablation: one dot per seed, a bar at their mean, one panel per set.

    Args:
        summaries: Of `summarize`.
        path: An SVG or PNG file, replaced.
    """
    shown = [summary for summary in summaries if summary.arm not in ABLATIONS]
    arms = sorted({summary.arm for summary in shown}, key=ORDER.index, reverse=True)
    starts = list(dict.fromkeys((summary.set, summary.labelled) for summary in shown))
    figure = Figure(figsize=(3.2 * len(starts), 3.0), layout="constrained")
    panels = figure.subplots(1, len(starts), sharex=True, sharey=True, squeeze=False)[0]
    for axes, start in zip(panels, starts, strict=True):
        _draw_panel(axes, [summary for summary in shown if (summary.set, summary.labelled) == start], arms)
    # Without a date and random ids, the same results give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "training", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_panel(axes: Axes, summaries: Sequence[ArmSummary], arms: Sequence[str]) -> None:
    for summary in summaries:
        color, level = "#b3541e" if summary.arm in {OURS, GATED} else "#555555", arms.index(summary.arm)
        axes.barh(level, summary.mean, color=color, alpha=0.35, height=0.6)
        axes.plot(list(summary.maps.values()), [level] * len(summary.maps), "o", color=color, markersize=4)
    axes.set_yticks(range(len(arms)), arms)
    axes.set_title(f"{summaries[0].set}, {summaries[0].labelled} labelled images", fontsize=9)
    axes.set_xlabel("mAP on test", fontsize=8)
    axes.tick_params(labelsize=8)


def _summarize_start(results: Sequence[ArmResult]) -> list[ArmSummary]:
    """The arms of one set with one number of labelled images."""
    maps: dict[str, dict[int, float]] = defaultdict(dict)
    pseudo = defaultdict(list)
    for result in results:
        for arm, level in ((result.arm, result.map), (GATED, _gated(result))):
            if level is not None:
                maps[arm][result.seed] = level
        if result.pseudo is not None:
            pseudo[result.arm].append(result.pseudo)
    low, high = maps.get(LABELLED, {}), maps.get(ALL, {})
    return [
        ArmSummary(
            results[0].set,
            results[0].labelled,
            arm,
            maps[arm],
            _gain(maps[arm], maps.get(OURS, {}) if arm in ABLATIONS else low),
            _gap_closed(maps[arm], low, high),
            precision=mean(labels.precision for labels in pseudo[arm]),
            recall=mean(labels.recall for labels in pseudo[arm]),
        )
        for arm in sorted(maps, key=ORDER.index)
    ]


def _gated(result: ArmResult) -> float | None:
    """Test mAP of the model that the gate leaves in use; None for other arms than `ours`."""
    if result.arm != OURS:
        return None
    return result.map if result.gate.promoted else result.map_before


def _gain(maps: Maps, against: Maps) -> Maps:
    return {seed: level - against[seed] for seed, level in maps.items() if seed in against}


def _gap_closed(maps: Maps, low: Maps, high: Maps) -> float | None:
    """Share of the mean gap, so that a seed with a small gap does not decide."""
    seeds = [seed for seed in maps if seed in low and seed in high]
    gap = sum(high[seed] - low[seed] for seed in seeds)
    return sum(maps[seed] - low[seed] for seed in seeds) / gap if seeds and gap > 0 else None
