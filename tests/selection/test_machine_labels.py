from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from pipeline.records import (
    SAMPLE_SCHEMA,
    SELECTION_SCHEMA,
    Box,
    Region,
    Source,
    State,
    samples_from_table,
    samples_to_table,
)
from pipeline.selection import machine_labels as module
from pipeline.selection.machine_labels import differ, machine_labels, with_labels
from pipeline.settings import SelectionSettings
from tests.builders import MOMENT, box, sample
from tests.selection.evidence import selection_of

SETTINGS = SelectionSettings(soft_from=0.5, ignore_from=0.02)


def written(*rows, moment=MOMENT, settings=SETTINGS):
    """Boxes and regions of each image, as records."""
    labels = machine_labels(selection_of(*rows), settings, moment)
    images = samples_to_table([replace(sample("x"), image_id=image_id) for image_id in labels["image_id"].to_pylist()])
    return {one.image_id: (one.boxes, one.ignore) for one in samples_from_table(with_labels(images, labels))}


def test_boxes_carry_their_evidence():
    row = {"image_id": "i1", "label": "nut", "score": 0.75, "consistency": 0.5, "p_correct": 0.875, "fate": "pseudo"}
    ((only,), regions) = written(row)["i1"]
    assert only == Box(
        box_id=only.box_id, x1=10.0, y1=20.0, x2=50.0, y2=60.0, label="nut", source=Source.PSEUDO, score=0.75,
        consistency=0.5, p_correct=0.875, model_id="m1", created_at=MOMENT, proposal_id="p0",
    )  # fmt: skip
    assert regions == ()


def test_boxes_are_gathered_by_image_sure_ones_first_and_each_kind_in_order():
    labels = written(
        {"image_id": "i1", "fate": "ask", "p_correct": 0.7, "x1": 1.0},
        {"image_id": "i2", "fate": "drop", "p_correct": 0.01},
        {"image_id": "i1", "fate": "pseudo", "x1": 2.0},
        {"image_id": "i2", "fate": "pseudo", "x1": 3.0},
        {"image_id": "i1", "fate": "pseudo", "x1": 4.0},
    )
    assert {image_id: [(one.source, one.x1) for one in boxes] for image_id, (boxes, _) in labels.items()} == {
        "i1": [(Source.PSEUDO, 2.0), (Source.PSEUDO, 4.0), (Source.SOFT, 1.0)],
        "i2": [(Source.PSEUDO, 3.0)],
    }


def test_unsure_boxes_become_regions_and_weak_ones_after_them():
    _, regions = written(
        {"image_id": "i1", "fate": "drop", "p_correct": 0.03, "x1": 1.0},
        {"image_id": "i1", "fate": "ask", "p_correct": 0.4},
        {"image_id": "i1", "fate": "drop", "p_correct": 0.01},
    )["i1"]
    assert regions == (Region(10.0, 20.0, 50.0, 60.0, "unsure"), Region(1.0, 20.0, 50.0, 60.0, "weak"))


def test_an_unchecked_box_has_no_consistency():
    ((only,), _) = written({"image_id": "i0", "fate": "pseudo", "consistency": None})["i0"]
    assert only.consistency is None


@pytest.mark.parametrize("together", [1, 100_000])
def test_ids_are_stable_and_distinguish_boxes(together, monkeypatch):
    monkeypatch.setattr(module, "_TOGETHER", together)
    rows = [{}, {"x1": 11.0}, {"label": "nut"}, {"image_id": "i1"}, {"model_id": "m2"}]
    rows = [{"image_id": "i0", **row, "fate": "pseudo"} for row in rows]

    def ids(rows, moment=MOMENT):
        return {one.box_id for boxes, _ in written(*rows, moment=moment).values() for one in boxes}

    assert len(ids(rows)) == len(rows)
    assert ids(rows) == ids(reversed(rows), datetime(2027, 1, 1, tzinfo=UTC))


def test_an_image_that_is_not_named_gets_no_box():
    labels = machine_labels(SELECTION_SCHEMA.empty_table(), SETTINGS, MOMENT)
    rows = samples_to_table([sample("a", box(), state=State.PSEUDO, ignore=(Region(0, 0, 9, 9, "weak"),))])
    (bare,) = samples_from_table(with_labels(rows, labels))
    assert (bare.boxes, bare.ignore) == ((), ())


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], [], False),
        ([box()], [box()], False),
        ([box()], [], True),
        ([box()], [box(x1=11.0)], True),
        ([box(p_correct=None)], [box(p_correct=0.5)], True),
        ([box(label="nut"), box()], [box(), box(label="nut")], True),
    ],
    ids=["none", "the same", "one less", "moved", "null before", "another order"],
)
def test_lists_that_differ(old, new, expected):
    """Beside others that do not, so that rows are not mixed up."""
    kind = SAMPLE_SCHEMA.field("boxes").type

    def column(*lists):
        rows = samples_to_table([sample(str(number), *boxes) for number, boxes in enumerate(lists)])
        return rows["boxes"].cast(kind)

    steady = [box(), box(label="nut")]
    assert differ(column(steady, old, []), column(steady, new, [])).tolist() == [False, expected, False]


def test_no_rows():
    empty = pa.chunked_array([], SAMPLE_SCHEMA.field("boxes").type)
    assert differ(empty, empty).tolist() == []
