from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.dataset.checks import check_entries
from pipeline.dataset.formats import read_entries
from pipeline.dataset.formats.entry import Entry, EntryBox, ImportResult
from pipeline.errors import DataError, RemoteError
from pipeline.records import Split, State
from pipeline.settings import DataSettings
from tests.dataset.images import exif, save, scene, shared_set, torn

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DATA = DataSettings(labels=("bolt", "nut", "washer"), max_image_pixels=40_000_000)


def entry(uri, *boxes, label="bolt", **fields):
    listed = (EntryBox(*corners, label, f"line {number}") for number, corners in enumerate(boxes, 1))
    return Entry(uri, tuple(listed), **fields)


def check(*entries, split=Split.TRAIN, data=DATA, **options):
    return check_entries(entries, split, data, NOW, **options)


def told(result):
    return [(issue.uri.rsplit("/", 1)[1], issue.problem, issue.action) for issue in result.issues]


def test_nothing_gives_nothing():
    assert check() == ImportResult((), ())


@pytest.mark.parametrize("split", [Split.TRAIN, Split.VAL, Split.TEST])
def test_a_labeled_image(tmp_path, split):
    uri = save(tmp_path / "a.jpg", scene(1))
    (found,) = check(entry(uri, (1, 2, 9, 9)), split=split).samples
    assert (found.uri, found.width, found.height) == (uri, 64, 48)
    assert (found.split, found.state, found.group_id) == (split, State.LABELED, found.image_id)
    assert (len(found.fingerprint), found.note, found.cycle) == (64, "", None)
    assert [box.xyxy for box in found.boxes] == [(1, 2, 9, 9)]


def test_a_image_without_boxes_is_a_true_negative(tmp_path):
    (found,) = check(entry(save(tmp_path / "a.jpg", scene(1)))).samples
    assert (found.state, found.boxes) == (State.LABELED, ())


def test_the_pool_brings_no_boxes(tmp_path):
    uri = save(tmp_path / "a.jpg", scene(1))
    (found,) = check(entry(uri, (1, 2, 9, 9), label="who knows", width=5), split=Split.POOL).samples
    assert (found.state, found.split, found.boxes) == (State.POOL, Split.POOL, ())


def test_bad_images_among_good_ones(tmp_path):
    """Every kind of file that the field brings; the good ones are imported, all others are named."""
    (tmp_path / "zero.jpg").write_bytes(b"")
    (tmp_path / "noise.jpg").write_bytes(np.random.default_rng(0).bytes(5000))
    result = check(
        entry(save(tmp_path / "good.jpg", scene(1)), (1, 2, 9, 9)),
        entry(str(tmp_path / "gone.jpg"), (1, 2, 9, 9)),
        entry(str(tmp_path / "zero.jpg")),
        entry(str(tmp_path / "noise.jpg")),
        entry(torn(tmp_path / "torn.jpg"), (1, 2, 9, 9)),
        entry(save(tmp_path / "cmyk.jpg", scene(2).convert("CMYK")), (1, 2, 9, 9)),
        entry(save(tmp_path / "deep.png", Image.fromarray(np.full((48, 64), 40_000, np.uint16))), (1, 2, 9, 9)),
        entry(save(tmp_path / "large.jpg", Image.new("L", (6000, 5000))), (1, 2, 9, 9)),
        entry(save(tmp_path / "turned.jpg", scene(3), exif=exif(6)), (1, 2, 9, 9)),
        entry(save(tmp_path / "turned_raw.jpg", scene(4), exif=exif(6)), (1, 2, 9, 10), width=64, height=48),
        entry(save(tmp_path / "resized.jpg", scene(5)), (1, 2, 9, 9), width=640, height=480),
        entry(save(tmp_path / "over.jpg", scene(6)), (1, 2, 90, 9)),
        entry(save(tmp_path / "slip.jpg", scene(8)), (1, 2, 9, 9), (5, 5, 5, 5)),
        entry(save(tmp_path / "outside.jpg", scene(7)), (1, 2, 9, 9), (70, 2, 90, 9)),
    )
    states = {sample.uri.rsplit("/", 1)[1]: sample.state for sample in result.samples}
    usable = ["good.jpg", "cmyk.jpg", "deep.png", "large.jpg", "turned.jpg", "turned_raw.jpg", "over.jpg", "slip.jpg"]
    bad = ["zero.jpg", "noise.jpg", "torn.jpg", "resized.jpg", "outside.jpg"]
    assert states == {**dict.fromkeys(usable, State.LABELED), **dict.fromkeys(bad, State.QUARANTINED)}
    assert told(result) == [
        ("gone.jpg", "missing", "left_out"),
        ("zero.jpg", "unreadable", "quarantined"),
        ("noise.jpg", "unreadable", "quarantined"),
        ("torn.jpg", "unreadable", "quarantined"),
        ("cmyk.jpg", "converted", "converted"),
        ("deep.png", "converted", "converted"),
        ("large.jpg", "converted", "converted"),
        ("turned.jpg", "converted", "converted"),
        ("turned_raw.jpg", "converted", "converted"),
        ("turned_raw.jpg", "converted", "converted"),
        ("resized.jpg", "size_mismatch", "quarantined"),
        ("over.jpg", "box_clipped", "clipped"),
        ("slip.jpg", "box_too_small", "left_out"),
        ("outside.jpg", "box_outside", "quarantined"),
    ]
    by_name = {sample.uri.rsplit("/", 1)[1]: sample for sample in result.samples}
    assert by_name["turned_raw.jpg"].boxes[0].xyxy == (38, 1, 46, 9)
    assert by_name["zero.jpg"].note == "zero bytes"
    assert (by_name["zero.jpg"].width, by_name["zero.jpg"].fingerprint) == (0, "")
    assert by_name["cmyk.jpg"].note == "converted from CMYK"
    assert "line 2 (bolt) at (70, 2, 90, 9) lies outside" in by_name["outside.jpg"].note
    assert by_name["outside.jpg"].boxes == ()
    assert (by_name["outside.jpg"].width, len(by_name["outside.jpg"].fingerprint)) == (64, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_stays_on_its_mark(tmp_path, orientation):
    """Drawn on the displayed image, or on the stored one by a tool that ignores EXIF."""
    stored = Image.new("RGB", (48, 32))
    stored.paste("white", (8, 16, 16, 20))
    uri = save(tmp_path / "a.png", stored, exif=exif(orientation))
    shown = np.asarray(ImageOps.exif_transpose(Image.open(uri)).convert("L"))
    rows, columns = np.nonzero(shown)
    mark = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    by_eye = entry(uri, mark, width=shown.shape[1], height=shown.shape[0])
    assert check(by_eye).samples[0].boxes[0].xyxy == mark
    if orientation >= 5:
        blind = entry(uri, (8, 16, 16, 20), width=48, height=32)
        assert check(blind).samples[0].boxes[0].xyxy == mark


def test_many_faults_are_cut_short_in_the_note_and_all_told(tmp_path):
    uri = save(tmp_path / "a.jpg", scene(1))
    result = check(entry(uri, *[(99, 2, 120, 9)] * 8))
    assert result.samples[0].note.count("lies outside") == 5
    assert result.samples[0].note.endswith("and 3 more")
    assert len(result.issues) == 8


def test_unknown_labels_refuse_the_whole_import(tmp_path):
    uri = save(tmp_path / "a.jpg", scene(1))
    gone = str(tmp_path / "not looked at.jpg")
    with pytest.raises(DataError) as caught:
        check(
            entry(uri, (1, 2, 9, 9)),
            entry(uri, (1, 2, 9, 9), (1, 2, 9, 9), label="wahser"),
            entry(gone, (1, 2, 9, 9), label="wahser"),
            entry(gone, (1, 2, 9, 9), label="zebra"),
        )
    assert str(caught.value) == (
        "Expected labels among bolt, nut, washer, got 2 other:\n"
        f"  'wahser' ({uri}, line 1), did you mean 'washer'?\n"
        f"  'zebra' ({gone}, line 1)\n"
        "Rename them in the annotations or add them to data.labels."
    )


def test_files_with_the_same_bytes_become_one_sample(tmp_path):
    first, second = save(tmp_path / "a.jpg", scene(1)), save(tmp_path / "b.jpg", scene(1))
    result = check(entry(first, (1, 2, 9, 9)), entry(second, (1, 2, 9, 9)))
    assert [sample.uri for sample in result.samples] == [first]
    assert told(result) == [("b.jpg", "duplicate", "left_out")]
    assert "differ" not in result.issues[0].detail


def test_duplicates_with_other_boxes_are_pointed_out(tmp_path):
    first, second = save(tmp_path / "a.jpg", scene(1)), save(tmp_path / "b.jpg", scene(1))
    result = check(entry(first, (1, 2, 9, 9)), entry(second, (1, 2, 9, 9), (20, 20, 30, 30)))
    assert f"same bytes as {first} (labeled in train), which is kept" in result.issues[0].detail
    assert "their boxes differ (2 and 1)" in result.issues[0].detail


def test_the_usable_one_of_two_duplicates_is_kept(tmp_path):
    first, second = save(tmp_path / "a.jpg", scene(1)), save(tmp_path / "b.jpg", scene(1))
    result = check(entry(first, (99, 2, 120, 9)), entry(second, (1, 2, 9, 9)))
    assert [(sample.uri, sample.state) for sample in result.samples] == [(second, State.LABELED)]
    assert told(result) == [("a.jpg", "box_outside", "quarantined"), ("a.jpg", "duplicate", "left_out")]


def test_progress_is_told(tmp_path):
    seen = []
    entries = [entry(save(tmp_path / f"{number}.jpg", scene(number))) for number in range(3)]
    check(*entries, progress=lambda _what, done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_storage_that_is_down_ends_the_import(monkeypatch):
    def down(uri, max_pixels):
        raise RemoteError(f"{uri}: the storage refuses")

    monkeypatch.setattr("pipeline.dataset.checks.inspect_image", down)
    with pytest.raises(RemoteError, match="the storage refuses"):
        check(entry("memory://a.jpg"), entry("memory://b.jpg"))


@pytest.mark.parametrize(
    ("name", "labels", "split", "images", "boxes"),
    [
        ("bccd", ("RBC", "WBC", "Platelets"), "train", 254, 3385),
        ("deeppcb", ("open", "short", "mousebite", "spur", "copper", "pin-hole"), "test", 160, 1089),
        ("cards", ("nine", "ten", "jack", "queen", "king", "ace"), "val", 37, 68),
    ],
)
def test_real_sets_are_imported_whole(name, labels, split, images, boxes):
    folder = shared_set(name)
    entries = read_entries("coco", str(folder / f"{split}.json"), str(folder / "images"))
    result = check_entries(entries, Split(split), DATA.model_copy(update={"labels": labels}), NOW)
    assert len(result.samples) == images
    assert sum(len(sample.boxes) for sample in result.samples) == boxes
    assert result.issues == ()
    assert {sample.state for sample in result.samples} == {State.LABELED}
