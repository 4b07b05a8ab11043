"""Fates of a pool that is never held at once: what is decided in groups is what is decided of all together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pipeline.artefacts import Certificate
from pipeline.folder import Folder
from pipeline.mining import tables
from pipeline.mining.tables import write_mined
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, SELECTION_SCHEMA
from pipeline.selection.calibration import CalibratedModel
from pipeline.selection.calibrator import Calibrator
from pipeline.selection.cascade import LOOKS, Cascade
from pipeline.selection.class_affinity import AFFINITY, MEMBER, NOTHING, ClassAffinity
from pipeline.selection.deciding import Criteria, decide_pool
from pipeline.selection.localisation_bias import LocalisationBias
from pipeline.selection.missed_objects import MissedObjectsModel
from pipeline.settings import SelectionSettings
from tests.selection.evidence import ORDINARY

IMAGES = 23
WIDTH = 100


def calibrator(pasted):
    """Believes the score, class affinity and, where it knows pastes, how often a box was found again."""
    features = ("score", AFFINITY[0], *(["hit_fraction"] if pasted else []))
    return Calibrator(features, ((),) * len(features), (2.0, 0.5, 3.0)[: len(features)], -1.5, {}, 99, "m1")


def affinity(sign):
    """What bolts look like to one of two members: for one the opposite of what they do for the other."""
    return ClassAffinity((NOTHING, "bolt"), ((0.0, 0.0), (sign * 4.0, 0.0)), (0.0, 0.0))


MODEL = CalibratedModel(
    Cascade(
        tuple(calibrator(pasted) for _ in LOOKS for pasted in (False, True)),
        ({},) * 2,
        (affinity(1), affinity(-1)),
        drop_below=0.3,
    ),
    MissedObjectsModel(("bolt",), (0.0,), (0.0,) * 4, (1.0,) * 4, (0.0,) * 4, 0.0),
    LocalisationBias({"bolt": (0.0, 0.0, 1.0, 0.0)}),
)
CERTIFICATES = {"bolt": Certificate("bolt", True, 0.8, 99, 95, 0.9)}


def mined():
    """Proposals of images that two members mined, the even ones first, and what was found again."""
    random = np.random.default_rng(0)
    images = sorted(range(IMAGES), key=lambda number: (number % 2, number))
    for number in images:
        count = int(random.integers(0, 4))
        names = [f"i{number:02} p{rank}" for rank in range(count)]
        rows = [
            {"proposal_id": name, "image_id": f"i{number:02}", "score": random.random(), "x2": random.uniform(20, 99)}
            for name in names
        ]
        plain = [field for field in PROPOSAL_SCHEMA.names if field in ORDINARY]
        proposals = [{**{name: ORDINARY[name] for name in plain}, **row} for row in rows]
        pastes = [
            {"proposal_id": name, "number": paste, "hit": bool(hit), "score": 0.5 * hit, "iou": 0.8 * hit}
            for name in names
            for paste, hit in enumerate(random.integers(0, 2, int(random.integers(0, 5))).tolist())
        ]
        random.shuffle(pastes)
        yield pa.Table.from_pylist(proposals, PROPOSAL_SCHEMA), pa.Table.from_pylist(pastes, CHECK_SCHEMA)


def criteria(members=None):
    ids = [f"i{number:02}" for number in range(IMAGES)]
    images = pa.table(
        {
            "image_id": ids,
            "width": np.full(IMAGES, WIDTH),
            "height": np.full(IMAGES, WIDTH),
            MEMBER: [number % 2 for number in range(IMAGES)] if members is None else members,
        }
    )
    return Criteria(MODEL, CERTIFICATES, SelectionSettings(drop_below=0.3), (), images)


def decided(folder, group_rows, monkeypatch, by=None):
    monkeypatch.setattr(tables, "GROUP_ROWS", group_rows)
    write_mined(folder, "", mined())
    decide_pool(folder, "selection.parquet", by or criteria())
    return folder.read_table("selection.parquet")


@pytest.mark.parametrize("group_rows", [1, 3, 10])
def test_groups_decide_what_all_together_decide(tmp_path, monkeypatch, group_rows):
    whole = decided(Folder(tmp_path / "whole"), 10_000, monkeypatch)
    assert set(whole["fate"].to_pylist()) == {"pseudo", "ask", "drop"}
    assert decided(Folder(tmp_path / "groups"), group_rows, monkeypatch).equals(whole)


def test_each_box_is_judged_by_the_member_that_proposed_it(tmp_path, monkeypatch):
    own = decided(Folder(tmp_path / "own"), 3, monkeypatch)
    others = decided(
        Folder(tmp_path / "others"), 3, monkeypatch, criteria([1 - number % 2 for number in range(IMAGES)])
    )
    rises = np.greater(own["p_correct"], others["p_correct"])
    even = [int(image_id[1:]) % 2 == 0 for image_id in own["image_id"].to_pylist()]
    assert rises.tolist() == even, "bolts look to member 0 like what its boxes show, and to member 1 like the opposite"


def test_boxes_are_moved_and_cut_at_the_edge_of_their_image(tmp_path, monkeypatch):
    selection = decided(Folder(tmp_path), 3, monkeypatch)
    before = {row["proposal_id"]: row for part, _ in mined() for row in part.to_pylist()}
    assert len(selection) == len(before)
    for row in selection.to_pylist():
        x1, x2 = before[row["proposal_id"]]["x1"], before[row["proposal_id"]]["x2"]
        assert row["x2"] == pytest.approx(min(WIDTH, x2 + (x2 - x1)), abs=1e-3)


def test_nothing_was_mined(tmp_path):
    folder = Folder(tmp_path)
    write_mined(folder, "", [])
    decide_pool(folder, "selection.parquet", criteria())
    assert folder.read_table("selection.parquet").equals(SELECTION_SCHEMA.empty_table())


def test_a_part_without_proposals(tmp_path):
    folder = Folder(tmp_path)
    write_mined(folder, "", [(PROPOSAL_SCHEMA.empty_table(), CHECK_SCHEMA.empty_table())])
    decide_pool(folder, "selection.parquet", replace(criteria(), withdrawn=("bolt",)))
    assert len(folder.read_table("selection.parquet")) == 0
