"""`crosscheck relocate` as people meet it; what it does is tested beside `pipeline/dataset/relocation.py`."""

import json
import shutil
from dataclasses import replace

from pipeline.dataset.store import SampleStore
from pipeline.records import State
from pipeline.settings import load_settings
from pipeline.stages.importing import import_sources
from pipeline.workspace import Workspace
from tests.builders import MOMENT
from tests.end_to_end.project import write_config


def test_images_that_have_moved(crosscheck, tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "data")
    config = write_config(tmp_path / "project", tmp_path / "data")
    import_sources(load_settings(config), MOMENT)
    refused = crosscheck("relocate", tmp_path / "data", tmp_path / "moved", config=config)
    assert refused.exit_code == 1
    assert "Nothing was changed." in refused.stderr
    (tmp_path / "data").rename(tmp_path / "moved")
    told = crosscheck("relocate", f"{tmp_path}/data/", tmp_path / "moved", config=config)
    assert f"Version 1: 34 images are below {tmp_path}/moved now." in told.stdout
    verified = crosscheck("versions", "verify", config=config)
    assert "All 34 images are what was imported." in verified.stdout
    assert "crosscheck push" not in told.stdout, "nobody is asked anything"


def test_whoever_has_open_tasks_is_told_how_they_get_the_new_place(crosscheck, tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "data")
    labeling = {"backend": "label_studio", "label_studio": {"document_root": "/"}}
    config = write_config(tmp_path / "project", tmp_path / "data", labeling=labeling)
    settings = load_settings(config)
    import_sources(settings, MOMENT)
    store = SampleStore(Workspace(settings.workspace).samples_uri)
    first, second, *_ = store.samples()
    store.commit([replace(row, state=State.QUEUED) for row in (first, second)], reason="r", key="k")
    (tmp_path / "data").rename(tmp_path / "moved")
    told = crosscheck("relocate", tmp_path / "data", tmp_path / "moved", config=config)
    assert "2 images wait for an answer, and their tasks name the old place: `crosscheck push`" in told.stdout
    (tmp_path / "moved").rename(tmp_path / "data")
    again = crosscheck("relocate", tmp_path / "moved", tmp_path / "data", "--json", config=config)
    assert json.loads(again.stdout)["waiting"] == 2
