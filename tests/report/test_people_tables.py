from dataclasses import replace

from pipeline.artefacts import AnswerRemark, PricedAnswers
from pipeline.report.album import Album
from pipeline.report.people_tables import effort, queue, remarks
from pipeline.report.tables import Link
from tests.report.builders import turns
from tests.report.scenes import queue_table, reader, sample_table, scenes, selection_table


def test_effort_is_summed_over_all_cycles_though_some_are_cut():
    assert effort((), 5).foot == ("All cycles", "0", "0", "0", "0", "–", "–", "–")
    table = effort(turns(3), 2)
    assert table.rows == (
        ("2", "10", "43", "10", "61", "0.7", "–", "–"),
        ("1", "10", "43", "10", "61", "0.7", "–", "–"),
    )
    assert table.foot == ("All cycles", "30", "129", "20", "122", "1.4", "–", "–")
    assert table.note == "2 of 3 cycles shown; all in index.html."


def test_seconds_with_and_without_boxes_are_told_per_image():
    first, second = turns(2)
    table = effort(
        (replace(first, priced=PricedAnswers(2, 90.0, 120.0)), replace(second, priced=PricedAnswers(1, 30.0, 60.0))), 5
    )
    assert [row[-2:] for row in table.rows] == [("30", "60"), ("45", "60")]
    assert table.foot[-2:] == ("40", "60")


def test_the_queue_is_cut_with_a_count():
    images = scenes(12)
    samples = sample_table(images, selection_table(images))
    album = Album(reader(images), samples, [scene.image_id for scene in images])
    assert queue(queue_table(images, 0), album, 3).rows == ()
    table = queue(queue_table(images, 10), album, 3)
    assert table.note == "3 of 10 images shown; all in queue.parquet."
    assert table.rows[0][2:] == (
        "workshop_000.jpg",
        "3 unsure boxes, most of them gear",
        "to correct",
        "1.800",
        "0.400",
        str(len(images[0].boxes)),
    )
    assert table.rows[0][1].marks == ()


def test_answers_to_look_at_again_lead_to_their_task():
    found = [AnswerRemark("fast", "one", "/a/b.png", "ann", "in 1 s", "http://here/7")]
    found.append(AnswerRemark("empty", "0123456789abcdef", "", "bob", "nothing"))
    table = remarks(found, 5)
    assert table.rows == (
        ("b.png", "in 1 s", "ann", Link("open", "http://here/7")),
        ("0123456789ab", "nothing", "bob", "–"),
    )
    assert remarks(found, 1).note == "1 of 2 remarks shown; all in harvest.json."
    assert remarks([], 5).rows == ()
