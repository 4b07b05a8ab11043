import math

import pyarrow as pa
import pytest

from pipeline.dataset.validity import require_valid
from pipeline.records import SAMPLE_SCHEMA, Region, State, samples_to_table
from tests.builders import box, sample


def test_no_rows_are_fine():
    assert require_valid(SAMPLE_SCHEMA.empty_table()).num_rows == 0


def test_good_rows_pass_in_the_order_of_the_schema():
    table = samples_to_table([sample("a", box(0, 0, 320, 240), ignore=(Region(1, 2, 3, 4, "crowd"),)), sample("b")])
    assert require_valid(table.select(reversed(table.column_names))).equals(table)


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="Expected the columns of the sample table, fingerprint, note are missing"):
        require_valid(SAMPLE_SCHEMA.empty_table().drop_columns(["note", "fingerprint"]))


def test_another_type_is_refused():
    table = samples_to_table([sample("a")]).set_column(2, "width", pa.array(["wide"]))
    with pytest.raises(ValueError, match="wide"):
        require_valid(table)


def test_an_image_that_is_there_twice_is_named():
    one = sample("a")
    with pytest.raises(ValueError, match=f"Expected every image_id once, got {one.image_id} 2 times"):
        require_valid(samples_to_table([one, sample("b"), one]))
    table = samples_to_table([one]).set_column(0, "image_id", pa.nulls(1, pa.string()))
    with pytest.raises(ValueError, match="Expected every image_id once, got None 1 times"):
        require_valid(table)


@pytest.mark.parametrize(
    "corners",
    [
        (-1, 0, 9, 9),
        (0, -0.1, 9, 9),
        (9, 0, 9, 9),
        (9, 0, 8, 9),
        (0, 9, 9, 9),
        (0, 0, 321, 9),
        (0, 0, 9, 240.1),
        (math.nan, 0, 9, 9),
        (0, 0, math.inf, 9),
    ],
)
@pytest.mark.parametrize("part", ["boxes", "ignore"])
def test_boxes_outside_the_image_are_refused(corners, part):
    regions = (Region(*corners, reason="crowd"),)
    bad = sample("bad", box(*corners)) if part == "boxes" else sample("bad", box(), ignore=regions)
    table = samples_to_table([sample("none"), sample("good", box(), box(1, 1, 2, 2)), bad])
    with pytest.raises(
        ValueError, match=rf"Expected {part} inside the image of 320 x 240 pixels, got .*{bad.image_id}"
    ):
        require_valid(table)


def test_a_quarantined_image_without_a_size_has_no_boxes():
    torn = sample("a", width=0, height=0, state=State.QUARANTINED)
    assert require_valid(samples_to_table([torn])).num_rows == 1
