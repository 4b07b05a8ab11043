"""The published rule with a detector that is surer of what it sees in bright hosts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from pipeline.bench.published_rule import PublishedRule
from pipeline.detector.inference.predictor import Detections
from pipeline.detector.inference.stream import ImageStream
from pipeline.mining.hosts import hosts_from_images
from pipeline.progress import silent
from pipeline.records import Box, Sample, Source, Split, State

LABELS = ("bolt", "nut")
WITHOUT, WITH = 120, 60
"""Grey levels of hosts without and with a nut."""


class SeesWhite:
    labels = LABELS

    def stream(self, refs):
        return ImageStream(refs, image_size_px=100, max_pixels=10**6, batch_size=2, threads=1)

    def __call__(self, images):
        return [self._detect(image) for image in images]

    def _detect(self, image):
        rows, columns = torch.where(image[0] > 250)
        box = torch.tensor([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], dtype=torch.float32)
        bright = (image[0] == WITHOUT).sum() > (image[0] == WITH).sum()
        return Detections(box, torch.tensor([0.9 if bright else 0.6]), torch.tensor([2]), torch.zeros(1, 0))


def host(number, nut):
    image_id = f"{number:064}"
    boxes = (Box(f"box-{number}", 1, 1, 9, 9, "nut", Source.HUMAN),) if nut else ()
    return Sample(image_id=image_id, uri="", width=64, height=64, split=Split.TRAIN, group_id=image_id,
                  state=State.LABELED, boxes=boxes)  # fmt: skip


@pytest.fixture
def sample(tmp_path):
    """Twice the input size, with a white object."""
    pixels = np.full((100, 200, 3), 30, np.uint8)
    pixels[20:40, 80:120] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return Sample(image_id="image", uri=str(tmp_path / "image.png"), width=200, height=100, split=Split.TRAIN,
                  group_id="image", state=State.POOL)  # fmt: skip


def check(sample, without, with_nut, proposals=None, progress=silent):
    samples = [host(number, nut=number >= without) for number in range(without + with_nut)]
    greys = [WITHOUT] * without + [WITH] * with_nut
    hosts = hosts_from_images(samples, [np.full((64, 64, 3), grey, np.uint8) for grey in greys], LABELS)
    rule = PublishedRule(SeesWhite(), hosts)
    return rule.consistency(PROPOSALS if proposals is None else proposals, [sample], 3, progress).tolist()


PROPOSALS = pa.table(
    {"proposal_id": ["p.000"], "image_id": ["image"], "label": ["nut"]}
    | {name: [value] for name, value in zip(("x1", "y1", "x2", "y2"), (80.0, 20.0, 120.0, 40.0), strict=True)}
)


@pytest.mark.parametrize(
    ("without", "with_nut", "expected"),
    [(5, 0, 0.9), (7, 6, 0.9), (0, 5, 0.6), (3, 9, (3 * 0.9 + 2 * 0.6) / 5), (1, 1, 0.75)],
)
def test_five_hosts_without_the_class_come_first(sample, without, with_nut, expected):
    assert check(sample, without, with_nut) == pytest.approx([expected])


def test_another_class_is_not_detected(sample):
    bolts = PROPOSALS.set_column(2, "label", pa.array(["bolt"]))
    assert check(sample, 5, 0, bolts) == [0.0]


def test_a_crop_larger_than_every_host_has_no_consistency(sample):
    everything = PROPOSALS.set_column(3, "x1", pa.array([0.0])).set_column(5, "x2", pa.array([200.0]))
    assert check(sample, 5, 0, everything) == [0.0]


def test_proposals_are_cut_out_at_input_size(sample, monkeypatch):
    crops = []
    monkeypatch.setattr(PublishedRule, "_check", lambda self, crop, label, random: crops.append((crop, label)) or 0.5)
    assert check(sample, 5, 0) == [0.5]
    ((crop, label),) = crops
    assert (crop.shape, label) == ((10, 20, 3), 2)
    assert (crop > 200).all(), "nothing but the object, whose edge the resizing blurs"


def test_progress_and_no_proposals(sample):
    seen = []
    check(sample, 5, 0, progress=lambda *progress: seen.append(progress))
    assert seen == [("the published rule", 1, 1)]
    assert check(sample, 5, 0, PROPOSALS.slice(0, 0)) == []
