from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pipeline.bench.frame_sequences import Sequences
from pipeline.bench.frames import (
    ANY_LOW,
    GRU,
    OWN,
    FlickerCount,
    FramesCell,
    FramesResult,
    JudgedBy,
    count_flicker,
    judge,
)
from pipeline.bench.grid import Grid
from pipeline.bench.scenario import ScenarioResult
from pipeline.cli.catalogue_bench import _show_frames
from pipeline.selection.flicker import find_flicker
from pipeline.selection.tracks import link
from tests.builders import box, sample
from tests.selection.test_tracks import table


def test_p_correct_is_judged_on_written_out_boxes():
    boxes = pa.table({"group_id": ["a", "b", "c"]})
    ways = {OWN: np.array([0.9, 0.6, 0.5]), GRU: np.array([0.9, 0.4, 0.5])}
    known = Sequences(boxes, [], np.array([True, False, True]), 0.5)
    judged = judge(OWN, ways, known, 0)
    assert judged.auroc == 0.5
    assert judged.ap == pytest.approx((1 + 2 / 3) / 2)
    assert judged.log_loss == pytest.approx(-np.log([0.9, 0.4, 0.5]).mean())
    assert judged.behind == (0.0, 1.0)
    assert judge(GRU, ways, known, 0).behind == (0.0, 0.0)
    wrong = judge(OWN, ways, Sequences(boxes, [], np.zeros(3, dtype=bool), 0.5), 0)
    assert (wrong.auroc, wrong.ap, wrong.behind) == (None, None, None)


def test_flicker_is_right_where_an_object_is_that_no_proposal_shows():
    boxes = table(*(("a", frame, 0, "nut") for frame in (0, 1, 2, 5)))
    ids = pa.array([f"a.00{frame}" for frame in (0, 1, 2, 5)])
    boxes = boxes.append_column("image_id", ids).append_column("score", pa.array([0.9, 0.2, 0.9, 0.9], pa.float32()))
    shown, gone = sample("a", box(0, 10, 20, 30, "nut")), sample("a")
    frames = [replace(gone if frame == 4 else shown, image_id=f"a.00{frame}") for frame in range(6)]
    known = Sequences(boxes, frames, np.array([True, True, True, True]), 0.5)
    flicker = find_flicker(boxes, link(boxes), np.array([0.9, 0.2, 0.9, 0.9]), np.full(4, 0.9))
    assert count_flicker(flicker, known) == [FlickerCount("doubted", 1, 1), FlickerCount("lost", 2, 1)]


def test_the_tables(capsys):
    judged = (JudgedBy(OWN, 0.8123, None, 0.5, (0.01, 0.02)), JudgedBy(GRU, 0.9, 0.8, 0.25, None))
    counts = (FlickerCount("doubted", 7, 5), FlickerCount(ANY_LOW, 70, 9))
    one = ScenarioResult("made-up", 48, 3)
    _show_frames([FramesResult(**vars(one), sequences=2, frames=12, boxes=30, right=20, tracks=6, epochs=9,
                               judged=judged, flicker=counts)])  # fmt: skip
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "made-up 3 own frame 0.812 – 0.500 0.010 to 0.020" in lines
    assert "made-up 3 GRU 0.900 0.800 0.250 –" in lines
    assert "made-up 3 doubted 7 5" in lines


def test_a_detector_is_measured_on_frames(tiny, root):
    (result,) = Grid(root / "frames", FramesResult).run([FramesCell(scenario, 4) for scenario in tiny])
    assert (result.set, result.labelled, result.seed, result.frames) == ("tiny", 4, 0, 4)
    assert [way.by for way in result.judged] == [
        "own frame", "moving average", "moving average, lost frames 0", "GRU",
    ]  # fmt: skip
    assert 0 <= result.right <= result.boxes
    assert 1 <= result.tracks <= result.boxes
    assert all(each.right <= each.count for each in result.flicker)
