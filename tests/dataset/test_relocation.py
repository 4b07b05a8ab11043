from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.dataset.images import file_id
from pipeline.dataset.relocation import Move, relocate
from pipeline.dataset.store import SampleStore
from pipeline.dataset.verify import verify
from pipeline.errors import DataError
from pipeline.records import State
from tests.builders import box, sample
from tests.dataset.images import save, scene


@pytest.fixture
def moved(tmp_path):
    """A table of images that have moved from `old` to `new`; one lies elsewhere, one is in quarantine and lost."""
    for folder in ("old/deep", "older"):
        (tmp_path / folder).mkdir(parents=True)
    uris = [save(tmp_path / name, scene(number)) for number, name in enumerate(["old/é a.png", "old/deep/b.png"])]
    apart = save(tmp_path / "older/c.png", scene(7))
    rows = [replace(sample(uri, box(), uri=uri), image_id=file_id(uri)) for uri in [*uris, apart]]
    lost = sample("lost", uri=f"{tmp_path}/old/lost.png", state=State.QUARANTINED, note="unreadable")
    store = SampleStore(str(tmp_path / "samples"))
    store.commit([*rows, lost], reason="import", key="import")
    (tmp_path / "old").rename(tmp_path / "new")
    return store, Move(f"{tmp_path}/old", f"{tmp_path}/new")


def names(store, root):
    return sorted(str(Path(row.uri).relative_to(root)) for row in store.samples())


def test_images_are_found_again_and_nothing_else_changes(moved, tmp_path):
    store, move = moved
    before = {row.image_id: row for row in store.samples()}
    assert relocate(store, move) == (3, 1)
    assert names(store, tmp_path) == ["new/deep/b.png", "new/lost.png", "new/é a.png", "older/c.png"]
    after = {row.image_id: row for row in store.samples()}
    assert {key: replace(row, uri="") for key, row in after.items()} == {
        key: replace(row, uri="") for key, row in before.items()
    }
    assert [damage.uri for damage in verify(store, 1).damaged] == [f"{tmp_path}/new/lost.png"]


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_bytes(b"another")])
def test_a_file_that_is_not_there_as_it_was_leaves_everything_as_it_is(moved, tmp_path, spoil):
    store, move = moved
    spoil(tmp_path / "new/deep/b.png")
    with pytest.raises(DataError, match=r"Expected the 2 images at their new place, 1 are not.*b\.png"):
        relocate(store, move)
    assert store.version() == 0


def test_a_folder_that_no_image_lies_below_is_refused(moved, tmp_path):
    store, _ = moved
    with pytest.raises(DataError, match="found none"):
        relocate(store, Move(f"{tmp_path}/ol", f"{tmp_path}/new"))


def test_there_and_back(moved, tmp_path):
    store, move = moved
    relocate(store, move)
    (tmp_path / "new").rename(tmp_path / "old")
    assert relocate(store, Move(move.new, move.old)) == (3, 2)
    assert names(store, tmp_path) == ["old/deep/b.png", "old/lost.png", "old/é a.png", "older/c.png"]
