"""A project that begins without any label."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from pipeline.artefacts import Decision, GateOutcome, PushRun, SelectionRun, TrainingRun
from pipeline.cycle import load_cycle
from pipeline.detector.inference.image_features import image_features
from pipeline.detector.models.detector import build_detector
from pipeline.detector.training.fit import labeled_predictor
from pipeline.errors import DataError
from pipeline.loop import run_cycle
from pipeline.records import ImageRef, Split
from pipeline.selection.first_questions import REASON
from pipeline.settings import load_settings
from tests.end_to_end.project import labeled_sources, write_config


@pytest.fixture(scope="module")
def bare(tiny_data, tmp_path_factory):
    """Two cycles of a project with a pool and people, and measured on `test`, but without any label to learn from."""
    sources = [source for source in labeled_sources(tiny_data) if source["split"] == "test"]
    config = write_config(
        tmp_path_factory.mktemp("bare"),
        tiny_data,
        data={"sources": sources},
        training={"steps": 6, "plateau": {"fallback_steps": 6}},
    )
    settings = load_settings(config)
    return settings, [run_cycle(settings), run_cycle(settings)]


def test_the_first_cycle_asks_and_trains_nothing(bare):
    settings, (first, _) = bare
    assert not first.has(TrainingRun)
    assert not first.has(GateOutcome)
    assert first.read(SelectionRun).queued == 3
    assert first.read(PushRun).created == 3
    queue = first.folder.read_table("queue.parquet").to_pylist()
    assert [(row["rank"], row["boxes"], row["reason"]) for row in queue] == [(rank, 0, REASON) for rank in range(3)]
    assert first.read(Decision).shown_from is None
    assert "no model trained" in (first.workspace.reports.read_bytes("cycle-0000.html")).decode()
    assert settings.selection.query.images == 3


def test_the_second_cycle_learns_what_was_answered(bare):
    first, second = bare[1]
    asked = set(first.folder.read_table("queue.parquet")["image_id"].to_pylist())
    assert {sample.image_id for sample in second.store.labeled(Split.TRAIN)} == asked
    assert second.read(TrainingRun).run.labeled_images == 3
    assert second.read(GateOutcome).promoted


def test_the_first_images_are_the_same_for_the_same_seed(bare, tiny_data, tmp_path):
    sources = [source for source in labeled_sources(tiny_data) if source["split"] == "test"]
    again = load_settings(write_config(tmp_path, tiny_data, data={"sources": sources}))
    queue = run_cycle(again).folder.read_table("queue.parquet")
    assert queue.equals(load_cycle(bare[0].workspace, 0).folder.read_table("queue.parquet"))


def test_a_project_that_can_ask_nobody_says_what_it_needs(tiny_data, tmp_path):
    sources = [source for source in labeled_sources(tiny_data) if source["split"] == "test"]
    config = write_config(tmp_path, tiny_data, data={"sources": sources}, labeling={"backend": "none"})
    with pytest.raises(DataError, match=r"Expected labelled training images.*labeling\.backend"):
        run_cycle(load_settings(config))


def test_whole_images_of_one_kind_are_alike_whatever_their_padding(bare, tmp_path):
    settings, random, refs = bare[0], np.random.default_rng(0), []
    looks = [((200, 30, 30), 96), ((200, 30, 30), 64), ((20, 40, 210), 96)]
    for number, (color, height) in enumerate(looks):
        pixels = np.clip(np.array(color) + random.integers(-15, 15, (height, 128, 3)), 0, 255).astype(np.uint8)
        place = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(place)
        refs.append(ImageRef(hashlib.sha256(place.read_bytes()).hexdigest(), str(place), 128, height))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    refs.append(ImageRef(hashlib.sha256(b"no image").hexdigest(), str(broken), 128, 96))
    detector = build_detector(settings.detector, settings.data.labels, settings.training, 0)
    seen = image_features(labeled_predictor(settings, detector), refs)
    assert seen.image_ids == [ref.image_id for ref in refs[:3]]
    assert [fault.ref for fault in seen.faults] == [refs[3]]
    np.testing.assert_allclose(np.linalg.norm(seen.vectors, axis=1), 1, rtol=1e-5)
    likeness = seen.vectors @ seen.vectors.T
    assert likeness[0, 1] > likeness[0, 2]
    assert likeness[0, 1] > likeness[1, 2]
