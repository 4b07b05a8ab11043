from datetime import UTC, datetime, timedelta, timezone

import pytest

from pipeline.report import wording


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        (wording.count(None), "–"),
        (wording.count(0), "0"),
        (wording.count(1234567), "1,234,567"),
        (wording.plural(0, "box", "boxes"), "0 boxes"),
        (wording.plural(1, "box", "boxes"), "1 box"),
        (wording.plural(2000, "image"), "2,000 images"),
        (wording.share(None), "–"),
        (wording.share(0.41249), "0.412"),
        (wording.change(None), "–"),
        (wording.change(0.0514), "+0.051"),
        (wording.change(-0.0514), "−0.051"),
        (wording.change(-0.0001), "±0.000"),
        (wording.percent(0.95), "95 %"),
        (wording.percent(0.975), "97.5 %"),
        (wording.with_interval(0.4, None), "0.400"),
        (wording.with_interval(0.4, (0.38, 0.42)), "0.400 [0.380–0.420]"),
        (wording.duration(0.44), "0.4 s"),
        (wording.duration(59.4), "59 s"),
        (wording.duration(59.6), "1 min 00 s"),
        (wording.duration(3599.6), "1 h 00 min"),
        (wording.duration(7620), "2 h 07 min"),
        (wording.seconds(None), "–"),
        (wording.seconds(4.04), "4.0 s"),
        (wording.sentence("so it is"), "so it is."),
        (wording.sentence("So it is."), "So it is."),
        (wording.short_id(None), "–"),
        (wording.short_id(""), "–"),
        (wording.short_id("0123456789abcdef"), "0123456789ab"),
        (wording.file_name("s3://bucket/a/b.jpg"), "b.jpg"),
        (wording.file_name("b.jpg"), "b.jpg"),
        (wording.file_name("/"), "/"),
        (wording.listing([]), ""),
        (wording.listing(["a"]), "a"),
        (wording.listing(["a", "b"]), "a and b"),
        (wording.listing(["a", "b", "c"]), "a, b and c"),
        (wording.listing("abcdefgh"), "a, b, c, d, e, f and 2 more"),
        (wording.cut(3, 3, "boxes", "x.parquet"), ""),
        (wording.cut(12, 3410, "boxes", "x.parquet"), "12 of 3,410 boxes shown; all in x.parquet."),
    ],
)
def test_wording(spoken, expected):
    assert spoken == expected


@pytest.mark.parametrize(
    ("value", "before", "expected"), [(None, 1.0, None), (1.0, None, None), (0.5, 0.25, 0.25), (0.0, 0.25, -0.25)]
)
def test_difference(value, before, expected):
    assert wording.difference(value, before) == expected


@pytest.mark.parametrize(
    "when",
    [
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime(2026, 1, 2, 3, 4, 5),
        datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_moments_are_given_in_utc(when):
    assert wording.moment(when) == "2026-01-02 03:04 UTC"
