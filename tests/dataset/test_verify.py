"""Every image is still the file that was imported, or is named."""

import hashlib
from dataclasses import replace

import pytest

from pipeline.dataset.images import file_id
from pipeline.dataset.store import SampleStore
from pipeline.dataset.verify import verify
from pipeline.errors import ArtefactError
from tests.builders import sample
from tests.dataset.images import save, scene


@pytest.fixture
def store(tmp_path):
    store = SampleStore(str(tmp_path / "samples"))
    uris = [save(tmp_path / f"{name}.png", scene(number)) for number, name in enumerate(["é a", "b", "c", "d"])]
    store.commit([replace(sample(uri=uri), image_id=file_id(uri)) for uri in uris], reason="r", key="k")
    return store


def test_nothing_to_verify(tmp_path):
    store = SampleStore(str(tmp_path / "samples"))
    store.commit([], reason="r", key="k")
    assert (verify(store, 0).images, verify(store, 0).damaged) == (0, ())


def test_files_that_are_as_imported(store):
    calls = []
    found = verify(store, 0, lambda *progress: calls.append(progress))
    assert (found.images, found.damaged) == (4, ())
    assert calls == [("hashing images", 4, 4)]


def test_what_is_missing_changed_or_unreadable_is_named(store, tmp_path):
    (tmp_path / "é a.png").unlink()
    (tmp_path / "b.png").write_bytes(b"other")
    (tmp_path / "c.png").unlink()
    (tmp_path / "c.png").mkdir()
    found = {damage.uri: damage for damage in verify(store, 0).damaged}
    assert {uri: damage.problem for uri, damage in found.items()} == {
        f"{tmp_path}/é a.png": "missing",
        f"{tmp_path}/b.png": "changed",
        f"{tmp_path}/c.png": "unreadable",
    }
    assert hashlib.sha256(b"other").hexdigest() in found[f"{tmp_path}/b.png"].detail


def test_a_version_that_is_not_there(store):
    with pytest.raises(ArtefactError, match="Expected a dataset version from 0 to 0, got 7"):
        verify(store, 7)
