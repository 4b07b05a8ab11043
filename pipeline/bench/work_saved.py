"""The work that each strategy of `crosscheck bench strategies` takes to reach a share of what all labels give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, ClassVar, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.artefacts.evaluation import Interval
from pipeline.bench.curve import CurvePoint
from pipeline.bench.human_work import HumanWork
from pipeline.bench.measures import mean
from pipeline.bench.strategies import OURS, RoundResult
from pipeline.seeds import numpy_generator

RIVAL = "random"
SHARES = (0.8, 0.9, 0.95)
"""Of the mAP that the labels of every image give."""
RESAMPLES = 2000


class Way(NamedTuple):
    """A strategy on a set."""

    set: str
    strategy: str
    pseudo: bool


@dataclass(frozen=True, slots=True)
class Reached:
    """The work after which a share of the ceiling was reached, mean over the seeds that reached it.

    Attributes:
        seeds: Seeds that reached it, out of `of`.
        of: Seeds that were measured.
        work: Mean over those that reached it; None where none did.
        saved: Share of the seconds of random selection without pseudo-labels that it saves, over seeds in which both
            reached it; None without any.
        interval: Of `saved`, 95 %, by a bootstrap over seeds; None for fewer than two.
    """

    seeds: int
    of: int
    work: HumanWork | None
    saved: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Lead:
    """How much sooner a strategy is where random selection without pseudo-labels ends, over seeds that both have.

    Attributes:
        seeds: Seeds that came there, out of `of`.
        of: Seeds that both strategies have.
        saved: Share of all seconds of people, those before anything was asked included; None where no seed came there.
        saved_asked: Share of the seconds of what was asked.
        interval: Of `saved_asked`, 95 %, by a bootstrap over seeds; None for fewer than two.
    """

    seeds: int
    of: int
    saved: float | None = None
    saved_asked: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class WayResult:
    """One strategy on one set.

    Attributes:
        set: Name of the set.
        strategy: Its name.
        pseudo: Whether it learnt from pseudo-labels.
        area: Mean mAP over the seconds that all strategies of the set have in common, mean over seeds; None where they
            have none in common.
        last: mAP of the last round, mean over seeds.
        rounds: Rounds that every seed has.
        reached: By share of the ceiling, such as `0.9`; empty where the set has no ceiling.
        lead: Over random selection without pseudo-labels, at its last round; None where that was not measured.
    """

    set: str
    strategy: str
    pseudo: bool
    area: float | None
    last: float | None
    rounds: int
    reached: Mapping[str, Reached] = field(default_factory=dict)
    lead: Lead | None = None


@dataclass(frozen=True)
class WorkSaved:
    """Every strategy on every set.

    Attributes:
        ceilings: mAP on test with the labels of every image, by set, mean over seeds.
        ways: In the order of sets, strategies and without pseudo-labels first.
    """

    FILE: ClassVar[str] = "summary.json"
    MADE_BY: ClassVar[str] = "crosscheck bench strategies"

    ceilings: Mapping[str, float]
    ways: tuple[WayResult, ...]


Curves = Mapping[int, Sequence[RoundResult]]
"""Rounds of a way by seed, ascending."""


def ceilings(points: Iterable[CurvePoint]) -> dict[str, float]:
    """What the labels of every image give, by set: the most labelled points of the learning curve, mean over seeds."""
    by_set: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        if point.map is not None:
            by_set[point.set][point.labelled].append(point.map)
    return {name: float(np.mean(counts[max(counts)])) for name, counts in sorted(by_set.items())}


def summarize(results: Sequence[RoundResult], levels: Mapping[str, float]) -> WorkSaved:
    """Sum up over seeds.

    Args:
        results: Rounds of any strategies; one without a true box on test has no part in it.
        levels: Of `ceilings`.
    """
    curves = _curves(results)
    common = _common_seconds(curves)
    ways = tuple(
        WayResult(
            *way,
            area=mean(_area(rounds, common[way.set]) for rounds in own.values()),
            last=mean(rounds[-1].map for rounds in own.values()),
            rounds=min(len(rounds) for rounds in own.values()),
            reached={
                str(share): _reached(own, curves.get(Way(way.set, RIVAL, False), {}), share * levels[way.set])
                for share in (SHARES if way.set in levels else ())
            },
            lead=_lead(own, curves.get(Way(way.set, RIVAL, False), {})),
        )
        for way, own in sorted(curves.items())
    )
    return WorkSaved(dict(levels), ways)


def work_to_reach(rounds: Sequence[RoundResult], level: float) -> HumanWork | None:
    """The work after which a curve first comes to a level, on straight lines between its rounds; None: never.

    Args:
        rounds: Of one seed, ascending.
        level: mAP.
    """
    if rounds and (rounds[0].map or 0.0) >= level:
        return HumanWork(rounds[0].images, rounds[0].boxes, rounds[0].seconds)
    for before, after in pairwise(rounds):
        low, high = before.map or 0.0, after.map or 0.0
        if high >= level:
            part = (level - low) / (high - low)
            return HumanWork(
                *(
                    round(start + part * (end - start))
                    for start, end in (
                        (before.images, after.images),
                        (before.boxes, after.boxes),
                        (before.seconds, after.seconds),
                    )
                )
            )
    return None


def draw(results: Sequence[RoundResult], levels: Mapping[str, float], to: Path | IO[str]) -> None:
    """Draw mAP on test against hours of work, one panel per set: mean over seeds, and the range of the seeds.

    Args:
        results: Rounds of any strategies.
        levels: Of `ceilings`; a dotted line each.
        to: An SVG or PNG file, replaced, or what gets the SVG's text.
    """
    curves = _curves(results)
    sets = sorted({way.set for way in curves})
    figure = Figure(figsize=(4.2 * len(sets), 3.4), layout="constrained")
    panels = figure.subplots(1, len(sets), squeeze=False)[0]
    for axes, name in zip(panels, sets, strict=True):
        _draw_panel(axes, {way: own for way, own in curves.items() if way.set == name}, levels.get(name))
        axes.set_title(name, fontsize=9)
    # Without a date and random ids, the same results give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "strategies", "svg.fonttype": "none"}):
        if isinstance(to, Path) and to.suffix != ".svg":
            figure.savefig(to)
        else:
            figure.savefig(to, format="svg", metadata={"Date": None})


def _draw_panel(axes: Axes, curves: Mapping[Way, Curves], ceiling: float | None) -> None:
    for way, own in curves.items():
        length = min(len(rounds) for rounds in own.values())
        hours = np.array([[one.seconds / 3600 for one in rounds[:length]] for rounds in own.values()])
        maps = np.array([[one.map or 0.0 for one in rounds[:length]] for rounds in own.values()])
        width, style = 2.0 if way.strategy in {OURS, RIVAL} else 1.0, "-" if way.pseudo else "--"
        name = f"{way.strategy}{', pseudo-labels' if way.pseudo else ''}"
        (line,) = axes.plot(hours.mean(0), maps.mean(0), style, linewidth=width, marker=".", label=name)
        axes.fill_between(hours.mean(0), maps.min(0), maps.max(0), color=line.get_color(), alpha=0.08)
    if ceiling is not None:
        axes.axhline(ceiling, color="#555555", linestyle=":", linewidth=1)
    axes.set_xlabel("hours of people", fontsize=8)
    axes.set_ylabel("mAP on test", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=6, loc="lower right")


def _curves(results: Iterable[RoundResult]) -> dict[Way, Curves]:
    ways: dict[Way, dict[int, list[RoundResult]]] = defaultdict(lambda: defaultdict(list))
    for result in sorted(results, key=lambda one: one.round):
        if result.map is not None:
            ways[Way(result.set, result.strategy, result.pseudo)][result.seed].append(result)
    return {way: dict(own) for way, own in ways.items()}


def _common_seconds(curves: Mapping[Way, Curves]) -> dict[str, tuple[float, float]]:
    """From where to where every curve of a set goes."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for way, own in curves.items():
        spans[way.set].extend((rounds[0].seconds, rounds[-1].seconds) for rounds in own.values())
    return {name: (max(low for low, _ in own), min(high for _, high in own)) for name, own in spans.items()}


def _area(rounds: Sequence[RoundResult], span: tuple[float, float]) -> float | None:
    """Mean mAP over some seconds, on straight lines between rounds."""
    if span[1] <= span[0]:
        return None
    places = np.linspace(*span, 201)
    levels = np.interp(places, [one.seconds for one in rounds], [one.map or 0.0 for one in rounds])
    return float(np.trapezoid(levels, places) / (span[1] - span[0]))


def _reached(own: Curves, rival: Curves, level: float) -> Reached:
    works = {seed: work_to_reach(rounds, level) for seed, rounds in own.items()}
    theirs = {seed: work_to_reach(rounds, level) for seed, rounds in rival.items()}
    there = [work for work in works.values() if work is not None]
    pairs = [(work.seconds, other.seconds) for seed, work in works.items() if work and (other := theirs.get(seed))]
    return Reached(len(there), len(works), _mean(there), _saved(pairs), _interval(pairs))


def _lead(own: Curves, rival: Curves) -> Lead | None:
    both = [(rounds, rival[seed]) for seed, rounds in own.items() if len(rival.get(seed, ())) > 1]
    if not both:
        return None
    works = [(work_to_reach(rounds, theirs[-1].map or 0.0), rounds, theirs) for rounds, theirs in both]
    there = [(work.seconds, rounds, theirs) for work, rounds, theirs in works if work]
    everything = [(seconds, theirs[-1].seconds) for seconds, _, theirs in there]
    asked = [(seconds - mine[0].seconds, theirs[-1].seconds - theirs[0].seconds) for seconds, mine, theirs in there]
    return Lead(len(there), len(both), _saved(everything), _saved(asked), _interval(asked))


def _mean(works: Sequence[HumanWork]) -> HumanWork | None:
    if not works:
        return None
    total = sum(works, HumanWork())
    return HumanWork(
        round(total.images / len(works)), round(total.boxes / len(works)), round(total.seconds / len(works), 1)
    )


def _saved(pairs: Sequence[tuple[float, float]]) -> float | None:
    return 1 - sum(own for own, _ in pairs) / sum(other for _, other in pairs) if pairs else None


def _interval(pairs: Sequence[tuple[float, float]]) -> Interval | None:
    if len(pairs) < 2:
        return None
    seconds = np.array(pairs)
    drawn = seconds[numpy_generator(0, "work saved").integers(len(pairs), size=(RESAMPLES, len(pairs)))].sum(1)
    low, high = np.quantile(1 - drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return float(low), float(high)
