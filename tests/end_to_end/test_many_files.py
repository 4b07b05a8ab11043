"""A pool of 40,000 tiny files, two of them damaged."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline.artefacts import ImportRun, MiningRun
from pipeline.cycle import load_cycle
from pipeline.records import Split, State
from pipeline.workspace import Workspace
from tests.end_to_end.project import labeled_sources, pool_source, run_cycles, write_config

FILES = 40_000
DAMAGED = {"00007.png": b"", "39999.png": b"\x89PNG\r\n\x1a\n and no more"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_pool_of_40000_tiny_files_is_imported_and_mined(tiny_data, tmp_path):
    random = np.random.default_rng(7)
    pool = tmp_path / "pool"
    pool.mkdir()
    for number in range(FILES):
        Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(pool / f"{number:05}.png")
    for name, content in DAMAGED.items():
        (pool / name).write_bytes(content)
    config = write_config(
        tmp_path,
        tiny_data,
        data={"sources": [*labeled_sources(tiny_data), pool_source(tmp_path)]},
        training={"steps": 6},
        detector={"image_size_px": 64},
        mining={"chunk_images": 1000, "batch_size": 32, "proposal_score": 0.3},
        labeling={"backend": "none"},
    )
    cycle = load_cycle(run_cycles(config).workspace, 0)
    whole = FILES - len(DAMAGED)
    assert cycle.store.table(columns=["image_id"], states=[State.POOL, State.PSEUDO, State.QUEUED]).num_rows == whole
    assert {issue.uri.rsplit("/", 1)[-1] for issue in cycle.read(ImportRun).issues} == set(DAMAGED)
    assert cycle.read(MiningRun).images == whole
    assert cycle.read(MiningRun).faults == ()
    assert len(cycle.store.labeled(Split.TRAIN)) == 8
    assert Workspace(cycle.settings.workspace).reports.exists("cycle-0000.html")
