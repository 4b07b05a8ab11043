"""Images are pseudo-labelled where few missed objects are expected, and what may be something is ignored in them."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

from pipeline.artefacts import SelectionRun
from pipeline.dataset.store import SampleStore
from pipeline.records import Fate, Source, State
from pipeline.selection.fates import is_learnt
from pipeline.settings import SelectionSettings
from pipeline.workspace import Workspace
from tests.end_to_end.project import run_cycles, write_config


def pseudo_labelled(tiny_data, folder, **selection):
    settings = run_cycles(
        write_config(
            folder,
            tiny_data,
            selection={"target_precision": 0.5, "confidence": 0.8, "min_class_boxes": 5, **selection},
        )
    )
    workspace = Workspace(settings.workspace)
    return workspace.cycle(0), SampleStore(workspace.samples_uri).samples(states=[State.PSEUDO])


@pytest.fixture(scope="module")
def everything(tiny_data, tmp_path_factory):
    return pseudo_labelled(
        tiny_data, tmp_path_factory.mktemp("all"), max_expected_missed=None, ignore_from=0.01, drop_below=0.3
    )


def test_every_image_with_a_box_that_teaches_has_its_expected_misses(everything):
    folder, _ = everything
    selection, background = (folder.read_table(f"{name}.parquet") for name in ("selection", "background"))
    taught = selection.filter(is_learnt(SelectionSettings().soft_from))["image_id"].to_pylist()
    assert sorted(background["image_id"].to_pylist()) == sorted(set(taught)) != []
    assert all(one > 0 for one in background["expected_missed"].to_pylist())


def test_without_a_limit_none_of_them_is_left_out(everything):
    folder, samples = everything
    selected, background = folder.read_record(SelectionRun.FILE, SelectionRun), folder.read_table("background.parquet")
    queued = folder.read_table("queue.parquet")["image_id"].to_pylist()
    assert selected.incomplete_images == 0
    assert {one.image_id for one in samples} == set(background["image_id"].to_pylist()) - set(queued)


def test_boxes_that_are_not_written_are_ignored_where_they_may_be_something(everything):
    folder, samples = everything
    selection = folder.read_table("selection.parquet")
    counted = 0
    for sample in samples:
        own = selection.filter(pc.field("image_id") == sample.image_id)
        weak = own.filter((pc.field("fate") == Fate.DROP.value) & (pc.field("p_correct") >= 0.01))
        soft = sum(box.source is Source.SOFT for box in sample.boxes)
        unsure = own.filter(pc.field("fate") == Fate.ASK.value)
        assert [one.reason for one in sample.ignore] == ["unsure"] * (len(unsure) - soft) + ["weak"] * len(weak)
        counted += len(weak)
    assert counted > 0


def test_images_in_which_many_misses_are_expected_are_left_out(everything, tiny_data, tmp_path):
    folder, samples = pseudo_labelled(tiny_data, tmp_path, max_expected_missed=0.0)
    selected = folder.read_record(SelectionRun.FILE, SelectionRun)
    assert samples == []
    assert selected.pseudo_images == selected.pseudo_boxes == 0
    assert selected.incomplete_images > 0
    page = Workspace(folder.uri + "/../..").reports.read_bytes("cycle-0000.html").decode()
    assert "with sure boxes left out of the pseudo-labels" in page
    assert "What is found at all, by class and size" in page
