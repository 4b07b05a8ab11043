import numpy as np
import pytest

from pipeline.report.contents import Turn
from pipeline.report.outlook import outlook, outlook_line
from tests.report.builders import MOMENT, gate, turns


def history(maps, counts=None, hours=0.05):
    counts = counts or [20 + 10 * number for number in range(len(maps))]
    return [
        Turn(
            cycle=number,
            opened_at=MOMENT,
            gate=gate(number, level),
            labeled_images=count,
            answered_images=10 if number else 0,
            hours=hours if number else None,
        )
        for number, (level, count) in enumerate(zip(maps, counts, strict=True))
    ]


def logarithmic(counts, level=0.1, slope=0.08):
    return [level + slope * float(np.log(count)) for count in counts]


def test_a_curve_is_extended_as_it_grew():
    counts = [20, 30, 40, 50]
    seen = outlook(history(logarithmic(counts), counts), images=50)
    assert seen.gain == pytest.approx(0.08 * np.log(2))
    assert seen.interval[0] < seen.gain < seen.interval[1]
    assert seen.hours == pytest.approx(50 * 0.05 / 10)


@pytest.mark.parametrize(
    "history",
    [
        [],
        history([0.3, 0.4]),
        history([0.3, 0.4, 0.41], [20, 20, 30]),
        history([0.3, 0.4, 0.41], [0, 20, 30]),
        [Turn(cycle=number, opened_at=MOMENT, labeled_images=10 * number) for number in range(5)],
    ],
    ids=["no cycle", "two cycles", "two numbers of labels", "no label at first", "never measured"],
)
def test_too_little_to_go_by_gives_no_outlook(history):
    assert outlook(history) is None
    assert outlook_line(history) == ""


def test_the_gain_that_comes_lies_within_the_interval_about_four_times_in_five():
    random, inside = np.random.default_rng(0), 0
    counts = [20, 30, 40, 50, 60]
    for _ in range(500):
        slope = random.uniform(0.0, 0.15)
        noisy = [level + random.normal(0, 0.015) for level in logarithmic(counts, slope=slope)]
        low, high = outlook(history(noisy, counts)).interval
        inside += low <= slope * np.log(160 / 60) <= high
    assert 0.75 <= inside / 500 <= 0.85


def test_early_cycles_do_not_count():
    counts = [20 + 10 * number for number in range(9)]
    late = logarithmic(counts)
    early = [0.0, 0.0, 0.0, *late[3:]]
    assert outlook(history(early, counts)) == outlook(history(late, counts))


def test_the_sentence_says_what_it_brings_and_what_it_costs():
    counts = [20, 30, 40, 50]
    line = outlook_line(history(logarithmic(counts), counts))
    assert line.startswith("Another 100 answered images are expected to change mAP by +")
    assert line.endswith(" points for 30 min 00 s of people's time")
    unpaid = outlook_line(history(logarithmic(counts), counts, hours=None))
    assert unpaid.endswith(" points")


def test_a_flat_curve_advises_something_else():
    counts = [400, 410, 420, 430, 440, 450]
    falling = [0.6 - 0.5 * float(np.log(count / 400)) for count in counts]
    assert "labels of another kind" in outlook_line(history(falling, counts))


def test_the_pages_and_the_summary_have_it():
    from pipeline.report.summary import summary_of
    from tests.report.builders import cycle_contents

    contents = cycle_contents()
    assert outlook_line(contents.turns), "the built history is long enough"
    assert outlook_line(contents.turns) in summary_of(contents).markdown.replace("\\", "")
    assert len(turns(3)) >= 3
