"""A cycle in short, for the terminal and for the pages of the flow's runs."""

from __future__ import annotations

import re

from pipeline.report.contents import CycleContents
from pipeline.report.story import attention, headline
from pipeline.report.wording import count, share


def summary_line(contents: CycleContents) -> str:
    """The cycle in one line of plain text, without any untrusted text."""
    return headline(contents.turns)


def summary_rows(contents: CycleContents) -> list[dict[str, str]]:
    """Every cycle up to this one as rows of text, for a table artefact.

    Returns:
        A dict a cycle, ascending, all with the same keys.
    """
    rows = []
    for turn in contents.turns:
        val, test = turn.metrics("val"), turn.metrics("test")
        rows.append(
            {
                "cycle": str(turn.cycle),
                "labeled images": count(turn.labeled_images),
                "labeled boxes": count(turn.labeled_boxes),
                "pseudo-labels": count(turn.pseudo_boxes),
                "asked": count(turn.asked_images),
                "mAP val": share(val.map if val else None),
                "mAP test": share(test.map if test else None),
                "promoted": "yes" if turn.gate and turn.gate.promoted else "no",
            }
        )
    return rows


def summary_markdown(contents: CycleContents) -> str:
    """The headline, what needs attention and the table of cycles as Markdown; untrusted text is escaped."""
    notices = [f"- **{notice.word.capitalize()}**: {_plain(notice.text)}" for notice in attention(contents)]
    rows = summary_rows(contents)
    table = [_line(list(rows[0])), _line(["---"] * len(rows[0])), *(_line(list(row.values())) for row in rows)]
    parts = [f"# {_plain(contents.opening.name)}", headline(contents.turns), "\n".join(notices), "\n".join(table)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: one line, every mark that could start formatting or HTML escaped."""
    return re.sub(r"([\\`*_\[\]<>#!|~&$])", r"\\\1", " ".join(text.split()))
