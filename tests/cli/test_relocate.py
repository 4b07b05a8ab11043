"""`crosscheck relocate` as people meet it; what it does is tested beside `pipeline/dataset/relocation.py`."""

import shutil

from pipeline.settings import load_settings
from pipeline.stages.importing import import_sources
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
