"""The page of a class: its boxes, precision, promises and errors."""

from __future__ import annotations

from pipeline.report import figures
from pipeline.report.figures import Level
from pipeline.report.names import class_page, data_name, up
from pipeline.report.page import environment
from pipeline.report.site import class_tables as tables
from pipeline.report.site.class_contents import ClassContents, ClassTurn
from pipeline.report.site.class_pictures import ClassPictures
from pipeline.report.site.pages import Rendered
from pipeline.report.story import Fact
from pipeline.report.wording import count, interval, percent, plural, share

_SCORES = ("consistency", "crosscheck")


def render_class(contents: ClassContents, pictures: ClassPictures) -> Rendered:
    """Write the page.

    Args:
        contents: The class.
        pictures: Its images.
    """
    html = (
        environment()
        .get_template("class.html")
        .render(
            contents=contents,
            facts=_facts(contents),
            ap_figure=figures.class_ap_by_cycle(_curves(contents)),
            precision=tables.precision_by_cycle(contents),
            now=tables.now(contents.now),
            boxes=tables.boxes_by_cycle(contents),
            promises=tables.promises_by_cycle(contents),
            reliability_figure=figures.reliability_of(
                {name: contents.reliability[name] for name in _SCORES if name in contents.reliability}
            ),
            reliability=tables.reliability(contents),
            recall=tables.recall(contents.recall),
            taken_for=tables.taken_for(contents.taken_for, contents.split),
            mistaken=tables.mistaken(contents.mistaken, contents.split),
            acceptance=tables.accepted_by_cycle(contents),
            galleries=pictures.galleries(contents.label),
            data_file=up(data_name(class_page(contents.label))),
        )
    )
    return Rendered(html, contents)


def _curves(contents: ClassContents) -> dict[str, list[Level]]:
    def levels(of_test: bool) -> list[Level]:
        own = ((turn, turn.test if of_test else turn.val) for turn in contents.turns)
        return [Level(turn.cycle, found.ap, found.interval, turn.promoted) for turn, found in own if found]

    return {contents.checked: levels(of_test=False), "test": levels(of_test=True)}


def _facts(contents: ClassContents) -> tuple[Fact, ...]:
    """The four numbers of a class: its boxes, its precision, its promise, and what people make of its boxes."""
    turn = contents.turns[-1] if contents.turns else ClassTurn(0)
    boxes = sum(sum(own.values()) for own in contents.now.values())
    measured, split = (turn.test, "test") if turn.test else (turn.val, contents.checked)
    ends = f"95 % interval {interval(measured.interval)}" if measured and measured.interval else "in the newest cycle"
    promised, standing = turn.certificate, turn.standing
    status = (
        "withdrawn" if standing and standing.withdrawn else "certified" if promised and promised.certified else "no"
    )
    bound = f"precision of at least {share(promised.lower_bound)}" if status == "certified" and promised else ""
    unchanged = turn.accepted.unchanged if turn.accepted else None
    kept = percent(round(unchanged.precision, 2)) if unchanged and unchanged.precision is not None else "–"
    return (
        Fact("boxes now", count(boxes), f"in {plural(len(contents.now), 'split')}"),
        Fact(f"AP on {split}", share(measured.ap if measured else None), ends),
        Fact("certificate", status, bound or f"{plural(turn.pseudo, 'pseudo-label')} in the newest cycle"),
        Fact(
            "of the machine's boxes left as they were",
            kept,
            f"of {count(unchanged.boxes if unchanged else 0)} that people saw",
        ),
    )
