import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from pipeline.dataset.importing import read_source, read_sources
from pipeline.dataset.store import SampleStore
from pipeline.errors import DataError
from pipeline.records import Split, State
from pipeline.settings import DataSettings, SourceSettings
from tests.dataset.images import save, scene, shared_set, torn

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = datetime(2026, 2, 2, tzinfo=UTC)


@pytest.fixture
def sources(tmp_path):
    """A labeled, a test and a pool source; the pool holds a labeled image and one close to a test image."""
    train, test, pool = tmp_path / "train", tmp_path / "test", tmp_path / "pool"
    for number in range(3):
        save(train / f"{number}.png", scene(number))
    save(test / "9.png", scene(9, (320, 240)))
    save(pool / "copy.png", scene(0))
    save(pool / "close.jpg", scene(9, (320, 240)), quality=60)
    save(pool / "new.png", scene(20))
    torn(pool / "torn.jpg")
    for folder, names in ((train, ["0.png", "1.png", "2.png"]), (test, ["9.png"])):
        images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
        boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [4, 5, 10, 10]} for n in range(len(names))]
        content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "bolt"}]}
        (tmp_path / f"{folder.name}.json").write_text(json.dumps(content))
    coco = [
        SourceSettings(
            split=split, format="coco", images=str(tmp_path / split), annotations=str(tmp_path / f"{split}.json")
        )
        for split in ("train", "test")
    ]
    return [*coco, SourceSettings(split="pool", format="images", images=str(pool))]


def data(sources):
    return DataSettings(labels=("bolt",), sources=tuple(sources))


def states(samples):
    return Counter((one.split, one.state) for one in samples)


def test_no_sources_no_samples():
    assert read_sources(data([]), NOW).samples == ()


def test_one_source(sources):
    seen = []
    result = read_source(sources[0], data(sources), NOW, lambda *step: seen.append(step))
    assert states(result.samples) == {(Split.TRAIN, State.LABELED): 3}
    assert result.samples[0].boxes[0].created_at == NOW
    assert seen[-1] == ("reading images", 3, 3)


def test_sources_together(sources):
    result = read_sources(data(sources), NOW)
    assert states(result.samples) == {
        (Split.TRAIN, State.LABELED): 3,
        (Split.TEST, State.LABELED): 1,
        (Split.POOL, State.POOL): 1,
        (Split.POOL, State.QUARANTINED): 2,
    }
    found = [(issue.uri.rsplit("/", 1)[1], issue.problem, issue.action) for issue in result.issues]
    assert sorted(found) == [
        ("close.jpg", "near_duplicate", "quarantined"),
        ("copy.png", "duplicate", "left_out"),
        ("torn.jpg", "unreadable", "quarantined"),
    ]


def test_an_import_can_be_repeated_and_extended(sources, tmp_path):
    store = SampleStore(str(tmp_path / "samples"))
    store.commit(read_sources(data(sources), NOW).samples, reason="import", key="1")
    assert read_sources(data(sources), LATER, store).samples == ()
    save(tmp_path / "pool" / "later.png", scene(30))
    (found,) = read_sources(data(sources), LATER, store).samples
    assert found.uri.endswith("pool/later.png")


def test_corrected_labels_replace_imported_ones(sources, tmp_path):
    store = SampleStore(str(tmp_path / "samples"))
    store.commit(read_sources(data(sources), NOW).samples, reason="import", key="1")
    file = tmp_path / "train.json"
    file.write_text(file.read_text().replace("[4, 5, 10, 10]", "[4, 5, 10, 11]", 1))
    (found,) = read_sources(data(sources), LATER, store).samples
    assert found.boxes[0].xyxy == (4, 5, 14, 16)


def test_an_unknown_label_ends_the_import(sources):
    with pytest.raises(DataError, match=r"Expected labels among nut, got 1 other:\n  'bolt'"):
        read_sources(DataSettings(labels=("nut",), sources=tuple(sources)), NOW)


def test_a_yolo_folder_without_names_takes_those_of_the_settings(tmp_path):
    save(tmp_path / "images" / "a.png", scene(1))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 0.5 0.5")
    source = SourceSettings(
        split="train", format="yolo", images=str(tmp_path / "images"), annotations=str(tmp_path / "labels")
    )
    (found,) = read_source(source, DataSettings(labels=("bolt", "nut")), NOW).samples
    assert (found.boxes[0].label, found.boxes[0].xyxy) == ("nut", (16, 12, 48, 36))


def test_a_real_set_with_the_pool_among_its_images():
    """The pool is the whole folder: what is labeled in it is neither asked about nor leaked."""
    folder = shared_set("cards")
    labels = ("nine", "ten", "jack", "queen", "king", "ace")
    images = str(folder / "images")
    sources = [
        *(
            SourceSettings(split=s, format="coco", images=images, annotations=str(folder / f"{s}.json"))
            for s in ("val", "test")
        ),
        SourceSettings(split="pool", format="images", images=images),
    ]
    result = read_sources(DataSettings(labels=labels, near_duplicate_bits=10, sources=tuple(sources)), NOW)
    assert states(result.samples) == {
        (Split.VAL, State.LABELED): 37,
        (Split.TEST, State.LABELED): 73,
        (Split.POOL, State.POOL): 253,
    }
    assert result.issues == ()
