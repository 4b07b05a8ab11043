from dataclasses import replace

from pipeline.folder import Folder
from pipeline.report.figures import ap_by_cycle
from pipeline.report.summary import summary_line, summary_of
from tests.report.builders import certificate, certificates, cycle_contents, first_cycle, opening
from tests.report.scenes import scenes

CONTENTS = cycle_contents(scenes(20))
SUMMARY = summary_of(CONTENTS)


def test_the_line_is_one_line():
    start = "Cycle 2: test mAP 0.412 (+0.051 since cycle 0) with 44 human-labeled images;"
    assert SUMMARY.line.startswith(start)
    assert "\n" not in SUMMARY.line
    assert summary_line(CONTENTS) == SUMMARY.line


def test_rows_are_all_cycles_with_the_same_keys():
    (only,) = summary_of(first_cycle()).rows
    assert only["mAP test"] == "–"
    assert only["promoted"] == "no"
    assert [(row["cycle"], row["mAP test"], row["labeled images"]) for row in SUMMARY.rows] == [
        ("0", "0.361", "24"),
        ("1", "0.387", "34"),
        ("2", "0.412", "44"),
    ]
    assert {tuple(row) for row in SUMMARY.rows} == {tuple(only)}


def test_markdown_has_the_story_and_the_table():
    assert SUMMARY.markdown.startswith("# workshop parts\n\nCycle 2: ")
    assert "- **Check**: Files with problems" in SUMMARY.markdown
    assert "| 2 | 44 |" in SUMMARY.markdown
    assert SUMMARY.markdown.count("\n| ") == 2 + len(CONTENTS.turns)


def test_it_says_what_was_pasted():
    assert "Pasted into labelled images: 50 of 50 pseudo-labels, 30 of 40 soft labels" in SUMMARY.markdown
    assert "Pasted into" not in summary_of(first_cycle()).markdown


def test_the_figure_is_that_of_the_page():
    assert SUMMARY.figure == str(ap_by_cycle(CONTENTS.turns))
    assert SUMMARY.figure.startswith("<svg")
    assert summary_of(first_cycle()).figure == ""


def test_markdown_of_an_empty_cycle():
    assert "- **Note**: There is no certificate yet" in summary_of(first_cycle()).markdown


def test_a_summary_comes_back_from_its_file(tmp_path):
    folder = Folder(tmp_path)
    folder.write_record(SUMMARY.FILE, SUMMARY)
    assert folder.read_record(SUMMARY.FILE, type(SUMMARY)) == SUMMARY


def test_untrusted_text_stays_text_in_markdown():
    hostile = "<img src=x onerror=alert(1)>|[x](javascript:y)\n# *bold* `code` _"
    promised = certificates(certificate(hostile, certified=False))
    contents = replace(CONTENTS, opening=opening(name="a|b\n<script>"), certificates=promised)
    text = summary_of(contents).markdown
    assert text.startswith("# a\\|b \\<script\\>\n")
    assert "\\<img src=x onerror=alert(1)\\>\\|\\[x\\](javascript:y) \\# \\*bold\\* \\`code\\` \\_: a precision" in text
