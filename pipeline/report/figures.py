"""Figures as inline SVG: drawn by matplotlib, inked with the page's own colours so that they follow light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.artefacts import HELD_BACK, Calibration, Metrics, Reliability, TrainingStep
from pipeline.report.contents import Turn, checked_split, measured

_INKS = {
    "#000001": "var(--ink)",
    "#000002": "var(--quiet)",
    "#000003": "var(--line)",
    "#000004": "var(--first)",
    "#000005": "var(--second)",
    "#000006": "var(--page)",
}
_INK, _QUIET, _LINE, _FIRST, _SECOND, _PAGE = _INKS
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": _QUIET,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
}
_LINES = ((_FIRST, "s"), (_SECOND, "o"))
"""Colour and marker of a figure's first and second curve."""
_COMPARED = ("confidence", "crosscheck")
_SIZE_IN = (5.2, 3.1)
_SMALL_IN = (3.6, 2.5)
_ROOM_IN = {"left": 0.68, "bottom": 0.46, "right": 0.1, "top": 0.1}
"""Around the axes, for labels. To have matplotlib measure what they need takes as long as to draw them, twice."""
_LINE_IN, _LEGEND_IN = 0.15, 0.24
"""What a second line of labels needs, and a legend."""
_STEPS = 5
"""Between ticks, at most. Most of the time that a figure takes goes to its ticks."""
_TICKS = 8
_FEW_CYCLES = 40
_ASIDE = {"val": -0.006, HELD_BACK: -0.006, "test": 0.006}
"""Share of the axis by which a split's points stand aside, so that their intervals do not hide each other."""


@dataclass(frozen=True, slots=True)
class Level:
    """A point of a curve: its cycle, its height, its 95 % interval, and whether that cycle's model was promoted."""

    cycle: int
    ap: float | None
    interval: tuple[float, float] | None
    promoted: bool


def class_ap_by_cycle(curves: Mapping[str, Sequence[Level]]) -> Markup:
    """AP of one class by cycle, with intervals; hollow where not promoted.

    Args:
        curves: By split, what is checked first.

    Returns:
        An SVG element; empty where nothing was measured.
    """
    cycles = sorted({level.cycle for levels in curves.values() for level in levels})
    if not cycles:
        return Markup("")
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        for (split, levels), (color, marker) in zip(curves.items(), _LINES, strict=False):
            places = [level.cycle + _ASIDE[split] * len(cycles) for level in levels]
            _ap_line(axes, places, levels, f"{split} AP", (color, marker))
        axes.set_xticks([cycles[place] for place in _spread(len(cycles))])
        axes.set(xlabel="cycle", ylabel="AP")
        figure.legend(loc="upper left", ncols=2)
        return _svg(figure, "class-ap-by-cycle", "AP of the class by cycle; the table beside it has the numbers")


def ap_by_cycle(turns: Sequence[Turn]) -> Markup:
    """Mean AP on test, and on val or held-back images, by cycle, with intervals; hollow where not promoted.

    Args:
        turns: Ascending; those without metrics leave a gap.

    Returns:
        An SVG element; empty where no turn has metrics.
    """
    if not any(turn.gate for turn in turns):
        return Markup("")
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(lines=2)
        for split, (color, marker) in zip((checked_split(turns), "test"), _LINES, strict=True):
            levels = _levels(turns, split)
            places = [level.cycle + _ASIDE[split] * len(turns) for level in levels]
            _ap_line(axes, places, levels, f"{split} mAP", (color, marker))
        shown = [turns[place] for place in _spread(len(turns))]
        axes.set_xticks([turn.cycle for turn in shown], [f"{turn.cycle}\n{turn.labeled_images:,}" for turn in shown])
        axes.set_xlabel("cycle, and below it the images labeled by people")
        axes.set_ylabel("mAP")
        figure.legend(loc="upper left", ncols=2)
        return _svg(figure, "ap-by-cycle", "mAP by cycle; the table beside it has the numbers")


def ap_by_work(turns: Sequence[Turn]) -> list[Markup]:
    """Mean AP by the work of people: images, boxes on them, and hours, as far as each is known.

    Args:
        turns: Ascending; those without metrics leave a gap.

    Returns:
        An SVG element for each; none for what fewer than two measured turns know.
    """
    split = "test" if measured(turns, "test") else checked_split(turns)
    reached = {level.cycle: level for level in _levels(turns, split)}
    work: dict[str, Sequence[float | None]] = {
        "images labeled by people": [turn.labeled_images for turn in turns],
        "boxes on them": [turn.labeled_boxes for turn in turns],
        "hours of answers and reviews": _hours_until(turns),
    }
    figures = []
    for name, amounts in work.items():
        spent = {turn.cycle: amount for turn, amount in zip(turns, amounts, strict=True) if amount is not None}
        known = [cycle for cycle in spent if cycle in reached]
        if len(known) > 1:
            with mpl.rc_context(_STYLE):
                figure, axes = _canvas(_SMALL_IN, legend=False)
                _ap_line(axes, [spent[cycle] for cycle in known], [reached[cycle] for cycle in known], name, _LINES[1])
                axes.xaxis.set_major_locator(MaxNLocator(4))
                axes.set(xlabel=name, ylabel=f"{split} mAP")
                key = f"ap-by-{name.split(maxsplit=1)[0]}"
                figures.append(_svg(figure, key, f"{split} mAP by {name}; the tables have the numbers"))
    return figures


def _hours_until(turns: Sequence[Turn]) -> list[float | None]:
    """Hours of people up to each cycle; None for all where none are known."""
    spent = np.cumsum([turn.hours_of_people or 0.0 for turn in turns]).tolist()
    return spent if any(spent) else [None] * len(turns)


def reliability(calibration: Calibration) -> Markup:
    """Share of right boxes against predicted probability, for confidence and for the fused, calibrated score.

    Returns:
        An SVG element; empty where no bins were measured.
    """
    bins = {name: calibration.scores[name].reliability for name in _COMPARED if name in calibration.scores}
    return reliability_of(bins)


def reliability_of(bins: Mapping[str, Reliability]) -> Markup:
    """Share of right boxes against what up to two scores say.

    Args:
        bins: By name of the score.

    Returns:
        An SVG element; empty where no bins were measured.
    """
    if not any(bins.values()):
        return Markup("")
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        axes.plot([0, 1], [0, 1], color=_QUIET, linewidth=1, linestyle=":", label="perfectly calibrated")
        for (name, rows), (color, marker) in zip(bins.items(), _LINES, strict=False):
            means, shares, boxes = np.array(rows, dtype=float).reshape(-1, 3).T
            sizes = 12 + 90 * boxes / max(boxes.max(initial=0), 1)
            axes.plot(means, shares, color=color, linewidth=1)
            axes.scatter(means, shares, s=sizes, color=color, marker=marker, label=name)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="predicted p(correct)", ylabel="share right")
        figure.legend(loc="upper left", ncols=3)
        return _svg(figure, "reliability", "Share of right boxes against predicted probability, held-back boxes")


def precision_recall(metrics: Metrics, split: str) -> Markup:
    """Precision against recall at IoU 0.5: a thin line per class, a thick one for their mean.

    Args:
        metrics: With curves.
        split: Named in the description.

    Returns:
        An SVG element; empty where no curve was measured.
    """
    curves = np.array(list(metrics.curves.precision_recall.values()), dtype=float)
    if not len(curves):
        return Markup("")
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        recalls = np.linspace(0, 1, curves.shape[1])
        axes.plot(recalls, curves.T, color=_FIRST, linewidth=0.8, alpha=0.6)
        axes.plot(recalls, curves.mean(0), color=_SECOND, label="mean of the classes")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="recall", ylabel="precision")
        figure.legend(loc="upper left")
        return _svg(figure, "precision-recall", f"Precision against recall of each class on {split}, and their mean")


def training_curve(curve: Sequence[TrainingStep]) -> Markup:
    """Loss by training step.

    Returns:
        An SVG element; empty where no step was logged.
    """
    if not curve:
        return Markup("")
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas()
        axes.plot([logged.step for logged in curve], [logged.loss for logged in curve], color=_SECOND)
        axes.set(xlabel="step", ylabel="loss")
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
        axes.xaxis.set_major_locator(MaxNLocator(_TICKS, integer=True))
        first, last = curve[0], curve[-1]
        label = f"Training loss from {first.loss:.3f} at step {first.step} to {last.loss:.3f} at step {last.step}"
        return _svg(figure, "training-curve", label)


def _levels(turns: Sequence[Turn], split: str) -> list[Level]:
    return [
        Level(turn.cycle, metrics.map, metrics.interval, bool(turn.gate and turn.gate.promoted))
        for turn, metrics in measured(turns, split)
    ]


def _ap_line(
    axes: Axes, places: Sequence[float], points: Sequence[Level], label: str, drawn: tuple[str, str] = _LINES[0]
) -> None:
    """Draw a curve through points at these places: in which colour, and with which marker."""
    color, marker = drawn
    at, levels = np.array(places, dtype=float), np.array([point.ap for point in points], dtype=float)
    plot = partial(axes.plot, color=color, marker=marker, markersize=6 if len(at) <= _FEW_CYCLES else 2.5)
    plot(at, levels, markerfacecolor=color, label=label)
    refused = np.array([not point.promoted for point in points], dtype=bool)
    plot(at[refused], levels[refused], markerfacecolor=_PAGE, linestyle="none")
    bounded = np.array([point.interval is not None for point in points], dtype=bool)
    ends = np.array([point.interval for point in points if point.interval], dtype=float).reshape(-1, 2)
    axes.vlines(at[bounded], ends[:, 0], ends[:, 1], color=color, linewidth=1)


def _spread(total: int) -> list[int]:
    """Places of at most `_TICKS` ticks among so many, first and last included."""
    return [int(place) for place in np.unique(np.linspace(0, total - 1, min(total, _TICKS)).round())]


def _canvas(size: tuple[float, float] = _SIZE_IN, *, legend: bool = True, lines: int = 1) -> tuple[Figure, Axes]:
    """A figure of a size in inches; its axes leave room for labels of so many lines below, and for a legend on top."""
    width, height = size
    left, right = _ROOM_IN["left"], _ROOM_IN["right"]
    bottom = _ROOM_IN["bottom"] + _LINE_IN * (lines - 1)
    top = _ROOM_IN["top"] + _LEGEND_IN * legend
    figure = Figure(figsize=size)
    inside = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    axes = figure.add_axes(inside)
    axes.locator_params(nbins=_STEPS)
    return figure, axes


def _svg(figure: Figure, name: str, label: str) -> Markup:
    buffer = io.StringIO()
    unsigned = {"Creator": None, "Date": None, "Format": None, "Type": None}
    with mpl.rc_context({"svg.hashsalt": name}):
        # `Figure.savefig` draws everything once more beforehand.
        FigureCanvasSVG(figure).print_svg(buffer, metadata=unsigned)  # type: ignore[no-untyped-call]
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub("|".join(_INKS), lambda match: _INKS[match.group()], text)
    opening = f'<svg role="img" aria-label="{escape(label)}" class="figure"'
    return Markup(text.replace("<svg", opening, 1))  # noqa: S704 (matplotlib escapes what it draws)
