"""Filters of tables."""

import pyarrow as pa
import pytest

from pipeline.records import among, of_images

TABLE = pa.table({"image_id": ["a", "b", "c", "d", "é", None]})


@pytest.mark.parametrize(
    "wanted", [[], ["b"], ["a", "d"], ["d", "b", "b"], ["z"], ["", "zz"], ["é", "a"], list("abcd")]
)
def test_a_filter_passes_the_rows_that_are_named_and_no_others(wanted):
    expected = [value for value in "abcdé" if value in wanted]
    assert TABLE.filter(of_images(wanted))["image_id"].to_pylist() == expected
    assert TABLE.filter(among("image_id", iter(wanted)))["image_id"].to_pylist() == expected
    left = TABLE.filter(~of_images(wanted))["image_id"].to_pylist()
    assert [value for value in left if value is not None] == [value for value in "abcdé" if value not in wanted]
