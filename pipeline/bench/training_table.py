"""The table and the figure of `crosscheck bench training`, from the files that it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.bench.arms import ABLATIONS, ALL, ARMS, LABELLED, OURS
from pipeline.errors import ArtefactError
from pipeline.workspace import Folder

GATED = "ours, gated"
"""`ours` as the gate leaves it: the model from before stays where that of `ours` is refused on val."""
_ORDER = (*(arm for arm in ARMS if arm != ALL), GATED, ALL, *ABLATIONS)

Row = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """An arm over seeds.

    Attributes:
        set: Name of the set.
        labelled: Labelled images.
        arm: Which.
        maps: mAP on test by seed.
        gap_closed: Share of the way from `labelled` to `all`, mean over seeds that have both; None without.
        gain: Over the model to compare with (`labelled`; `ours` for an ablation), by seed.
        precision: Of the pseudo-labels, mean over seeds; None without any.
        recall: Of the pool's true boxes.
    """

    set: str
    labelled: int
    arm: str
    maps: dict[int, float]
    gain: dict[int, float]
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


def read_results(folder: str) -> list[Row]:
    """Read the files of a benchmark.

    Raises:
        ArtefactError: There is none, or one cell was measured with different settings.
    """
    results = Folder(folder)
    rows = [results.read_json(name) for name in results.names() if name.endswith(".json")]
    if not rows:
        raise ArtefactError(f"Expected results in {results.uri}, found none. `crosscheck bench training` makes them.")
    cells = [_cell(row) for row in rows]
    twice = next((cell for cell in cells if cells.count(cell) > 1), None)
    if twice:
        raise ArtefactError(
            f"Expected one result for {twice} in {results.uri}, found more: they were measured with different "
            "settings and are not to be averaged. Move those aside that are not wanted."
        )
    return rows


def summarize(rows: Sequence[Row]) -> list[Arm]:
    """Mean over seeds.

    Args:
        rows: Of `bench_training`.

    Returns:
        An entry a set, number of labelled images and arm; arms as in `ARMS`, then ablations.
    """
    found: dict[tuple[str, int], dict[str, dict[int, Row]]] = {}
    for row in rows:
        found.setdefault((row["set"], row["labelled"]), {}).setdefault(row["arm"], {})[row["seed"]] = row
    arms = []
    for (name, labelled), by_arm in sorted(found.items()):
        maps = {arm: {seed: row["map"] for seed, row in seeds.items()} for arm, seeds in by_arm.items()}
        gated = _gated(by_arm)
        if gated:
            maps[GATED] = gated
        for arm in sorted(maps, key=_ORDER.index):
            against = maps.get(OURS if arm in ABLATIONS else LABELLED, {})
            labels = [row.get("pseudo", {}) for row in by_arm.get(arm, {}).values()]
            arms.append(
                Arm(
                    name,
                    labelled,
                    arm,
                    maps[arm],
                    {seed: level - against[seed] for seed, level in maps[arm].items() if seed in against},
                    _gap_closed(maps[arm], maps.get(LABELLED, {}), maps.get(ALL, {})),
                    _mean([one.get("precision") for one in labels]),
                    _mean([one.get("recall") for one in labels]),
                )
            )
    return arms


def draw(arms: Sequence[Arm], path: Path) -> None:
    """Draw every arm that is no ablation: a dot a seed, a bar at their mean, a panel a set.

    Args:
        arms: Of `summarize`.
        path: An SVG or PNG file, replaced.
    """
    shown = [one for one in arms if one.arm not in ABLATIONS]
    names = sorted({one.arm for one in shown}, key=_ORDER.index, reverse=True)
    sets = list(dict.fromkeys((one.set, one.labelled) for one in shown))
    figure = Figure(figsize=(3.2 * len(sets), 3.0), layout="constrained")
    panels = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, labelled) in zip(panels, sets, strict=True):
        for one in shown:
            if (one.set, one.labelled) == (name, labelled):
                color, level = "#b3541e" if one.arm in {OURS, GATED} else "#555555", names.index(one.arm)
                axes.barh(level, one.mean, color=color, alpha=0.35, height=0.6)
                axes.plot(list(one.maps.values()), [level] * len(one.maps), "o", color=color, markersize=4)
        axes.set_yticks(range(len(names)), names)
        axes.set_title(f"{name}, {labelled} labelled images", fontsize=9)
        axes.set_xlabel("mAP on test", fontsize=8)
        axes.tick_params(labelsize=8)
    with mpl.rc_context({"svg.hashsalt": "training", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _gated(by_arm: Mapping[str, Mapping[int, Row]]) -> dict[int, float]:
    ours = by_arm.get(OURS, {})
    return {seed: row["map" if row["gate"]["promoted"] else "map_before"] for seed, row in ours.items()}


def _gap_closed(maps: Mapping[int, float], low: Mapping[int, float], high: Mapping[int, float]) -> float | None:
    """Share of the mean gap, so that a seed with a small gap does not decide."""
    seeds = [seed for seed in maps if seed in low and seed in high]
    gap = sum(high[seed] - low[seed] for seed in seeds)
    return sum(maps[seed] - low[seed] for seed in seeds) / gap if seeds and gap > 0 else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _cell(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("set", "labelled", "seed", "arm"))
