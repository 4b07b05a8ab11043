from __future__ import annotations

import pyarrow as pa
import pytest
import torch

from pipeline.mining.forecast import paste_prices
from pipeline.mining.redetection import PACKED
from pipeline.settings import MiningSettings

SETTINGS = MiningSettings(margin=0.0, window=0.0, window_px=0, hosts=3, paste_share=1000.0)
FRAME = 2 * 2
"""Pixels of the host on both sides of a paste."""


def proposals(*rows):
    names = ("image_id", "label", "x1", "y1", "x2", "y2")
    return pa.table({name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)})


def priced(table, size=(200, 100), input_px=200, settings=SETTINGS):
    return paste_prices(table, torch.tensor([size] * len(table)), input_px, settings)


def test_a_paste_costs_its_window_twice_and_once_more_where_the_first_two_disagree():
    first, more = priced(proposals(("a", "bolt", 0.0, 0.0, 40.0, 20.0)))[0].tolist()
    window = (40 + FRAME) * (20 + FRAME) / 20_000 / PACKED
    assert first == pytest.approx(2 * window)
    assert more == pytest.approx(window)


def test_sizes_are_those_that_the_detector_sees():
    large = proposals(("a", "bolt", 0.0, 0.0, 400.0, 200.0))
    small = proposals(("a", "bolt", 0.0, 0.0, 40.0, 20.0))
    assert priced(large, size=(2000, 1000)).tolist() == priced(small).tolist()


def test_boxes_at_one_place_share_their_pastes():
    here = (10.0, 10.0, 40.0, 40.0)
    price = priced(proposals(("a", "bolt", *here), ("a", "nut", *here), ("b", "bolt", *here)))
    assert (price[:, 0] > 0).tolist() == [True, False, True]


def test_crowds_are_pasted_smaller():
    settings = SETTINGS.model_copy(update={"paste_share": 0.5, "paste_px": 10})
    crowd = [
        ("a", "bolt", 50.0 * column, 50.0 * row, 50.0 * column + 40, 50.0 * row + 40)
        for column in range(4)
        for row in range(2)
    ]
    alone = priced(proposals(crowd[0]), settings=settings)
    together = priced(proposals(*crowd), settings=settings)
    assert (together < alone).all()
    assert together[:, 0].sum() / 2 == pytest.approx(0.5 / PACKED, rel=0.15), "about half of a host each time"


def test_no_proposals():
    empty = proposals(("a", "bolt", 0.0, 0.0, 1.0, 1.0)).slice(0, 0)
    assert paste_prices(empty, torch.zeros(0, 2), 200, SETTINGS).shape == (0, 2)
