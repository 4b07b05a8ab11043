from datetime import timedelta

import pytest

from pipeline.labeling.label_studio.harvest import Watermark
from pipeline.records import Answer
from tests.builders import MOMENT

OVERLAP = timedelta(seconds=300)


def answer(number, seconds):
    moment = MOMENT + timedelta(seconds=seconds)
    return Answer("image", str(number), "ann", False, (), moment, moment)


@pytest.mark.parametrize("text", [None, ""])
def test_before_the_first_harvest_everything_is_new(text):
    mark = Watermark.read(text)
    assert mark.is_new(answer(1, -1e6), OVERLAP)
    assert mark.write() == ""
    assert mark.after([], None, OVERLAP) == mark


def test_it_comes_back_from_its_text():
    mark = Watermark().after([answer(2, 10), answer(1, 20)], MOMENT + timedelta(seconds=20), OVERLAP)
    assert Watermark.read(mark.write()) == mark
    assert mark.write() == Watermark.read(mark.write()).write()


def test_what_was_given_within_the_overlap_is_not_given_again_unless_it_changed():
    mark = Watermark().after([answer(1, 0), answer(2, 100)], MOMENT + timedelta(seconds=350), OVERLAP)
    assert set(mark.given) == {"2"}
    assert not mark.is_new(answer(1, 0), OVERLAP)
    assert not mark.is_new(answer(2, 100), OVERLAP)
    assert mark.is_new(answer(2, 101), OVERLAP)
    assert mark.is_new(answer(3, 60), OVERLAP)


def test_an_hour_that_the_server_has_twice_is_found_by_a_longer_overlap_or_without_a_watermark():
    mark = Watermark().after([answer(1, 0)], MOMENT, OVERLAP)
    again = answer(2, 600 - 3600)
    assert not mark.is_new(again, OVERLAP)
    assert mark.is_new(again, timedelta(seconds=7200))
    assert not mark.is_new(answer(1, 0), timedelta(seconds=7200))
    assert Watermark.read(None).is_new(again, OVERLAP)


def test_it_never_goes_back():
    mark = Watermark(MOMENT)
    assert mark.after([], MOMENT - timedelta(days=1), OVERLAP).updated_at == MOMENT


@pytest.mark.parametrize("text", ["7", "[]", "{", '{"updated_at": "yesterday", "given": {}}', '{"updated_at": null}'])
def test_a_foreign_watermark_is_refused(text):
    with pytest.raises(ValueError, match=r"Expected the watermark of an earlier Label Studio harvest, got"):
        Watermark.read(text)
