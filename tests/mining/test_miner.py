import threading
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.artefacts import MiningCost
from pipeline.dataset.images import read_image
from pipeline.detector.inference import stream
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.models.detector import build_detector
from pipeline.mining.checker import CLASS_FREE_IMAGE, CLASS_FREE_REGION
from pipeline.mining.consistency import gather_evidence
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, VISIBLE_SHARE, proposal_schema
from pipeline.settings import DetectorSettings
from tests.builders import image_id
from tests.mining.miners import PLACES, Only, by_id, miner, pool, squares_of
from tests.mining.squares import LABELS, SquareFinder, found, host_set, image, save_image


def test_no_images():
    mined = miner().mine([])
    assert mined.proposals.equals(PROPOSAL_SCHEMA.empty_table())
    assert mined.checks.equals(CHECK_SCHEMA.empty_table())
    assert mined.faults == ()
    assert mined.cost == MiningCost(seconds=mined.cost.seconds)


def test_images_without_proposals_have_no_row(tmp_path):
    refs = [save_image(tmp_path, f"{seed}", image(seed=seed)) for seed in range(3)]
    mined = miner().mine(refs)
    assert mined.proposals.equals(PROPOSAL_SCHEMA.empty_table())
    assert mined.checks.equals(CHECK_SCHEMA.empty_table())
    assert mined.faults == ()


def test_one_row_per_proposal_and_one_per_paste(tmp_path):
    refs = pool(tmp_path)
    mined = miner(hosts=2).mine(refs)
    assert mined.proposals.schema == PROPOSAL_SCHEMA
    assert mined.checks.schema == CHECK_SCHEMA
    expected = {ref.image_id: number % 4 for number, ref in enumerate(refs) if number % 4}
    assert Counter(mined.proposals["image_id"].to_pylist()) == expected
    ids = mined.proposals["proposal_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert Counter(mined.checks["proposal_id"].to_pylist()) == dict.fromkeys(ids, 2)
    assert mined.cost.pastes == 2 * len(ids)
    assert mined.cost.proposals == mined.cost.closeups == len(ids)
    assert mined.cost.augmented_views == len(expected)
    assert set(mined.cost.seconds) == {"decode", "detect", "propose", "paste", "match"}


def test_rows_say_what_the_detector_saw(tmp_path):
    squares = squares_of(1)
    ref = save_image(tmp_path, "one", image(*squares))
    rows = miner().mine([ref]).proposals.to_pylist()
    by_brightness = sorted(squares, key=lambda square: -square[5])
    assert [[row[name] for name in ("x1", "y1", "x2", "y2")] for row in rows] == [
        list(corners) for *corners, _, _ in by_brightness
    ]
    assert [row["label"] for row in rows] == [LABELS[label - 1] for *_, label, _ in by_brightness]
    assert [row["score"] for row in rows] == pytest.approx([brightness / 255 for *_, brightness in by_brightness])
    assert [row["embedding"] for row in rows] == [
        [float(number == label) for number in range(4)] for *_, label, _ in by_brightness
    ]
    assert [row["runner_up"] for row in rows] == [0.0] * 3
    assert all(row["closeup_score"] == pytest.approx(row["score"], abs=0.05) for row in rows)
    assert all(row["tta_score"] == pytest.approx(row["score"], abs=0.05) for row in rows)
    assert [row["tta_mass"] for row in rows] == pytest.approx([sum(row["score"] for row in rows)] * 3, abs=0.1)
    assert [row["closeup_iou"] for row in rows] == pytest.approx([1.0] * 3, abs=0.15)
    assert [(row["rank"], row["crowd"]) for row in rows] == [(0, 3), (1, 3), (2, 3)]
    assert {row["model_id"] for row in rows} == {"m1"}


# What is known


def test_what_is_known_is_not_detected_again(tmp_path):
    refs = pool(tmp_path)
    whole, finder = miner().mine(refs), SquareFinder()
    known = miner().mine(refs)
    again = miner(finder=finder).mine(refs, known=known)
    empty = [ref for number, ref in enumerate(refs) if number % 4 == 0]
    assert sum(shape[0] for shape in finder.shapes) == len(empty), "only where nothing had been found"
    for name in ("proposals", "checks"):
        assert by_id(getattr(again, name)).equals(by_id(getattr(whole, name)))


def test_known_proposals_get_the_checks_that_they_lack(tmp_path):
    refs = pool(tmp_path)
    known, whole = miner().mine(refs, Only(("gear",), ())), miner().mine(refs)
    again = miner().mine(refs, known=known)
    with_gears = set(known.proposals.filter(pc.is_valid(known.proposals["tta_score"]))["image_id"].to_pylist())
    assert again.cost.augmented_views == len(set(whole.proposals["image_id"].to_pylist()) - with_gears) > 0
    assert again.cost.closeups == len(whole.proposals) - known.cost.closeups
    for name in ("proposals", "checks"):
        assert by_id(getattr(again, name)).equals(by_id(getattr(whole, name)))


def test_a_known_image_that_is_gone_is_a_fault(tmp_path):
    refs = pool(tmp_path)
    known = miner().mine(refs, Only())
    Path(refs[1].uri).unlink()
    again = miner().mine(refs, known=known)
    assert [ref.image_id for ref, _ in again.faults] == [refs[1].image_id]
    assert refs[1].image_id not in again.proposals["image_id"].to_pylist()


class SeesGhosts(SquareFinder):
    """Sees a bolt in the top left corner of images that are marked there, whatever lies under it."""

    MARK = 77

    def _find(self, pixels):
        seen = super()._find(pixels)
        if pixels[0, 0, 0] != self.MARK:
            return seen
        boxes = torch.cat([seen.boxes, torch.tensor([[0.0, 0, 12, 12]])])
        return found(boxes, [*seen.scores.tolist(), 0.9], [*seen.labels.tolist(), 1])


def test_a_right_proposal_is_found_again_and_a_wrong_one_is_not(tmp_path):
    pixels = image((30, 10, 44, 22, 2, 204), seed=1)
    pixels[0, 0] = SeesGhosts.MARK
    ref = save_image(tmp_path, "one", pixels)
    hosts = host_set(*((image(seed=number), ()) for number in range(4)))
    mined = miner(into=hosts, finder=SeesGhosts(), scale_jitter=0.0, margin=0.0, window=100.0).mine([ref])
    evidence = gather_evidence(mined.proposals, mined.checks).to_pydict()
    assert evidence["label"] == ["bolt", "gear"]
    assert evidence["consistency"] == pytest.approx([0.0, 0.8])
    assert evidence["hit_fraction"] == [0.0, 1.0]


@pytest.mark.parametrize("factor", [1, 2])
def test_boxes_are_in_pixels_of_their_own_images(tmp_path, factor):
    """The pool image is `factor` times the input's size, the hosts four times."""
    square = tuple(factor * corner for corner in (16, 12, 32, 28))
    ref = save_image(tmp_path, "one", image((*square, 1, 200), size=(64 * factor, 48 * factor)))
    hosts = host_set(*((image(seed=100 + n), ()) for n in range(4)), factor=4)
    mined = miner(into=hosts, scale_jitter=0.0, window=100.0).mine([ref])
    corners = [mined.proposals[name][0].as_py() for name in ("x1", "y1", "x2", "y2")]
    np.testing.assert_allclose(corners, square, atol=factor - 1)
    for row in mined.checks.to_pylist():
        pasted = np.array([row[f"paste_{name}"] for name in ("x1", "y1", "x2", "y2")])
        again = np.array([row[name] for name in ("x1", "y1", "x2", "y2")])
        np.testing.assert_allclose(pasted[2:] - pasted[:2], 4 * 16, atol=4)
        np.testing.assert_allclose(again, pasted, atol=4)
        assert (pasted[2:] <= [256, 192]).all()


def test_misses_have_no_box(tmp_path):
    """Nothing is red in a red host."""
    red = image((0, 0, 64, 48, 1, 204))
    ref = save_image(tmp_path, "one", image((20, 10, 34, 22, 1, 204)))
    checks = miner(into=host_set((red, ())), margin=0.0, window=1.0).mine([ref]).checks
    assert checks["hit"].to_pylist() == [False] * 2
    assert checks["score"].to_pylist() == checks["iou"].to_pylist() == [0.0] * 2
    assert [checks[name].null_count for name in ("x1", "y1", "x2", "y2")] == [2] * 4
    assert [checks[f"paste_{name}"].null_count for name in ("x1", "y1", "x2", "y2")] == [0] * 4


def test_the_kind_of_host_is_written_down(tmp_path):
    gear = (4, 4, 16, 16, 2, 200)
    hosts = host_set((image(gear), (gear,)), (image(seed=1), ()))
    ref = save_image(tmp_path, "one", image((30, 10, 44, 22, 2, 204), (4, 10, 16, 22, 1, 180)))
    mined = miner(into=hosts, hosts=2).mine([ref])
    label_of = dict(zip(*(mined.proposals[name].to_pylist() for name in ("proposal_id", "label")), strict=True))
    kinds = {
        (label_of[row["proposal_id"]], hosts.image_ids.index(row["host_id"])): row["host_kind"]
        for row in mined.checks.to_pylist()
    }
    assert kinds == {
        ("gear", 0): CLASS_FREE_REGION,
        ("gear", 1): CLASS_FREE_IMAGE,
        ("bolt", 0): CLASS_FREE_IMAGE,
        ("bolt", 1): CLASS_FREE_IMAGE,
    }


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"proposal_score": 0.0}, 3),
        ({"proposal_score": 0.7}, 2),
        ({"proposal_score": 1.0}, 0),
        ({"proposals_per_image": 1}, 1),
    ],
)
def test_only_the_best_detections_are_proposals(tmp_path, settings, kept):
    squares = [(4 + 20 * i, 6, 18 + 20 * i, 30, 1, brightness) for i, brightness in enumerate((130, 190, 250))]
    proposals = miner(**settings).mine([save_image(tmp_path, "one", image(*squares))]).proposals
    assert proposals["score"].to_pylist() == pytest.approx([250 / 255, 190 / 255, 130 / 255][:kept])


def test_images_that_cannot_be_read_are_faults_and_the_others_are_mined(tmp_path):
    refs = pool(tmp_path)
    clean = miner().mine(refs)
    empty, gone = refs[1], refs[4]
    Path(empty.uri).write_bytes(b"")
    Path(gone.uri).unlink()
    mined = miner().mine(refs)
    assert {ref.image_id for ref, _ in mined.faults} == {empty.image_id, gone.image_id}
    assert all(reason for _, reason in mined.faults)
    kept = pc.not_equal(clean.proposals["image_id"], empty.image_id)
    assert mined.proposals.equals(clean.proposals.filter(kept))


# Repeatable


def parquet(table, path):
    pq.write_table(table, path)
    return path.read_bytes()


def test_same_seed_same_bytes(tmp_path):
    refs = pool(tmp_path)
    first, second, other = (miner(seed=seed).mine(refs) for seed in (3, 3, 4))
    for name in ("proposals", "checks"):
        written = [parquet(getattr(mined, name), tmp_path / f"{name}.parquet") for mined in (first, second)]
        assert written[0] == written[1]
    assert first.proposals.equals(other.proposals)
    assert not first.checks.equals(other.checks)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_result_of_an_image_does_not_depend_on_its_company(tmp_path, size):
    """To the finder canvas neighbours are nothing, so that results are equal to the last bit."""
    refs = pool(tmp_path)
    whole = miner().mine(refs)
    shuffled = refs[::-1]
    parts = [miner().mine(shuffled[start : start + size]) for start in range(0, len(refs), size)]
    for name in ("proposals", "checks"):
        joined = pa.concat_tables([getattr(part, name) for part in parts])
        assert by_id(joined).equals(by_id(getattr(whole, name)))


def test_with_a_network_company_changes_scores_only_slightly(tmp_path):
    """Canvas neighbours are seen by a real network: the same pastes, a few scores a little different."""
    settings = DetectorSettings(weights="none", image_size_px=64, fpn_channels=16, score_floor=0.1)
    detector = build_detector(settings, LABELS, seed=2)
    with torch.no_grad():
        detector.network.head.classification_head.cls_logits.weight.mul_(200)
        detector.network.head.classification_head.cls_logits.bias.fill_(-1.0)
    network = Predictor(detector, PredictionSettings(accelerator="cpu", batch_size=4))
    refs = pool(tmp_path)
    # Two pastes each: whether there is a third depends on scores.
    options = {"proposal_score": 0.3, "proposals_per_image": 4, "hit_iou": 0.3, "hosts": 2, "window_px": 48}
    whole = miner(finder=network, **options).mine(refs)
    parts = [miner(finder=network, **options).mine([ref]) for ref in refs]
    alone = {name: by_id(pa.concat_tables([getattr(part, name) for part in parts])) for name in ("proposals", "checks")}
    assert min(len(alone["proposals"]), len(alone["checks"])) > 10
    together = {name: by_id(getattr(whole, name)) for name in ("proposals", "checks")}
    assert alone["proposals"]["proposal_id"].equals(together["proposals"]["proposal_id"])
    np.testing.assert_allclose(alone["proposals"]["score"], together["proposals"]["score"], atol=1e-4)
    for name in PLACES[:-1]:
        places = [tables["checks"][name].to_numpy(zero_copy_only=False) for tables in (alone, together)]
        if places[0].dtype == object:
            assert places[0].tolist() == places[1].tolist()
        else:
            np.testing.assert_allclose(*places, atol=1e-4)
    scores = [np.asarray(tables["checks"]["score"]) for tables in (alone, together)]
    assert np.corrcoef(*scores)[0, 1] > 0.8


def test_wide_and_high_images_are_mined_alike(tmp_path):
    refs = [
        save_image(tmp_path, f"{size}", image((4, 4, 18, 16, 1, 200), size=size))
        for size in ((64, 32), (32, 64), (64, 48), (64, 64), (100, 20))
    ]
    proposals = miner().mine(refs).proposals
    assert sorted(proposals["image_id"].to_pylist()) == sorted(ref.image_id for ref in refs)


# Memory


def test_few_decoded_images_live_at_once(tmp_path, monkeypatch):
    """However many images there are, only those read ahead and the batch at hand are in memory."""
    alive, most, lock = Counter(), Counter(), threading.RLock()

    def count(kind, change):
        with lock:
            alive[kind] += change
            most[kind] = max(most[kind], alive[kind])

    def watch(kind, thing):
        count(kind, 1)
        weakref.finalize(thing, count, kind, -1)

    def watched_read(*options):
        shown = read_image(*options)
        watch("image", shown.pixels)
        return shown

    class Watching(SquareFinder):
        def __call__(self, images):
            watch("batch", images)
            return super().__call__(images)

    monkeypatch.setattr(stream, "read_image", watched_read)
    ref = save_image(tmp_path, "one", image((20, 10, 34, 22, 1, 204)))
    many = (ref._replace(image_id=image_id(f"{number}")) for number in range(120))
    mined = miner(finder=Watching(batch_size=4), hosts=1).mine(many)
    assert len(mined.proposals) == 120
    assert most["image"] <= 4 * 4, "two batches read ahead, one being put together, one in the detector's hands"
    assert most["batch"] <= 3
    assert alive == Counter(image=0, batch=0)


class Guessing(SquareFinder):
    """Says of every square that half of it is seen."""

    tells_visible_share = True

    def __call__(self, images):
        return [replace(found, visible_share=torch.full_like(found.scores, 0.5)) for found in super().__call__(images)]


def test_proposals_have_a_visible_share_where_the_detector_tells_it(tmp_path):
    refs = pool(tmp_path)
    plain, guessed = miner().mine(refs), miner(finder=Guessing()).mine(refs)
    assert guessed.proposals.schema == proposal_schema(visible_share=True)
    assert set(guessed.proposals[VISIBLE_SHARE].to_pylist()) == {0.5}
    assert guessed.proposals.drop_columns([VISIBLE_SHARE]).equals(plain.proposals)
    assert miner(finder=Guessing()).mine([]).proposals.schema == guessed.proposals.schema
    assert miner(finder=Guessing()).mine(refs, known=guessed).proposals.num_rows == guessed.proposals.num_rows
