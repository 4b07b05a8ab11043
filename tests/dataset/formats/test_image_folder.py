import pytest

from pipeline.dataset.formats import image_folder
from pipeline.dataset.formats.entry import Entry
from pipeline.errors import DataError


def test_a_folder_without_images_is_an_error(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"Expected images \(.*\.jpg.*\) in .*, found none"):
        list(image_folder.read(str(tmp_path)))


def test_images_are_listed_in_order(tmp_path):
    for name in ("b/c.PNG", "a.jpeg", "z.webp", "data.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(image_folder.read(str(tmp_path))) == [
        Entry(f"{tmp_path}/{name}") for name in ("a.jpeg", "b/c.PNG", "z.webp")
    ]
