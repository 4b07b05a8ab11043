"""What is exported and imported again is the same table, in every format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.export import ExportSpec, export
from pipeline.dataset.images import file_id
from pipeline.dataset.importing import read_source
from pipeline.dataset.store import SampleStore
from pipeline.folder import Folder
from pipeline.records import Box, Region, Sample, Source, Split, State
from pipeline.settings import DataSettings, SourceSettings
from tests.builders import MOMENT
from tests.dataset.images import save, scene

LABELS = ("bolt", "écrou", "ナット & <gear>")
WIDTH, HEIGHT = 64, 48
REASONS = {"coco": "crowd", "voc": "difficult"}
DATA = DataSettings(labels=LABELS)
PATHS = {"coco": "{split}.json", "yolo": "labels/{split}", "voc": "annotations/{split}"}

name = st.text("aZ0é日ßم&'<>-_ ,#%", min_size=1, max_size=12).filter(lambda text: text == text.strip())
corners = st.tuples(st.integers(0, 40), st.integers(0, 30), st.integers(6, 24), st.integers(6, 18))
region = corners.map(lambda at: (float(at[0]), float(at[1]), float(at[0] + at[2]), float(at[1] + at[3])))
labelled = st.lists(st.tuples(region, st.sampled_from(LABELS)), max_size=4, unique=True)
picture = st.tuples(
    name, labelled, st.lists(region, max_size=2, unique=True), st.sampled_from(["train", "val", "test"])
)
pictures = st.lists(picture, min_size=1, max_size=5, unique_by=lambda drawn: drawn[0])


def samples_of(drawn, folder: Path, format_name: str) -> list[Sample]:
    found = []
    for number, (stem, boxes, regions, split) in enumerate(drawn):
        uri = save(folder / "source" / "deep" / f"{stem}.png", scene(number, (WIDTH, HEIGHT)))
        image_id = file_id(uri)
        drawn_boxes = (Box(f"{number}.{at}", *xyxy, label, Source.HUMAN) for at, (xyxy, label) in enumerate(boxes))
        ignore = [Region(*xyxy, REASONS[format_name]) for xyxy in regions] if format_name in REASONS else []
        found.append(
            Sample(
                image_id, uri, WIDTH, HEIGHT, Split(split), image_id, State.LABELED, tuple(drawn_boxes), tuple(ignore)
            )
        )
    return found


def content(samples: Sequence[Sample]) -> dict[str, tuple]:
    return {
        sample.image_id: (
            (sample.width, sample.height, str(sample.split), str(sample.state)),
            sorted((box.label, *(round(value, 2) for value in box.xyxy)) for box in sample.boxes),
            sorted((region.reason, *(round(value, 2) for value in region.xyxy)) for region in sample.ignore),
        )
        for sample in samples
    }


@pytest.mark.parametrize("copy_images", [True, False])
@pytest.mark.parametrize("format_name", ["coco", "yolo", "voc"])
@settings(max_examples=20)
@given(drawn=pictures)
def test_an_export_imported_again_is_the_same_table(format_name, copy_images, drawn):
    with TemporaryDirectory() as scratch:
        folder, out = Path(scratch), Path(scratch) / "out"
        samples = samples_of(drawn, folder, format_name)
        store = SampleStore(str(folder / "samples"))
        store.commit(samples, reason="r", key="k")
        written = export(store, None, ExportSpec(format_name, copy_images=copy_images), Folder(out), LABELS)
        found: list[Sample] = []
        for split in written.images:
            images = f"{written.images_root}/{split}" if copy_images or format_name == "yolo" else written.images_root
            source = SourceSettings(
                split=split,
                format=format_name,
                images=images,
                annotations=str(out / PATHS[format_name].format(split=split)),
            )
            result = read_source(source, DATA, MOMENT)
            assert result.issues == ()
            found += result.samples
        assert len(found) == len(samples)
        assert content(found) == content(store.samples())
