"""A cycle in short, for the terminal and for the pages of the flow's runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from pipeline.cycle import Cycle
from pipeline.report.collect import collect
from pipeline.report.contents import CycleContents, checked_split
from pipeline.report.figures import ap_by_cycle
from pipeline.report.notices import attention
from pipeline.report.outlook import outlook_line
from pipeline.report.story import headline, pasted_line, reviewed_line
from pipeline.report.wording import NOTHING, count, share


@dataclass(frozen=True, slots=True)
class Summary:
    """A cycle in short. The report stage may write it, so that nobody collects the contents of its page again.

    Attributes:
        line: One line of plain text, for a terminal.
        markdown: The headline, what more answers may bring, what needs attention and the table of cycles; untrusted
            text is escaped.
        rows: One row per cycle up to this one, ascending, all with the same keys.
        figure: Average precision by cycle, SVG; empty where no cycle was evaluated.
    """

    FILE: ClassVar[str] = "summary.json"
    MADE_BY: ClassVar[str] = "crosscheck report"

    line: str
    markdown: str
    rows: list[dict[str, str]]
    figure: str


def summarize(cycle: Cycle) -> Summary:
    """A cycle in short: as the report stage wrote it, else from the artefacts of the cycle."""
    return cycle.find(Summary) or summary_of(collect(cycle))


def summary_of(contents: CycleContents) -> Summary:
    """A cycle in short, from the contents of its page."""
    rows = _rows(contents)
    return Summary(summary_line(contents), _markdown(contents, rows), rows, str(ap_by_cycle(contents.turns)))


def summary_line(contents: CycleContents) -> str:
    """The cycle in one line of plain text, without any untrusted text."""
    return headline(contents.turns)


def _rows(contents: CycleContents) -> list[dict[str, str]]:
    rows = []
    for turn in contents.turns:
        split = checked_split(contents.turns)
        checked, test = turn.metrics(split), turn.metrics("test")
        rows.append(
            {
                "cycle": str(turn.cycle),
                "labeled images": count(turn.labeled_images),
                "labeled boxes": count(turn.labeled_boxes),
                "pseudo-labels": count(turn.pseudo_boxes),
                "asked": count(turn.asked_images),
                "reviewed": count(turn.reviews.answered),
                "hours": NOTHING if turn.hours_of_people is None else f"{turn.hours_of_people:.1f}",
                f"mAP {split}": share(checked.map if checked else None),
                "mAP test": share(test.map if test else None),
                "promoted": "yes" if turn.gate and turn.gate.promoted else "no",
            }
        )
    return rows


def _markdown(contents: CycleContents, rows: list[dict[str, str]]) -> str:
    notices = [f"- **{notice.word.capitalize()}**: {_plain(notice.text)}" for notice in attention(contents)]
    table = [_line(list(rows[0])), _line(["---"] * len(rows[0])), *(_line(list(row.values())) for row in rows)]
    said = [headline(contents.turns), outlook_line(contents.turns), pasted_line(contents.selected)]
    said.append(reviewed_line(contents.turns))
    parts = [f"# {_plain(contents.opening.name)}", *said, "\n".join(notices), "\n".join(table)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: one line, every mark that could start formatting or HTML escaped."""
    return re.sub(r"([\\`*_\[\]<>#!|~&$])", r"\\\1", " ".join(text.split()))
