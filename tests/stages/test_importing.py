"""Imports by themselves and as the first stage of a cycle."""

from pipeline.cycle import open_cycle
from pipeline.settings import load_settings
from pipeline.stages.importing import import_new, import_sources
from tests.builders import MOMENT
from tests.end_to_end.project import labeled_sources, write_config


def test_an_issue_is_listed_once_however_often_its_file_was_read(tiny_data, tmp_path):
    broken = tmp_path / "pool" / "broken.jpg"
    broken.parent.mkdir()
    broken.write_bytes(b"no image")
    pool = {"split": "pool", "format": "images", "images": str(broken.parent)}
    config = write_config(tmp_path, tiny_data, data={"sources": [*labeled_sources(tiny_data), pool]})
    settings = load_settings(config)
    assert [issue.uri for issue in import_sources(settings, MOMENT).issues] == [str(broken)]
    imported = import_new(open_cycle(settings, MOMENT))
    assert imported.imports == 2
    assert [issue.uri for issue in imported.issues] == [str(broken)], "both imports met it"
