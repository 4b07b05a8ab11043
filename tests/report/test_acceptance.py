import pytest

from pipeline.report.data_tables import acceptance
from pipeline.report.measures import Acceptance, AcceptanceCount


@pytest.mark.parametrize(
    ("count", "stamped"),
    [
        (AcceptanceCount(), False),
        (AcceptanceCount(shown=100, accepted=98), False),
        (AcceptanceCount(shown=100, accepted=98, blind=10, confirmed=9), False),
        (AcceptanceCount(shown=100, accepted=98, blind=50, confirmed=30), True),
        (AcceptanceCount(shown=100, accepted=40, blind=50, confirmed=45), False),
    ],
    ids=["nothing", "no blind answers", "too few", "accepted without a look", "corrected with care"],
)
def test_rubber_stamping_is_told_only_where_the_intervals_do_not_meet(count, stamped):
    assert count.is_rubber_stamped is stamped


def test_the_table_has_a_row_a_class_and_sums():
    found = Acceptance(
        {"shown": 20, "blind": 4},
        {"nut": AcceptanceCount(10, 9, 1, 0, 2, 4, 2, 1), "bolt": AcceptanceCount(5, 0, 2, 3)},
    )
    table = acceptance(found)
    assert [row[0] for row in table.rows] == ["bolt", "nut"]
    assert table.rows[1][1:] == ("10", "0.900 [0.555–0.997]", "1", "0", "2", "4", "0.500 [0.068–0.932]", "1")
    assert table.foot[1] == "15"
    assert "20 images with boxes, 4 blind" in table.caption
    assert acceptance(Acceptance()).rows == ()
