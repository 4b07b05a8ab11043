"""Memory while mining does not grow with the pool."""

from __future__ import annotations

import multiprocessing
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from pipeline.cycle import open_cycle
from pipeline.settings import load_settings
from pipeline.stages.finetune import finetune
from pipeline.stages.gate import gate
from pipeline.stages.importing import import_new
from pipeline.stages.mine import mine
from tests.end_to_end.project import labeled_sources, pool_source, write_config

SMALL, LARGE = 200, 2000
SIZE = (512, 384)
MOST_GROWTH_MB = 100
"""The images of the larger pool take ten times as much, decoded."""


def write_pool(folder: Path, count: int) -> None:
    random = np.random.default_rng(7)
    folder.mkdir(parents=True)
    for number in range(count):
        blocks = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        blocks.resize(SIZE, Image.Resampling.NEAREST).save(folder / f"{number:05}.jpg")


def prepare(config: str) -> None:
    cycle = open_cycle(load_settings(config), datetime.now(UTC))
    import_new(cycle)
    finetune(cycle)
    gate(cycle)


def mine_and_measure(config: str, measured: multiprocessing.Queue) -> None:
    cycle = open_cycle(load_settings(config), datetime.now(UTC))
    peak, ended, process = [0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not ended.is_set():
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    made = mine(cycle)
    ended.set()
    watcher.join()
    measured.put((made.images, made.cost.pastes, peak[0] / 2**20))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_is_flat(tiny_data, tmp_path):
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for count in (SMALL, LARGE):
        folder = tmp_path / str(count) / "pool"
        write_pool(folder, count)
        sources = [*labeled_sources(tiny_data), pool_source(folder.parent)]
        config = write_config(
            tmp_path / str(count),
            tiny_data,
            data={"sources": sources},
            training={"steps": 10},
            mining={"chunk_images": 64, "batch_size": 8, "proposal_score": 0.01},
            selection={"query": {"strategy": "ssm"}},  # which has every box pasted, likely or not
            labeling={"backend": "none"},
        )
        measured = context.Queue()
        for step, arguments in ((prepare, (str(config),)), (mine_and_measure, (str(config), measured))):
            child = context.Process(target=step, args=arguments)
            child.start()
            child.join()
            assert child.exitcode == 0
        images, pastes, peaks[count] = measured.get(timeout=120)
        assert images == count
        assert pastes > count
        print(f"{count} images, {pastes} pastes: peak {peaks[count]:.0f} MB")
    assert peaks[LARGE] - peaks[SMALL] < MOST_GROWTH_MB
