import pytest

from pipeline.artefacts import Acceptance, AcceptanceCount, AuditCount
from pipeline.report.people_tables import acceptance


@pytest.mark.parametrize(
    ("count", "stamped"),
    [
        (AcceptanceCount(), False),
        (AcceptanceCount(shown=100, accepted=98), False),
        (AcceptanceCount(shown=100, accepted=98, blind=10, confirmed=9), False),
        (AcceptanceCount(shown=100, accepted=98, blind=50, confirmed=30), True),
        (AcceptanceCount(shown=100, accepted=40, blind=50, confirmed=45), False),
        (AcceptanceCount(100, 98, blind=50, confirmed=30, shown_squared=25 * 4**2, blind_squared=10 * 5**2), False),
        (AcceptanceCount(400, 392, blind=200, confirmed=120, shown_squared=100 * 4**2, blind_squared=40 * 5**2), True),
    ],
    ids=["nothing", "no blind answers", "too few", "accepted unchecked", "corrected with care", "few images", "many"],
)
def test_people_rubber_stamp_only_where_the_intervals_do_not_meet(count, stamped):
    assert count.is_rubber_stamped is stamped


def test_the_table_has_one_row_per_class_and_sums():
    counts = {"nut": AcceptanceCount(10, 9, 1, 0, 2, 4, 2, 1), "bolt": AcceptanceCount(5, 0, 2, 3)}
    table = acceptance(Acceptance(shown_images=20, blind_images=4, classes=counts))
    assert [row[0] for row in table.rows] == ["bolt", "nut"]
    assert table.rows[1][1:] == ("10", "0.900 [0.555–0.997]", "1", "0", "2", "4", "0.500 [0.068–0.932]", "1")
    assert table.foot[1:] == ("15", "0.600 [0.323–0.837]", "3", "3", "2", "4", "0.500 [0.068–0.932]", "1")
    assert "20 images with boxes, 4 blind" in table.caption
    assert acceptance(Acceptance()).rows == ()


@pytest.mark.parametrize(
    ("count", "alone"),
    [
        (AuditCount(50, 30, squared=10 * 5**2), AuditCount(10, 6)),
        (AuditCount(50, 50, squared=10 * 5**2), AuditCount(10, 10)),
        (AuditCount(50, 30, squared=50), AuditCount(50, 30)),
        (AuditCount(50, 30), AuditCount(50, 30)),
        (AuditCount(), AuditCount()),
    ],
    ids=["five in an image", "all right", "one in an image", "each alone", "nothing"],
)
def test_boxes_of_one_image_are_worth_one(count, alone):
    assert count.interval == (alone.interval and pytest.approx(alone.interval))
