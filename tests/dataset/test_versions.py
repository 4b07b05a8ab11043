from datetime import UTC, datetime

import pytest

from pipeline.dataset.versions import Version, count_rows, standing_versions
from pipeline.records import Source, Split, State, samples_to_table
from tests.builders import box, sample


def history(*restored):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return [Version(n, n - 1 if n else None, moment, "because", restored=r) for n, r in enumerate(restored)]


@pytest.mark.parametrize(
    ("restored", "standing"),
    [
        ([], []),
        ([None], [0]),
        ([None, None, None], [2, 1, 0]),
        ([None, None, None, 1], [3, 1, 0]),
        ([None, None, None, 0], [3, 0]),
        ([None, None, None, 1, None], [4, 3, 1, 0]),
        ([None, None, None, 0, None, 2], [5, 2, 1, 0]),
        ([None, None, 0, None, 2], [4, 2, 0]),
    ],
)
def test_a_restore_undoes_what_lies_between(restored, standing):
    assert [version.number for version in standing_versions(history(*restored))] == standing


def test_an_empty_table_counts_nothing():
    assert count_rows(samples_to_table([])) == {"images": {}, "splits": {}, "boxes": {}, "labels": {}}


def test_counts():
    table = samples_to_table(
        [
            sample("a", box(label="nut"), box(label="bolt", source=Source.HUMAN)),
            sample("b", split=Split.POOL, state=State.POOL),
            sample("c", box(label="nut", source=Source.PSEUDO), split=Split.POOL, state=State.PSEUDO),
            sample("d", box(label="nut"), state=State.QUARANTINED),
        ]
    )
    assert count_rows(table) == {
        "images": {"labeled": 1, "pool": 1, "pseudo": 1, "quarantined": 1},
        "splits": {"pool": 2, "train": 2},
        "boxes": {"human": 1, "import": 1, "pseudo": 1},
        "labels": {"bolt": 1, "nut": 2},
    }
