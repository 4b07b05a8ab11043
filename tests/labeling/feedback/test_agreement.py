import pytest

from pipeline.labeling.feedback.agreement import sources_of
from tests.builders import box


def test_nothing_drawn_nothing_judged():
    assert sources_of([], [], 0.9) == []


@pytest.mark.parametrize(
    ("drawn", "accepted_iou", "source"),
    [
        (box(0, 0, 100, 100), 0.9, "accepted"),
        (box(0, 0, 100, 90), 0.89, "accepted"),
        (box(0, 0, 100, 89), 0.9, "corrected"),
        (box(0, 0, 100, 100, "nut"), 0.9, "corrected"),
        (box(0, 0, 100, 100, "nut"), 0.0, "corrected"),
        (box(200, 0, 300, 100), 0.0, "accepted"),
    ],
)
def test_a_box_is_accepted_when_label_and_place_stay(drawn, accepted_iou, source):
    pair = [box(50, 50, 60, 60), drawn], [box(50, 50, 60, 60), box(0, 0, 100, 100)]
    assert [str(found) for found in sources_of(*pair, accepted_iou)] == ["accepted", source]
