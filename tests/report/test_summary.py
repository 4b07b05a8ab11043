from dataclasses import replace

from pipeline.report import summary_line, summary_markdown, summary_rows
from pipeline.report.measures import Certificates
from tests.report.builders import cycle_contents, first_cycle, opening, scenes

CONTENTS = cycle_contents(scenes(20))


def test_the_line_is_one_line():
    assert summary_line(CONTENTS).startswith(
        "Cycle 2: test mAP 0.412 (+0.051 since cycle 0) with 44 human-labeled images;"
    )
    assert "\n" not in summary_line(CONTENTS)


def test_rows_are_all_cycles_with_the_same_keys():
    (only,) = summary_rows(first_cycle())
    assert only["mAP test"] == "–"
    assert only["promoted"] == "no"
    rows = summary_rows(CONTENTS)
    assert [(row["cycle"], row["mAP test"], row["labeled images"]) for row in rows] == [
        ("0", "0.361", "24"),
        ("1", "0.387", "34"),
        ("2", "0.412", "44"),
    ]
    assert {tuple(row) for row in rows} == {tuple(only)}


def test_markdown_has_the_story_and_the_table():
    text = summary_markdown(CONTENTS)
    assert text.startswith("# workshop parts\n\nCycle 2: ")
    assert "- **Check**: Files with problems" in text
    assert "| 2 | 44 |" in text
    assert text.count("\n| ") == 2 + len(CONTENTS.turns)


def test_markdown_of_an_empty_cycle():
    assert "- **Note**: There is no certificate yet" in summary_markdown(first_cycle())


def test_untrusted_text_stays_text_in_markdown():
    known = CONTENTS.certificates.classes["nut"]
    hostile = "<img src=x onerror=alert(1)>|[x](javascript:y)\n# *bold* `code` _"
    contents = replace(
        CONTENTS,
        opening=opening(name="a|b\n<script>"),
        certificates=Certificates(0.95, 0.95, {hostile: replace(known, certified=False)}),
    )
    text = summary_markdown(contents)
    assert text.startswith("# a\\|b \\<script\\>\n")
    assert "\\<img src=x onerror=alert(1)\\>\\|\\[x\\](javascript:y) \\# \\*bold\\* \\`code\\` \\_: a precision" in text
