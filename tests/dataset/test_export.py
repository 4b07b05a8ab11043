import json
from pathlib import Path

import pytest
import yaml
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.dataset.export import ExportResult, ExportSpec, export
from pipeline.dataset.formats import read_entries
from pipeline.dataset.store import SampleStore
from pipeline.errors import ArtefactError, DataError
from pipeline.folder import Folder
from pipeline.records import Region, Source, Split, State
from tests.builders import box, sample
from tests.dataset.images import save, scene

LABELS = ("bolt", "nut")


@pytest.fixture
def store(tmp_path):
    images = tmp_path / "images"
    uris = {
        name: save(images / f"{name}.jpg", scene(n, (320, 240)))
        for n, name in enumerate(["a", "sub/b", "c", "d", "e", "f"])
    }
    guess = box(label="nut", source=Source.PSEUDO, score=0.5)
    samples = [
        sample("a", box(), box(60, 60, 90, 90, "nut"), uri=uris["a"]),
        sample("b", uri=uris["sub/b"]),
        sample("c", box(), uri=uris["c"], split=Split.TEST, ignore=(Region(1, 2, 9, 9, "crowd"),)),
        sample("d", guess, uri=uris["d"], split=Split.POOL, state=State.PSEUDO),
        sample("e", uri=uris["e"], split=Split.POOL, state=State.POOL),
        sample("f", box(), uri=uris["f"], state=State.QUARANTINED),
    ]
    table = SampleStore(str(tmp_path / "samples"))
    table.commit(samples, reason="r", key="k")
    return table


def write(store, folder, format_name="coco", **options):
    return export(store, None, ExportSpec(format_name, **options), Folder(folder), LABELS)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_labeled_images_are_exported_where_they_lie(store, tmp_path):
    result = write(store, tmp_path / "out")
    assert result == ExportResult(f"{tmp_path}/images", {"train": 2, "test": 1}, {"train": 2, "test": 1}, 0)
    assert files(tmp_path / "out") == ["test.json", "train.json"]
    train = json.loads((tmp_path / "out/train.json").read_text())
    assert sorted(image["file_name"] for image in train["images"]) == ["a.jpg", "sub/b.jpg"]
    entries = read_entries("coco", str(tmp_path / "out/train.json"), result.images)
    assert sorted(len(entry.boxes) for entry in entries) == [0, 2]


@pytest.mark.parametrize(("format_name", "images"), [("coco", 2), ("voc", 2), ("yolo", 1)])
def test_what_nobody_answered_passes_for_background_in_no_format(tmp_path, format_name, images):
    uris = [save(tmp_path / f"images/{name}.jpg", scene(n, (320, 240))) for n, name in enumerate("ab")]
    part = sample("b", box(), uri=uris[1], ignore=(Region(0, 0, 320, 240, "unanswered"),))
    table = SampleStore(str(tmp_path / "samples"))
    table.commit([sample("a", box(), uri=uris[0]), part], reason="r", key="k")
    assert write(table, tmp_path / "out", format_name).images == {"train": images}


def test_pseudo_labels_belong_to_train(store, tmp_path):
    result = write(store, tmp_path / "out", include_pseudo=True, splits=[Split.TRAIN])
    assert (result.images, result.boxes) == ({"train": 3}, {"train": 3})
    train = json.loads((tmp_path / "out/train.json").read_text())
    assert sorted(one["source"] for one in train["annotations"]) == ["import", "import", "pseudo"]


def test_soft_labels_are_not_given_away_as_labels(store, tmp_path):
    """What nothing is promised of is neither an object nor background."""
    soft = box(5, 6, 70, 80, label="nut", source=Source.SOFT, score=0.5, p_correct=0.6)
    uri = next(one.uri for one in store.samples() if one.uri.endswith("d.jpg"))
    promised = box(label="nut", source=Source.PSEUDO, score=0.5)
    pseudo = sample("d", promised, soft, uri=uri, split=Split.POOL, state=State.PSEUDO)
    store.commit([pseudo], reason="r", key="soft")
    result = write(store, tmp_path / "out", include_pseudo=True, splits=[Split.TRAIN])
    assert result.boxes == {"train": 3}
    annotations = json.loads((tmp_path / "out/train.json").read_text())["annotations"]
    assert sorted(one.get("source", "") for one in annotations if not one["iscrowd"]) == ["import", "import", "pseudo"]
    assert [5.0, 6.0, 65.0, 74.0] in [one["bbox"] for one in annotations if one["iscrowd"]]


@pytest.mark.parametrize("format_name", ["coco", "yolo"])
def test_an_image_with_soft_labels_alone_is_no_image_without_objects(store, tmp_path, format_name):
    soft = box(5, 6, 70, 80, label="nut", source=Source.SOFT, score=0.5, p_correct=0.6)
    uri = next(one.uri for one in store.samples() if one.uri.endswith("d.jpg"))
    store.commit([sample("d", soft, uri=uri, split=Split.POOL, state=State.PSEUDO)], reason="r", key="soft")
    result = write(store, tmp_path / "out", format_name, include_pseudo=True, splits=[Split.TRAIN])
    assert result.images == {"train": 2}


@pytest.mark.parametrize(
    ("format_name", "expected"),
    [
        ("coco", ["test.json", "train.json"]),
        ("yolo", ["data.yaml", "labels/test/c.txt", "labels/train/a.txt", "labels/train/b.txt"]),
        ("voc", ["annotations/test/c.xml", "annotations/train/a.xml", "annotations/train/b.xml"]),
    ],
)
def test_images_are_copied_when_asked(store, tmp_path, format_name, expected):
    out = tmp_path / "out"
    result = write(store, out, format_name, copy_images=True)
    copies = ["images/test/c.jpg", "images/train/a.jpg", "images/train/b.jpg"]
    assert files(out) == sorted([*expected, *copies])
    assert (out / "images/train/a.jpg").read_bytes() == (tmp_path / "images/a.jpg").read_bytes()
    assert result.images_root == f"{out}/images"
    annotations = {"coco": "train.json", "yolo": "labels/train", "voc": "annotations/train"}[format_name]
    entries = list(read_entries(format_name, str(out / annotations), f"{result.images_root}/train"))
    assert sorted(entry.uri for entry in entries) == [f"{out}/images/train/a.jpg", f"{out}/images/train/b.jpg"]
    assert result.lost_regions == (1 if format_name == "yolo" else 0)


@pytest.mark.parametrize(
    ("format_name", "annotations"), [("coco", "train.json"), ("yolo", "labels/train"), ("voc", "annotations/train")]
)
@pytest.mark.parametrize(("name", "copy"), [(".hidden.jpg", "_.hidden.jpg"), (" spaced.jpg", "spaced.jpg")])
def test_copies_have_names_that_readers_take_up(tmp_path, format_name, annotations, name, copy):
    store = SampleStore(str(tmp_path / "samples"))
    store.commit([sample("one", box(), uri=save(tmp_path / "images" / name, scene(1)))], reason="r", key="k")
    result = write(store, tmp_path / "out", format_name, copy_images=True)
    (entry,) = read_entries(format_name, str(tmp_path / "out" / annotations), f"{result.images_root}/train")
    assert entry.uri == f"{result.images_root}/train/{copy}"
    assert Path(entry.uri).exists()
    assert len(entry.boxes) == 1


def test_copies_with_one_name_get_their_own(tmp_path):
    one, other = save(tmp_path / "x" / "a.jpg", scene(1)), save(tmp_path / "y" / "a.png", scene(2))
    store = SampleStore(str(tmp_path / "samples"))
    samples = [sample("one", uri=one), sample("other", uri=other)]
    store.commit(samples, reason="r", key="k")
    write(store, tmp_path / "out", "yolo", copy_images=True)
    names = [f"a-{samples[0].image_id[:16]}.jpg", f"a-{samples[1].image_id[:16]}.png"]
    assert files(tmp_path / "out" / "images") == sorted(f"train/{name}" for name in names)


@pytest.mark.parametrize("copy_images", [True, False])
def test_every_folder_that_data_yaml_names_is_there_and_pairs_with_its_labels(store, tmp_path, copy_images):
    out = tmp_path / "out"
    result = write(store, out, "yolo", copy_images=copy_images)
    content = yaml.safe_load((out / "data.yaml").read_text())
    assert content == {"train": "images/train", "test": "images/test", "names": {0: "bolt", 1: "nut"}}
    for split in ("train", "test"):
        images = sorted((out / content[split]).rglob("*.jpg"))
        labels = [Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt") for path in images]
        assert len(images) == result.images[split]
        assert all(path.is_file() for path in labels)
        entries = read_entries("yolo", f"{out}/labels/{split}", f"{out}/{content[split]}")
        assert sum(len(entry.boxes) for entry in entries) == result.boxes[split]
    linked = (out / "images/train/a.jpg").samefile(tmp_path / "images/a.jpg")
    assert linked is not copy_images


def test_a_second_yolo_export_replaces_the_first(store, tmp_path):
    for copy_images in (False, True, False):
        write(store, tmp_path / "out", "yolo", copy_images=copy_images)
    assert (tmp_path / "out/images/train/a.jpg").samefile(tmp_path / "images/a.jpg")
    assert (tmp_path / "images/a.jpg").stat().st_nlink == 2


def test_yolo_images_that_cannot_be_linked_to_need_copies(tmp_path):
    MemoryFileSystem().pipe("/set/a.jpg", b"bytes")
    store = SampleStore(str(tmp_path / "samples"))
    store.commit([sample("a", uri="memory:///set/a.jpg")], reason="r", key="k")
    with pytest.raises(
        DataError, match=r"Expected memory:///set/a\.jpg and .* on one file system.* Export with copies"
    ):
        write(store, tmp_path / "out", "yolo")
    assert write(store, tmp_path / "out", "yolo", copy_images=True).images == {"train": 1}


@pytest.mark.parametrize(("format_name", "fits"), [("coco", True), ("voc", False)])
def test_images_that_would_share_a_label_file(tmp_path, format_name, fits):
    store = SampleStore(str(tmp_path / "samples"))
    store.commit([sample("one", uri="/x/a.jpg"), sample("other", uri="/x/a.png")], reason="r", key="k")
    if fits:
        assert write(store, tmp_path / "out", format_name).images == {"train": 2}
        return
    with pytest.raises(DataError, match="Expected a label file an image, got several images for a"):
        write(store, tmp_path / "out", format_name)


def test_remote_images(tmp_path):
    MemoryFileSystem().pipe("/set/a.jpg", b"bytes")
    store = SampleStore(str(tmp_path / "samples"))
    store.commit(
        [sample("a", uri="memory:///set/a.jpg"), sample("b", uri="memory:///set/x/b.jpg")], reason="r", key="k"
    )
    assert write(store, tmp_path / "out").images_root == "memory:///set"
    with pytest.raises(DataError, match=r"Expected a file at memory:///set/x/b\.jpg, found none"):
        write(store, tmp_path / "out", copy_images=True)


@pytest.mark.parametrize("other", ["s3://bucket/b.jpg", "s3://other/b.jpg"])
def test_images_without_a_common_folder_need_copies(tmp_path, other):
    store = SampleStore(str(tmp_path / "samples"))
    first = "s3://bucket/a.jpg" if "other" in other else "/data/a.jpg"
    store.commit([sample("a", uri=first), sample("b", uri=other)], reason="r", key="k")
    with pytest.raises(DataError, match=r"Expected images with a folder in common, .* Export with copies"):
        write(store, tmp_path / "out")


def test_nothing_to_export_is_an_error(store, tmp_path):
    with pytest.raises(DataError, match=r"Expected labeled images in val of .*, found none"):
        write(store, tmp_path / "out", splits=[Split.VAL])
    with pytest.raises(DataError, match="Expected labeled or pseudo images in val"):
        write(store, tmp_path / "out", splits=[Split.VAL], include_pseudo=True)


def test_labels_that_are_not_known_any_more(store, tmp_path):
    with pytest.raises(DataError, match=r"Expected labels among bolt, the version also holds nut\. Add them"):
        export(store, None, ExportSpec("coco"), Folder(tmp_path / "out"), ["bolt"])


def test_an_old_version_can_be_exported(store, tmp_path):
    store.commit([sample("z", uri=f"{tmp_path}/images/z.jpg")], reason="r", key="2")
    assert export(store, 0, ExportSpec("coco"), Folder(tmp_path / "out"), LABELS).images == {"train": 2, "test": 1}
    with pytest.raises(ArtefactError, match="Expected a dataset version from 0 to 1, got 7"):
        export(store, 7, ExportSpec("coco"), Folder(tmp_path / "out"), LABELS)
