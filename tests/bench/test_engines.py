from __future__ import annotations

import pytest

from pipeline.bench.engines import SHARES, EnginesCell, EnginesResult, differing
from pipeline.bench.grid import Grid
from tests.detector.small import said

BOX, NEAR, FAR = (10, 10, 30, 30), (11, 10, 31, 30), (60, 60, 80, 80)


@pytest.mark.parametrize(
    ("expected", "found", "share"),
    [
        ((), (), 0.0),
        (((BOX, 0.9, 1),), (), 1.0),
        (((BOX, 0.9, 1),), ((NEAR, 0.3, 1),), 0.0),
        (((BOX, 0.9, 1),), ((NEAR, 0.3, 2),), 1.0),
        (((BOX, 0.9, 1),), ((NEAR, 0.05, 1),), 1.0),
        (((BOX, 0.9, 1), (FAR, 0.2, 1)), ((NEAR, 0.9, 1),), 1 / 3),
    ],
)
def test_proposals_that_only_one_answer_has(expected, found, share):
    assert differing([said(*expected)], [said(*found)], 0.1) == pytest.approx(share)


def test_every_engine_is_measured(tiny, root):
    pytest.importorskip("onnxruntime")
    (result,) = Grid(root / "engines", EnginesResult).run([EnginesCell(scenario) for scenario in tiny])
    engines = [(one.engine, one.share) for one in result.engines]
    single = ["torch", "onnx", "onnx_int8"]
    assert engines == [(name, None) for name in single] + [("onnx_two_precision", share) for share in SHARES]
    assert result.engines[1].differing == 0
    assert all(0 <= one.map <= 1 and one.images_per_second > 0 for one in result.engines)
    twice = [one.twice for one in result.engines]
    assert twice == sorted(twice)
