import pytest

from pipeline.dataset.formats.files import image_uri, label_names, list_files, nearest_file, read_text, write_below
from pipeline.errors import DataError
from pipeline.folder import Folder


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a.jpg", "a.jpg"),
        ("sub/a.jpg", "sub/a.jpg"),
        ("sub\\a.jpg", "sub/a.jpg"),
        ("./a.jpg", "a.jpg"),
        ("ä b.jpg", "ä b.jpg"),
    ],
)
def test_a_image_lies_in_its_folder(tmp_path, name, place):
    assert image_uri(str(tmp_path), name, "here") == f"{tmp_path}/{place}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a.jpg",
        "sub/../../a.jpg",
        "/etc/passwd",
        "..\\a.jpg",
        "s3://bucket/a.jpg",
        "C:\\a.jpg",
        "a\0.jpg",
    ],
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"train\.json: image 3: expected the path of an image inside"):
        image_uri(str(tmp_path), name, "train.json: image 3")


def test_a_link_that_leaves_the_folder_is_refused(tmp_path):
    images, secret = tmp_path / "images", tmp_path / "images-private" / "a.jpg"
    secret.parent.mkdir()
    images.mkdir()
    secret.touch()
    (images / "file.jpg").symlink_to(secret)
    (images / "folder").symlink_to(secret.parent)
    for name in ("file.jpg", "folder/a.jpg"):
        with pytest.raises(DataError, match=r"here: .* is a link that leads out of"):
            image_uri(str(images), name, "here")


def test_links_inside_the_folder_and_to_it_are_fine(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").touch()
    (tmp_path / "real" / "b.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    assert image_uri(str(tmp_path / "linked"), "b.jpg", "here") == f"{tmp_path}/linked/b.jpg"


def test_remote_images_have_full_uris():
    assert image_uri("memory://set/images/", "a/b.jpg", "here") == "memory:///set/images/a/b.jpg"


def test_listing_is_deep_sorted_and_without_hidden_files(tmp_path):
    assert list_files(str(tmp_path), {".jpg"}) == []
    for name in ("b.jpg", "a/z.JPG", "a.jpg", "._a.jpg", ".cache/c.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_files(str(tmp_path), {".jpg"}) == ["a.jpg", "a/z.JPG", "b.jpg"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"Expected a folder at .*/none, found none"):
        list_files(str(tmp_path / "none"), {".jpg"})


def test_text_is_utf_8_with_or_without_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfsp\xc3\xa4t")
    assert read_text(str(tmp_path / "a.txt")) == "spät"
    (tmp_path / "b.txt").write_bytes(b"sp\xe4t")
    with pytest.raises(DataError, match=r"b\.txt: expected UTF-8 text, got byte 0xe4 at 2"):
        read_text(str(tmp_path / "b.txt"))
    with pytest.raises(DataError, match=r"Expected a file at .*c\.txt, found none"):
        read_text(str(tmp_path / "c.txt"))


def test_the_nearest_file_counts(tmp_path):
    deep = tmp_path / "one" / "two" / "three"
    deep.mkdir(parents=True)
    assert nearest_file(str(deep), ["x.yaml"], levels=2) is None
    (tmp_path / "x.yaml").touch()
    assert nearest_file(str(deep), ["x.yaml"], levels=2) is None
    (tmp_path / "one" / "x.yaml").touch()
    assert nearest_file(str(deep), ["x.yaml"], levels=2) == f"{tmp_path}/one/x.yaml"
    (deep / "y.txt").touch()
    assert nearest_file(str(deep), ["x.yaml", "y.txt"], levels=2) == f"{deep}/y.txt"


def test_label_names():
    assert label_names([], ".txt") == []
    assert label_names(["a.jpg", "b/a.v2.png"], ".txt") == ["a.txt", "b/a.v2.txt"]
    with pytest.raises(DataError, match=r"several images for b/a\.txt"):
        label_names(["b/a.jpg", "b/a.png"], ".txt")


def test_writing_below_makes_folders(tmp_path):
    write_below(Folder(tmp_path), "a/b/c.txt", "spät")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "spät"
    with pytest.raises(ValueError, match="Expected the plain name"):
        write_below(Folder(tmp_path), "../c.txt", "")
