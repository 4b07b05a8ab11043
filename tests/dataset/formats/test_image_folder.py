import re

import pytest

from pipeline.dataset.formats import image_folder
from pipeline.dataset.formats.entry import Entry
from pipeline.errors import DataError


def test_a_folder_without_images_says_so_and_stops_nothing(tmp_path):
    (tmp_path / "notes.txt").touch()
    (entry,) = image_folder.read(str(tmp_path))
    assert entry.uri == str(tmp_path)
    assert re.fullmatch(r"expected images \(.*\.jpg.*\), found none", entry.refused)


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="Expected a folder at"):
        list(image_folder.read(str(tmp_path / "unmounted")))


def test_a_link_out_of_the_folder_is_left_out_and_the_rest_is_read(tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    (tmp_path / "secret.jpg").touch()
    (pool / "b.jpg").touch()
    (pool / "a.jpg").symlink_to(tmp_path / "secret.jpg")
    link, image = image_folder.read(str(pool))
    assert image == Entry(f"{pool}/b.jpg")
    assert link.uri == f"{pool}/a.jpg"
    assert "is a link that leads out of" in link.refused


def test_images_are_listed_in_order(tmp_path):
    for name in ("b/c.PNG", "a.jpeg", "z.webp", "data.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(image_folder.read(str(tmp_path))) == [
        Entry(f"{tmp_path}/{name}") for name in ("a.jpeg", "b/c.PNG", "z.webp")
    ]
