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
            labeled_images=count + 40,
            taught_images=count,
            answered_images=10 if number else 0,
            hours=hours if number else None,
        )
        for number, (level, count) in enumerate(zip(maps, counts, strict=True))
    ]


def power_law(counts, scale=1.5, power=0.3):
    return [1 - scale * count**-power for count in counts]


def test_a_curve_is_extended_as_it_grew_to_twice_its_length():
    counts = [20, 30, 40, 50]
    seen = outlook(history(power_law(counts), counts))
    assert seen.images == 50
    assert seen.gain == pytest.approx(power_law([100])[0] - power_law([50])[0])
    assert seen.interval[0] < seen.gain < seen.interval[1]
    assert seen.hours == pytest.approx(50 * 0.05 / 10)


def test_no_more_than_a_hundred_images_are_spoken_of():
    counts = [200, 210, 220]
    assert outlook(history(power_law(counts), counts)).images == 100


def test_a_steep_start_promises_no_more_than_there_is():
    seen = outlook(history([0.33, 0.43, 0.50], [24, 34, 44]))
    assert seen.interval[1] < 0.5
    assert outlook(history([0.5, 0.8, 1.0], [24, 34, 44])).interval[1] <= 0.02


@pytest.mark.parametrize(
    "history",
    [
        [],
        history([0.3, 0.4]),
        history([0.3, 0.4, 0.41], [20, 20, 30]),
        history([0.3, 0.4, 0.41], [0, 20, 30]),
        [Turn(cycle=number, opened_at=MOMENT, taught_images=10 * number) for number in range(5)],
    ],
    ids=["no cycle", "two cycles", "two numbers of labels", "no label at first", "never measured"],
)
def test_too_little_to_go_by_gives_no_outlook(history):
    assert outlook(history) is None
    assert outlook_line(history) == ""


def test_the_gain_that_comes_lies_within_the_interval_four_times_in_five_or_more():
    random, inside = np.random.default_rng(0), 0
    counts = [20, 30, 40, 50, 60]
    for _ in range(500):
        power = random.uniform(0.0, 0.5)
        true = power_law([*counts, 120], 0.7 * 20**power, power)
        noisy = [level + random.normal(0, 0.015) for level in true[:-1]]
        low, high = outlook(history(noisy, counts)).interval
        inside += low <= true[-1] - true[-2] <= high
    assert 0.8 <= inside / 500 <= 0.95


def test_early_cycles_do_not_count():
    counts = [20 + 10 * number for number in range(9)]
    late = power_law(counts)
    early = [0.0, 0.0, 0.0, *late[3:]]
    assert outlook(history(early, counts)) == outlook(history(late, counts))


def test_the_sentence_says_what_it_brings_and_what_it_costs():
    counts = [20, 30, 40, 50]
    line = outlook_line(history(power_law(counts), counts))
    assert line.startswith("Another 50 answered images are expected to change mAP by +")
    assert line.endswith(" points for 15 min 00 s of people's time")
    unpaid = outlook_line(history(power_law(counts), counts, hours=None))
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
