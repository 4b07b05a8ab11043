"""Other sources as they come: workspaces and exports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.dataset.export import ExportSpec, export
from pipeline.dataset.images import inspect_image
from pipeline.dataset.merging.incoming import from_files, from_workspace
from pipeline.dataset.merging.label_map import LabelMap
from pipeline.dataset.merging.places import Wanted
from pipeline.dataset.merging.plan import merge_plan
from pipeline.dataset.merging.settling import Conflicts, Outcome
from pipeline.dataset.store import SampleStore
from pipeline.errors import DataError
from pipeline.folder import Folder
from pipeline.records import Box, Sample, Source, Split, State
from pipeline.settings import DataSettings
from tests.builders import MOMENT
from tests.dataset.images import save, scene

LABELS = ("bolt", "nut")
DATA = DataSettings(labels=LABELS)
SPLITS = [Split.TRAIN, Split.TRAIN, Split.VAL, Split.TEST]


def image(folder: Path, number: int, *boxes: Box, **fields) -> Sample:
    uri = save(folder / f"{number}.png", scene(number))
    facts = inspect_image(uri, 10**6)
    size = (facts.width, facts.height)
    values = {"split": Split.TRAIN, "state": State.LABELED, "fingerprint": facts.fingerprint, **fields}
    return Sample(facts.image_id, uri, *size, group_id=facts.image_id, boxes=boxes, **values)


def drawn(number: int, label: str = "bolt", **fields) -> Box:
    values = {"source": Source.HUMAN, "annotation_id": "7", "annotator": "ann", **fields}
    return Box(f"box{number}", 4.5, 5, 20 + number, 30.25, label, **values)


@pytest.fixture
def ours(tmp_path):
    rows = [image(tmp_path / "images", n, drawn(n, LABELS[n % 2]), split=split) for n, split in enumerate(SPLITS)]
    store = SampleStore(str(tmp_path / "ours"))
    store.commit([*rows, image(tmp_path / "images", 9, split=Split.TRAIN)], reason="r", key="k")
    return store


@pytest.mark.parametrize("format_name", ["coco", "yolo", "voc"])
def test_an_export_merged_back_changes_nothing(ours, tmp_path, format_name):
    export(ours, None, ExportSpec(format_name, copy_images=True), Folder(tmp_path / "out"), LABELS)
    incoming = from_files(Wanted(str(tmp_path / "out")), DATA, LabelMap(LABELS), MOMENT)
    plan = merge_plan(ours, incoming, Conflicts.THEIRS, 10)
    assert (plan.rows, plan.issues) == ((), ())
    assert plan.counts == {str(Outcome.KNOWN): 5}


def test_the_images_of_an_export_may_lie_elsewhere(ours, tmp_path):
    written = export(ours, None, ExportSpec("coco"), Folder(tmp_path / "out"), LABELS)
    with pytest.raises(DataError, match=r"Say with --images where they are"):
        from_files(Wanted(str(tmp_path / "out")), DATA, LabelMap(LABELS), MOMENT)
    incoming = from_files(Wanted(str(tmp_path / "out"), images=written.images_root), DATA, LabelMap(LABELS), MOMENT)
    assert {sample.image_id for sample in incoming.samples} == {row.image_id for row in ours.samples()}
    file = Wanted(str(tmp_path / "out" / "val.json"), images=written.images_root)
    (only,) = from_files(file, DATA, LabelMap(LABELS), MOMENT).samples
    assert only.split is Split.VAL


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"place": "nowhere"}, "found none. Labels without folders of splits need"),
        ({"place": "some.json", "images": "x"}, "expected --split train, val or test"),
        ({"place": "some.json", "split": Split.TRAIN}, "expected --images"),
    ],
)
def test_what_is_not_clear_is_asked_for(tmp_path, wanted, message):
    place = {**wanted, "place": str(tmp_path / wanted["place"])}
    with pytest.raises(DataError, match=message):
        from_files(Wanted(**place), DATA, LabelMap(LABELS), MOMENT)


@pytest.fixture
def theirs(tmp_path):
    """Another project, whose annotations have the numbers of ours, and whose classes have other names."""
    folder = tmp_path / "their images"
    rows = [
        image(folder, 20, drawn(20, "screw")),
        image(folder, 21, drawn(21, "screw"), split=Split.POOL, state=State.PSEUDO),
        image(folder, 22, split=Split.POOL, state=State.SKIPPED, note="skipped by ann", cycle=3),
        image(folder, 23, state=State.QUARANTINED, note="torn"),
        image(folder, 24, split=Split.POOL, state=State.QUEUED),
    ]
    store = SampleStore(str(tmp_path / "theirs"))
    store.commit(rows, reason="r", key="k")
    return store


def test_another_workspace_comes_with_peoples_labels_and_without_the_machines(theirs):
    incoming = from_workspace(theirs, 0, LabelMap(LABELS, {"screw": "bolt"}))
    found = {Path(row.uri).stem: row for row in incoming.samples}
    assert {name: (row.state, row.split) for name, row in found.items()} == {
        "20": (State.LABELED, Split.TRAIN),
        "21": (State.POOL, Split.POOL),
        "22": (State.SKIPPED, Split.POOL),
        "24": (State.POOL, Split.POOL),
    }
    (mapped,) = found["20"].boxes
    before = drawn(20, "screw")
    assert (mapped.label, mapped.xyxy, mapped.annotator) == ("bolt", before.xyxy, "ann")
    assert mapped.box_id != before.box_id
    assert mapped.annotation_id.endswith("/7"), "annotation 7 here is another one"
    assert found["21"].boxes == ()


def test_a_file_that_is_not_there_any_more_is_refused(theirs):
    gone = Path(theirs.samples(states=[State.LABELED])[0].uri)
    gone.write_bytes(b"another")
    with pytest.raises(DataError, match=r"20.png \(another file\). Nothing was changed"):
        from_workspace(theirs, 0, LabelMap(LABELS, {"screw": "bolt"}))


@pytest.mark.parametrize(
    ("renamed", "message"),
    [
        ({}, r"the source also has 'screw'. Say which is which with --map screw=bolt"),
        ({"screw": "gear"}, r"--map: expected classes among bolt, nut, got gear"),
        ({"screw": "bolt", "gear": "nut"}, r"--map: expected classes of the source \(screw\), got gear"),
    ],
)
def test_classes_that_are_not_known_are_refused_by_name(theirs, renamed, message):
    with pytest.raises(DataError, match=message):
        from_workspace(theirs, 0, LabelMap(LABELS, renamed))


def test_classes_of_files_are_mapped_before_they_are_checked(ours, tmp_path):
    export(ours, None, ExportSpec("voc", copy_images=True), Folder(tmp_path / "out"), LABELS)
    data = DataSettings(labels=("bolt", "hexagon"))
    classes = LabelMap(data.labels, {"nut": "hexagon"})
    incoming = from_files(Wanted(str(tmp_path / "out")), data, classes, MOMENT)
    assert {box.label for sample in incoming.samples for box in sample.boxes} == {"bolt", "hexagon"}
    with pytest.raises(DataError, match="the source also has 'nut'"):
        from_files(Wanted(str(tmp_path / "out")), data, LabelMap(data.labels), MOMENT)


def test_of_files_with_the_same_bytes_one_comes_that_of_test_first(ours, tmp_path):
    written = export(ours, None, ExportSpec("coco"), Folder(tmp_path / "out"), LABELS)
    (tmp_path / "out" / "train.json").write_bytes((tmp_path / "out" / "test.json").read_bytes())
    wanted = Wanted(str(tmp_path / "out"), images=written.images_root)
    incoming = from_files(wanted, DATA, LabelMap(LABELS), MOMENT)
    assert [row.split for row in incoming.samples if row.uri.endswith("3.png")] == [Split.TEST]
    assert [issue.problem for issue in incoming.issues] == ["duplicate"]


def test_a_label_that_only_moved_within_rounding_is_known(ours):
    rows = [replace(row, boxes=tuple(replace(box, x1=box.x1 + 0.2) for box in row.boxes)) for row in ours.samples()]
    other = SampleStore(f"{ours.uri}-other")
    other.commit(rows, reason="r", key="k")
    assert merge_plan(ours, from_workspace(other, 0, LabelMap(LABELS)), Conflicts.THEIRS, 10).rows == ()
