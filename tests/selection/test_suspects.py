import numpy as np
import pyarrow as pa
import pytest

from pipeline.selection.suspects import (
    BOX_SCHEMA,
    DETECTION_SCHEMA,
    Suspicion,
    Usual,
    far_off,
    p_mistake,
    p_swapped,
    suspects,
    usual_sides,
)

NOWHERE = pa.schema([BOX_SCHEMA.field(name) for name in ("image_id", "x1", "y1", "x2", "y2")]).empty_table()

SOMETIMES = Usual(far_off=0.1)


def boxes(*rows, image="one"):
    """`(name, label, corners)`"""
    values = [
        {"image_id": image, "box_id": name, "label": label, **dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True))}
        for name, label, corners in rows
    ]
    return pa.Table.from_pylist(values, BOX_SCHEMA)


def detections(*rows, image="one"):
    """`(name, label, corners, p)`"""
    found = boxes(*(row[:3] for row in rows), image=image)
    return found.append_column("p_correct", pa.array([row[3] for row in rows], pa.float32())).cast(DETECTION_SCHEMA)


def rows_of(labels, seen=None, ignored=NOWHERE, usual=SOMETIMES):
    detected = DETECTION_SCHEMA.empty_table() if seen is None else seen
    return suspects(labels, detected, ignored, usual).to_pylist()


def found(*known, least=0.05, **how):
    return {
        (row["box_id"], row["suspicion"], row["rival"]) for row in rows_of(*known, **how) if row["p_wrong"] >= least
    }


BOLT = ("a", "bolt", (10, 10, 50, 50))
BESIDE = (18, 10, 58, 50)  # IoU 2/3 with BOLT
HALF = (26, 10, 66, 50)  # IoU 0.43


def test_nothing_is_suspected_of_nothing():
    assert found(boxes()) == set()
    assert found(boxes(BOLT)) == set()


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (("b", "bolt", (11, 10, 51, 50)), {("b", "duplicate", "")}),
        (("b", "bolt", BESIDE), set()),
        (("b", "nut", (10, 10, 50, 50)), {("b", "two_classes", "bolt")}),
        (("b", "nut", (14, 10, 54, 50)), set()),
    ],
)
def test_boxes_at_one_place(second, expected):
    assert found(boxes(BOLT, second)) == expected


def test_boxes_of_other_images_are_not_compared():
    other = boxes(("b", "bolt", BOLT[2]), image="two")
    assert found(pa.concat_tables([boxes(BOLT), other])) == set()


def test_a_size_is_unusual_beside_others_of_its_class():
    labels = pa.array(["bolt"] * 25 + ["nut"] * 5)
    usual = usual_sides(labels, np.r_[np.linspace(38, 42, 25), np.full(5, 7.0)])
    assert usual.keys() == {"bolt"}
    tiny, huge = ("b", "bolt", (0, 0, 5, 5)), ("c", "bolt", (0, 0, 300, 300))
    assert found(boxes(BOLT, tiny, huge, ("d", "nut", (0, 0, 1, 1))), usual=Usual(usual)) == {
        ("b", "tiny", ""),
        ("c", "huge", ""),
    }


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (("d", "bolt", BOLT[2], 0.99), set()),
        (("d", "nut", BOLT[2], 0.95), {("a", "wrong_class", "nut")}),
        (("d", "nut", BOLT[2], 0.05), set()),
        (("d", "bolt", HALF, 0.95), {("a", "misplaced", "")}),
        (("d", "bolt", (100, 100, 140, 140), 0.95), {("d", "missing", "")}),
        (("d", "bolt", (100, 100, 140, 140), 0.4), set()),
    ],
)
def test_a_held_back_detection_disagrees(seen, expected):
    assert found(boxes(BOLT), detections(seen)) == expected


def test_a_class_that_another_detection_confirms_is_not_doubted():
    both = detections(("d", "nut", (10, 10, 50, 52), 0.95), ("e", "bolt", BOLT[2], 0.96))
    assert found(boxes(BOLT), both) == set()


def test_a_label_that_one_detection_fits_is_in_place():
    both = detections(("d", "bolt", BOLT[2], 0.96), ("e", "bolt", (30, 10, 70, 50), 0.95))
    assert found(boxes(BOLT), both) == set()


def test_several_detections_of_one_object_are_one_missing_box():
    twice = detections(("d", "bolt", (100, 100, 140, 140), 0.95), ("e", "nut", (101, 100, 141, 140), 0.97))
    assert found(boxes(), twice) == {("e", "missing", "")}


def test_nothing_is_missing_where_a_region_is_ignored():
    seen = detections(("d", "bolt", (100, 100, 140, 140), 0.95))
    region = pa.Table.from_pylist([{"image_id": "one", "x1": 90, "y1": 90, "x2": 200, "y2": 200}], NOWHERE.schema)
    assert found(boxes(), seen, region) == set()


def test_the_surer_a_detection_that_agrees_with_no_label_the_likelier_a_mistake():
    p = p_mistake(np.array([0.0, 0.5, 0.8, 0.9, 0.97, 1.0]))
    assert p[0] == 0
    assert (np.diff(p) >= 0).all()
    assert p[1] < 0.05 < 0.9 < p[-1] < 1


def test_a_class_is_doubted_the_more_the_likelier_another_and_the_less_likely_its_own():
    p = p_swapped(np.array([0.2, 0.8, 0.8]), np.array([0.0, 0.0, 0.5]))
    assert p[0] < p[1]
    assert p[2] < p[1]
    assert 0.2 < p[1] < 0.5


def test_detections_that_often_lie_far_off_make_no_label_doubtful():
    seen = detections(("d", "bolt", HALF, 0.95))
    (often,) = rows_of(boxes(BOLT), seen, usual=Usual(far_off=0.5))
    (rarely,) = rows_of(boxes(BOLT), seen, usual=Usual(far_off=0.05))
    assert often["p_wrong"] == pytest.approx(0.95 * 0.03 / 0.5)
    assert rarely["p_wrong"] == pytest.approx(0.95 * 0.03 / 0.05)
    assert far_off(boxes(BOLT), seen) == (1, 1)
    assert far_off(boxes(BOLT), detections(("d", "bolt", BOLT[2], 0.95), ("e", "bolt", HALF, 0.4))) == (1, 0)


def test_batches_of_images_are_looked_over_alike():
    """Many images at once are the same as each by itself."""
    random = np.random.default_rng(0)
    parts = []
    for image in range(30):
        corners = random.uniform(0, 60, (6, 2))
        rows = [
            (f"{image}-{number}", ("bolt", "nut")[number % 2], (x, y, x + 30, y + 30))
            for number, (x, y) in enumerate(corners.tolist())
        ]
        seen = detections(*((f"d{name}", label, box, 0.96) for name, label, box in rows[3:]), image=str(image))
        parts.append((boxes(*rows[:3], image=str(image)), seen))
    together = found(pa.concat_tables([own for own, _ in parts]), pa.concat_tables([seen for _, seen in parts]))
    assert together == set().union(*(found(own, seen) for own, seen in parts))
    assert {kind for _, kind, _ in together} >= {Suspicion.MISSING, Suspicion.WRONG_CLASS}
