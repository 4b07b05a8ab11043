import pytest
from defusedxml import ElementTree

from pipeline.dataset.formats import voc
from pipeline.dataset.formats.entry import Entry, EntryBox
from pipeline.errors import DataError
from pipeline.folder import Folder
from pipeline.records import Region
from tests.builders import box, image_id, sample

BOX = "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>10</xmax><ymax>20.5</ymax></bndbox>"
SIZE = "<size><width>64</width><height>48</height><depth>3</depth></size>"


def entries(tmp_path, body, name="a.xml"):
    file = tmp_path / "annotations" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body if isinstance(body, bytes) else f"<annotation>{body}</annotation>".encode())
    return list(voc.read(str(tmp_path / "annotations"), str(tmp_path / "images")))


def test_an_empty_folder_has_no_entries(tmp_path):
    assert list(voc.read(str(tmp_path), str(tmp_path))) == []


def test_corners_count_from_one_and_include_the_last_pixel(tmp_path):
    body = (
        f"<filename>a.jpg</filename>{SIZE}"
        f"<object><name> bolt </name><pose>Left</pose>{BOX}</object>"
        f"<object><name>nut</name><difficult>1</difficult>{BOX}"
        f"<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    )
    boxes = (
        EntryBox(1, 2, 10, 20.5, "bolt", "object 1"),
        EntryBox(1, 2, 10, 20.5, "nut", "object 2", "difficult"),
    )
    assert entries(tmp_path, body) == [Entry(f"{tmp_path}/images/a.jpg", boxes, 64, 48)]


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_no_objects_and_no_size(tmp_path, size):
    assert entries(tmp_path, f"<filename>a.jpg</filename>{size}") == [Entry(f"{tmp_path}/images/a.jpg")]


def test_folders_below_pair_up(tmp_path):
    (found,) = entries(tmp_path, "<filename>a.jpg</filename>", "sub/a.xml")
    assert found.uri == f"{tmp_path}/images/sub/a.jpg"


def test_the_stated_encoding_counts(tmp_path):
    text = "<?xml version='1.0' encoding='latin-1'?><annotation><filename>spät.jpg</filename></annotation>"
    assert entries(tmp_path, text.encode("latin-1"))[0].uri.endswith("/spät.jpg")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", r"a\.xml: expected VOC XML, got no element found"),
        (b"<a><b></a>", r"a\.xml: expected VOC XML, got mismatched tag"),
        (b"<!DOCTYPE x [<!ENTITY e 'boom'>]><a>&e;</a>", r"a\.xml: expected VOC XML, got EntitiesForbidden"),
        ("", r"a\.xml: expected a text in <filename>, found none"),
        ("<filename>../a.jpg</filename>", r"a\.xml: expected the path of an image inside"),
        (f"<filename>a.jpg</filename><object>{BOX}</object>", r"a\.xml: object 1: expected a text in <name>"),
        ("<filename>a.jpg</filename><object><name>bolt</name></object>", "object 1: expected a text in <bndbox/xmin>"),
        (
            f"<filename>a.jpg</filename><object><name>bolt</name>{BOX.replace('10', 'ten')}</object>",
            "object 1: expected a number in <bndbox/xmax>, got 'ten'",
        ),
        ("<filename>a.jpg</filename><size><width>x</width></size>", "expected a number in <size/width>, got 'x'"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, body, message):
    with pytest.raises(DataError, match=message):
        entries(tmp_path, body)


def test_what_is_written(tmp_path):
    one = sample(
        "one", box(1.2, 2, 10.4, 20.6, "a<b"), box(5.1, 5.1, 5.3, 5.3, "nut"), ignore=(Region(0, 0, 4, 4, "unsure"),)
    )
    voc.write([one], {image_id("one"): "sub/a.jpg"}, ["a<b", "nut"], Folder(tmp_path), "val")
    root = ElementTree.parse(tmp_path / "annotations/val/sub/a.xml").getroot()
    assert (root.findtext("filename"), root.findtext("size/width"), root.findtext("size/height")) == (
        "a.jpg",
        "320",
        "240",
    )
    found = [
        (item.findtext("name"), item.findtext("difficult"), *(int(corner.text) for corner in item.find("bndbox")))
        for item in root.findall("object")
    ]
    assert found == [
        ("a<b", "0", 2, 3, 10, 21),
        ("nut", "0", 6, 6, 6, 6),
        ("a<b", "1", 1, 1, 4, 4),
        ("nut", "1", 1, 1, 4, 4),
    ]
