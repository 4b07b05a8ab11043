from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.boxes import is_valid
from pipeline.dataset.formats.coco_masks import MASK_SIDE
from pipeline.dataset.object_masks import Masks, ObjectMasks
from pipeline.dataset.visible_boxes import VisibleBoxes
from pipeline.detector.training.data.copy_paste import CopyPaste
from pipeline.detector.training.data.labeled_image import LabeledPixels
from pipeline.detector.training.data.training_images import BesideBoxes
from pipeline.records import Region, Source, State
from pipeline.settings import CopyPasteSettings
from tests.builders import box, sample
from tests.detector.small import COLORS, LABELS, SIZE, images_of, painted

EXACT = CopyPasteSettings(enabled=True, objects=1, scale_jitter=0.0, margin=0.0, feather_px=0)
BOLT, NUT = box(4, 6, 20, 18, "bolt"), box(40, 40, 56, 60, "nut")


def empty() -> LabeledPixels:
    none = torch.zeros(0, 4)
    pixels = np.full((SIZE, SIZE, 3), 120, dtype=np.uint8)
    return LabeledPixels(pixels, none, torch.zeros(0, dtype=torch.int64), torch.zeros(0), none)


def paste(samples, seed=0, *, settings=EXACT, into=None, pseudo=True):
    images = images_of(samples)
    made = CopyPaste(samples, settings)
    return made(into or empty(), images.load, np.random.default_rng(seed), pseudo=pseudo)


def test_nothing_to_paste(tmp_path):
    host = empty()
    for samples in ([], [painted(tmp_path, "empty")]):
        assert CopyPaste(samples, EXACT)(host, images_of(samples).load, np.random.default_rng(0), pseudo=True) is host


@pytest.mark.parametrize("seed", range(6))
def test_a_pasted_object_is_where_its_box_says(tmp_path, seed):
    pasted = paste([painted(tmp_path, "bolt", BOLT)], seed)
    assert pasted.labels.tolist() == [1]
    x1, y1, x2, y2 = (int(edge) for edge in pasted.boxes[0].tolist())
    assert (x2 - x1, y2 - y1) == (16, 12)
    seen = (pasted.pixels == COLORS["bolt"]).all(-1)
    assert seen[y1:y2, x1:x2].all()
    assert seen.sum() == 16 * 12


def test_surroundings_come_along_and_edges_blend(tmp_path):
    samples = [painted(tmp_path, "bolt", BOLT)]
    wide = CopyPasteSettings(enabled=True, objects=1, scale_jitter=0.0, margin=0.25, feather_px=2)
    pasted = paste(samples, settings=wide)
    x1, y1, x2, y2 = (int(edge) for edge in pasted.boxes[0].tolist())
    assert (x2 - x1, y2 - y1) == (16, 12)
    assert (pasted.pixels[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] == COLORS["bolt"]).all()
    changed = (pasted.pixels != 120).any(-1)
    assert changed.sum() > 16 * 12 * 1.3


@pytest.mark.parametrize("seed", range(5))
def test_objects_are_resized_and_stay_inside(tmp_path, seed):
    settings = CopyPasteSettings(enabled=True, objects=5, scale_jitter=0.5)
    pasted = paste([painted(tmp_path, "both", BOLT, NUT)], seed, settings=settings)
    assert is_valid(pasted.boxes, SIZE, SIZE).all()
    assert len(pasted.boxes) == len(pasted.labels) == len(pasted.weights)


def test_a_large_object_is_shrunk_to_half_the_image(tmp_path):
    pasted = paste([painted(tmp_path, "large", box(0, 0, 64, 48, "nut"))])
    assert (pasted.boxes[0, 2:] - pasted.boxes[0, :2]).tolist() == [32, 24]


def test_every_class_is_pasted_equally_often_and_weights_come_along(tmp_path):
    many = [painted(tmp_path, f"bolt{i}", BOLT) for i in range(6)]
    samples = [*many, painted(tmp_path, "nut", box(40, 40, 56, 60, "nut", p_correct=0.75))]
    images, made = images_of(samples), CopyPaste(samples, EXACT)
    random = np.random.default_rng(0)
    drawn = [made(empty(), images.load, random, pseudo=True) for _ in range(200)]
    labels = torch.cat([one.labels for one in drawn])
    assert (labels == 2).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert {(int(one.labels), round(float(one.weights), 2)) for one in drawn} == {(1, 1.0), (2, 0.75)}


def test_pseudo_boxes_wait_until_they_are_allowed(tmp_path):
    people = painted(tmp_path, "people", BOLT)
    machine = painted(tmp_path, "machine", NUT, state=State.PSEUDO)
    seen = {
        allowed: {int(paste([people, machine], seed, pseudo=allowed).labels) for seed in range(20)}
        for allowed in (False, True)
    }
    assert seen == {False: {1}, True: {1, 2}}
    host = empty()
    assert paste([machine], into=host, pseudo=False) is host


def test_the_surer_a_box_of_the_machine_the_more_often_it_is_drawn(tmp_path):
    """Of one class, so that its boxes compete: 1 for the person, 0.5 and 0 for the machine."""
    people = painted(tmp_path, "people", BOLT)
    likely, coin = (
        painted(tmp_path, f"p{p}", box(4, 6, 20, 18, "bolt", source=Source.SOFT, p_correct=p), state=State.PSEUDO)
        for p in (0.75, 0.5)
    )
    weights = [float(paste([people, likely, coin], seed).weights) for seed in range(600)]
    counts = {weight: weights.count(weight) for weight in set(weights)}
    assert set(counts) == {1.0, 0.75}
    assert counts[1.0] / counts[0.75] == pytest.approx(2, rel=0.25)
    host = empty()
    assert paste([coin], into=host) is host


def test_an_object_that_shows_another_is_left_where_it_is(tmp_path):
    covered = painted(tmp_path, "covered", box(10, 10, 40, 40, "bolt"), box(15, 15, 25, 25, "nut"))
    unsure = painted(tmp_path, "unsure", BOLT, ignore=(Region(0, 0, 15, 15, "unsure"),))
    labels = {tuple(paste([covered], seed).labels.tolist()) for seed in range(10)}
    assert labels == {(2,)}  # the small one shows too little of the large one
    host = empty()
    assert paste([unsure], into=host) is host


def test_an_unreadable_source_pastes_nothing(tmp_path):
    samples = [painted(tmp_path, "bolt", BOLT)]
    host = empty()
    assert CopyPaste(samples, EXACT)(host, lambda index: None, np.random.default_rng(0), pseudo=True) is host


def test_what_a_paste_covers_is_ignored_and_free_places_come_first(tmp_path):
    bolt = painted(tmp_path, "bolt", box(0, 0, 30, 30, "bolt"))
    full = images_of([painted(tmp_path, "full", box(0, 0, 64, 64, "nut"), box(20, 20, 40, 40, "nut"))]).load(0)
    half = images_of([painted(tmp_path, "half", box(0, 0, 20, 64, "nut"))]).load(0)
    fates = [paste([bolt], seed, into=full) for seed in range(30)]
    assert all(len(one.boxes) + len(one.ignore) == 3 for one in fates)
    assert all(1 in one.labels.tolist() for one in fates)
    for seed in range(30):
        free = paste([bolt], seed, into=half)
        assert free.labels.tolist() == [2, 1]
        assert len(free.ignore) == 0


def test_the_item_stays_as_it_is_and_the_same_seed_draws_the_same(tmp_path):
    samples, host = [painted(tmp_path, "both", BOLT, NUT)], empty()
    settings = CopyPasteSettings(enabled=True)
    one, again, other = (paste(samples, seed, settings=settings, into=host) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.pixels, again.pixels)
    assert not np.array_equal(one.pixels, other.pixels)
    assert (host.pixels == 120).all()


def test_a_sample_without_boxes_has_nothing_to_copy():
    assert CopyPaste([sample("one")], EXACT)._all == {}
    assert LABELS == ("bolt", "nut")


def test_visible_boxes_come_along_and_those_of_covered_objects_are_not_known(tmp_path):
    samples = [painted(tmp_path, "bolt", BOLT)]
    visible = VisibleBoxes({samples[0].uri: torch.tensor([[4.0, 6, 20, 18, 4, 6, 12, 18]])})
    images = images_of(samples, beside_boxes=BesideBoxes(visible=visible))
    host = replace(empty(), boxes=torch.tensor([[0.0, 0, SIZE, SIZE]]), labels=torch.ones(1), weights=torch.ones(1))
    host = replace(host, visible=host.boxes)
    pasted = CopyPaste(samples, EXACT)(host, images.load, np.random.default_rng(0), pseudo=True)
    x1, y1, x2, y2 = pasted.boxes[1].tolist()
    assert pasted.visible[0].isnan().all()
    assert pasted.visible[1].tolist() == [x1, y1, x1 + (x2 - x1) / 2, y2]
    plain = paste(samples, into=host)
    assert plain.visible.isnan().all()


def test_masks_come_along(tmp_path):
    samples = [painted(tmp_path, "bolt", BOLT)]
    left = np.zeros((MASK_SIDE, MASK_SIDE), dtype=np.uint8)
    left[:, : MASK_SIDE // 2] = 1
    masks = ObjectMasks({samples[0].uri: (torch.tensor([[4.0, 6, 20, 18]]), [np.packbits(left).tobytes()])})
    images = images_of(samples, beside_boxes=BesideBoxes(masks=masks))
    host = replace(empty(), masks=Masks.unknown(0))
    pasted = CopyPaste(samples, EXACT)(host, images.load, np.random.default_rng(0), pseudo=True)
    x1, y1, x2, y2 = pasted.boxes[0].tolist()
    assert pasted.masks.frames[0].tolist() == [[x1, y1], [x2, y1], [x1, y2]]
    assert pasted.masks.rasters[0].numpy().tolist() == left.tolist()
