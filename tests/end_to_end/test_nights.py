"""What a night brings to the pool's folder: nothing at all, a link out of it, and images that are exchanged."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image

from pipeline.artefacts import ImportRun, MiningRun
from pipeline.cycle import load_cycle
from pipeline.dataset.store import SampleStore
from pipeline.records import Split, State
from pipeline.workspace import Workspace
from tests.end_to_end.project import labeled_sources, run_cycles, write_config


@pytest.fixture
def pool(tmp_path):
    folder = tmp_path / "pool"
    folder.mkdir()
    return folder


def run_night(tmp_path, tiny_data, pool, cycles):
    source = {"split": "pool", "format": "images", "images": str(pool)}
    config = write_config(
        tmp_path,
        tiny_data,
        data={"sources": [*labeled_sources(tiny_data), source]},
        labeling={"backend": "none"},
        training={"steps": 4},
    )
    return run_cycles(config, cycles)


def test_an_empty_folder_and_a_link_out_of_it_stop_no_cycle(tmp_path, tiny_data, pool, caplog):
    settings = run_night(tmp_path, tiny_data, pool, 1)
    (issue,) = load_cycle(settings.workspace, 0).read(ImportRun).issues
    assert (issue.uri, issue.problem, issue.action) == (str(pool), "refused", "left_out")
    assert f"{pool}: expected images" in caplog.text

    shutil.copy(tiny_data / "pool/01.png", pool / "new.png")
    (pool / "elsewhere.png").symlink_to(tiny_data / "pool/02.png")
    settings = run_night(tmp_path, tiny_data, pool, 2)
    (issue,) = load_cycle(settings.workspace, 1).read(ImportRun).issues
    assert issue.uri == str(pool / "elsewhere.png")
    assert "is a link that leads out of" in issue.detail
    assert load_cycle(settings.workspace, 1).read(MiningRun).images == 1


def test_an_exchanged_image_is_quarantined_and_imported_as_what_it_is(tmp_path, tiny_data, pool):
    for name in ("01.png", "02.png", "03.png"):
        shutil.copy(tiny_data / "pool" / name, pool / name)
    settings = run_night(tmp_path, tiny_data, pool, 1)
    store = SampleStore(Workspace(settings.workspace).samples_uri)
    before = {sample.uri: sample for sample in store.samples(splits=[Split.POOL])}

    with Image.open(tiny_data / "pool/09.png") as other:
        other.save(pool / "02.png")
    settings = run_night(tmp_path, tiny_data, pool, 2)
    mined = load_cycle(settings.workspace, 1).read(MiningRun)
    old = before[str(pool / "02.png")]
    assert [fault.image_id for fault in mined.faults] == [old.image_id]
    assert mined.faults[0].reason.startswith(f"was replaced: expected the imported bytes {old.image_id[:12]}, got ")
    (quarantined,) = store.samples(states=[State.QUARANTINED])
    assert (quarantined.image_id, quarantined.boxes) == (old.image_id, ())
    assert "was replaced" in quarantined.note

    run_night(tmp_path, tiny_data, pool, 3)
    now = [sample for sample in store.samples(splits=[Split.POOL]) if sample.uri == old.uri]
    assert {sample.state for sample in now if sample.image_id == old.image_id} == {State.QUARANTINED}
    (new,) = [sample for sample in now if sample.image_id != old.image_id]
    assert new.state is not State.QUARANTINED
