"""The pastes in the gallery are, pixel by pixel, what the detector was shown when they were checked."""

import base64
import io
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from PIL import Image

from pipeline.dataset.images import read_image
from pipeline.detector.inference.predictor import Detections
from pipeline.detector.inference.stream import ImageStream
from pipeline.mining.hosts import load_hosts
from pipeline.mining.miner import Miner
from pipeline.records import SELECTION_SCHEMA, samples_to_table
from pipeline.report.paste_gallery import paste_gallery
from pipeline.settings import MiningSettings, ReportSettings
from tests.builders import box, image_id, sample
from tests.report.builders import first_cycle

INPUT_PX, MAX_PIXELS = 128, 10_000_000
LABELS = ("bolt", "gear")
SIZES = {
    "one": (320, 240),
    "two": (301, 203),
    "three": (90, 120),
    "host1": (320, 240),
    "host2": (100, 75),
    "host3": (203, 301),
}
"""Larger and smaller than the detector's input, and with sides that it does not divide."""


class Finder:
    """A predictor that sees boxes anywhere, and keeps whatever it is shown."""

    labels, image_size_px, batch_size = LABELS, INPUT_PX, 4
    tells_visible_share = False

    def __init__(self):
        self.detector = SimpleNamespace(settings=SimpleNamespace(image_size_px=INPUT_PX), labels=LABELS)
        self.shown = []
        self._random = np.random.default_rng(0)

    def stream(self, refs):
        return ImageStream(refs, image_size_px=INPUT_PX, max_pixels=MAX_PIXELS, batch_size=4, threads=1)

    def __call__(self, images):
        self.shown += [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in images]
        return [self._detect(*image.shape[1:]) for image in images]

    detect_canvases = __call__

    def _detect(self, height, width):
        corners = self._random.uniform(0, 0.75, (3, 2)) * (width, height)
        sides = self._random.uniform(0.1, 0.3, (3, 2)) * (width, height)
        return Detections(
            torch.from_numpy(np.hstack([corners, corners + sides])).float(),
            torch.tensor([0.9, 0.8, 0.7]),
            torch.tensor([1, 2, 1]),
            torch.zeros(3, 4),
        )


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    made = []
    for seed, (name, (width, height)) in enumerate(SIZES.items()):
        noise = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)).astype(np.uint8)
        path = folder / f"{name}.jpg"
        Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)
        boxes = [box(5, 5, 40, 30)] if name.startswith("host") else []
        made.append(sample(name, *boxes, uri=str(path), width=width, height=height))
    return made


def _mine(samples, settings):
    """Mine the images, every proposal pasted, and remember what the detector was shown."""
    finder = Finder()
    hosts = load_hosts([each for each in samples if each.boxes], LABELS, finder, settings.host_blur)
    miner = Miner(finder, hosts, settings, model_id="m", seed=3)
    mined = miner.mine([each.ref for each in samples if not each.boxes])
    return mined, finder.shown


def _contents(samples, mined, settings):
    """A cycle that has mined; its selection has moved the boxes, as correction of localisation bias does."""
    rows = [
        {name: row.get(name) for name in SELECTION_SCHEMA.names}
        | {"x1": row["x1"] + 3.0, "y2": row["y2"] - 2.0, "fate": "ask", "consistency": 0.5, "p_correct": 0.5}
        for row in mined.proposals.to_pylist()
    ]
    return first_cycle(
        samples=samples_to_table(samples),
        selection=pa.Table.from_pylist(rows, schema=SELECTION_SCHEMA),
        proposals=mined.proposals,
        checks=mined.checks,
        mining_settings=settings,
        input_size_px=INPUT_PX,
    )


def _drawn(contents):
    """Pixels of every paste in the gallery, decoded from the page."""
    many = ReportSettings(gallery_images=200, image_px=2000)
    gallery = paste_gallery(contents, lambda uri, side_px: read_image(uri, MAX_PIXELS, side_px).pixels, many)
    tiles = [tile for card in gallery.cards for tile in card.tiles[1:]]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(tile.source.partition(",")[2])))) for tile in tiles]


def _was_shown(window, canvas):
    """Whether an image holds a window, pixel by pixel."""
    height, width = window.shape[:2]
    pixels, first_row, start = canvas.tobytes(), window[0].tobytes(), -1
    while (start := pixels.find(first_row, start + 1)) >= 0:
        y, x = divmod(start // 3, canvas.shape[1])
        if np.array_equal(canvas[y : y + height, x : x + width], window):
            return True
    return False


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"feather_px": 3},
        {"host_blur": True},
        {"feather_px": 5, "host_blur": True, "margin": 0.5, "closeup_margin": 0.1},
        {"window": 100.0, "scale_jitter": 0.4, "closeup_margin": 0.0},
        {"margin": 0.0, "feather_px": 1, "placement": "uniform"},
    ],
    ids=["defaults", "feathered", "blurred", "feathered and blurred", "whole hosts", "without margin"],
)
def test_the_gallery_shows_what_the_detector_saw(samples, values):
    settings = MiningSettings(hosts=3, budget=None, **values)
    mined, shown = _mine(samples, settings)
    windows = _drawn(_contents(samples, mined, settings))
    assert len(windows) == len(mined.checks) > 10
    unseen = [place for place, window in enumerate(windows) if not any(map(partial(_was_shown, window), shown))]
    assert unseen == []


@pytest.mark.parametrize(
    "changed",
    [{"feather_px": 0}, {"host_blur": False}, {"closeup_margin": 0.0, "margin": 0.5, "window": 0.4, "window_px": 80}],
)
def test_a_paste_drawn_in_another_way_is_not_what_the_detector_saw(samples, changed):
    settings = MiningSettings(hosts=3, budget=None, feather_px=3, host_blur=True)
    mined, shown = _mine(samples, settings)
    contents = _contents(samples, mined, settings)
    other = replace(contents, mining_settings=settings.model_copy(update=changed))
    assert not any(_was_shown(window, canvas) for window in _drawn(other) for canvas in shown)


def test_what_was_pasted_is_the_detected_box_and_not_the_corrected_one(samples):
    settings = MiningSettings(hosts=3, budget=None)
    mined, shown = _mine(samples, settings)
    contents = _contents(samples, mined, settings)
    moved = contents.proposals.set_column(
        contents.proposals.schema.get_field_index("x1"), "x1", pc.add(contents.proposals["x1"], 3.0)
    )
    windows = _drawn(replace(contents, proposals=moved))
    assert sum(any(_was_shown(window, canvas) for canvas in shown) for window in windows) < len(windows)
    assert {image_id(name) for name in ("one", "two", "three")} == set(contents.selection["image_id"].to_pylist())
