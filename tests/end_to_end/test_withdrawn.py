"""A class whose pseudo-labels people do not find: its certificate is withdrawn, and the page says so."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.artefacts import Certificates, Standings
from pipeline.cycle import load_cycle
from pipeline.dataset.store import SampleStore
from pipeline.errors import ArtefactError
from pipeline.records import Source, Split, State
from pipeline.selection.calibration import calibration_set
from pipeline.workspace import Workspace
from tests.end_to_end.project import run_cycles, write_config


@pytest.fixture(scope="module")
def mistaken(tiny_data, tmp_path_factory):
    """Two cycles in a pool whose objects are elsewhere than the held-back images let expect; every push is an audit."""
    folder = tmp_path_factory.mktemp("withdrawn")
    data = shutil.copytree(tiny_data, folder / "data")
    hidden = json.loads((data / "hidden.json").read_text())
    for annotation in hidden["annotations"]:
        annotation["bbox"] = [1.0, 1.0, 9.0, 9.0]
    (data / "hidden.json").write_text(json.dumps(hidden))
    labeling = {
        "backend": "simulated",
        "simulated": {"annotations": str(data / "hidden.json"), "images": str(tiny_data / "pool")},
    }
    selection = {"audit_share": 1.0, "query": {"images": 4}}
    return run_cycles(write_config(folder, tiny_data, labeling=labeling, selection=selection), cycles=2)


def withdrawn(settings, cycle):
    standings = load_cycle(settings.workspace, cycle).read(Standings)
    return {label: standings.classes[label] for label in standings.withdrawn}


def test_a_class_that_fails_its_audits_is_withdrawn_and_its_boxes_leave_the_dataset(mistaken):
    workspace = Workspace(mistaken.workspace)
    assert withdrawn(mistaken, 0) == {}
    failed = withdrawn(mistaken, 1)
    assert failed
    store = SampleStore(workspace.samples_uri)
    by_cycle = {one.cycle: one.number for one in store.history() if "pseudo-labels" in one.reason}
    written = [
        {box.label for sample in store.samples(by_cycle[cycle], [State.PSEUDO]) for box in sample.boxes}
        for cycle in (0, 1)
    ]
    assert written[0] & failed.keys(), "there was something to lose"
    assert not written[1] & failed.keys()
    sources = [box.source for sample in store.samples() for box in sample.boxes if box.label in failed]
    assert Source.PSEUDO not in sources
    selection = workspace.cycle(1).read_table("selection.parquet")
    own = selection.filter(pc.is_in(selection["label"], pa.array(list(failed), pa.string())))
    assert "pseudo" not in own["fate"].to_pylist()


def test_the_page_says_why_and_what_brings_it_back(mistaken):
    page = Workspace(mistaken.workspace).reports.read_bytes("cycle-0001.html").decode()
    for standing in withdrawn(mistaken, 1).values():
        assert standing.needed.startswith("withdrawn in cycle 1: people found ")
        assert standing.needed in page


def test_certificates_are_refused_once_held_back_labels_change(mistaken):
    cycle = load_cycle(mistaken.workspace, 1)
    certificates, held_back = cycle.read(Certificates), cycle.store.labeled(Split.VAL)
    certificates.check(certificates.model_id, calibration_set(held_back, cycle.settings))
    with pytest.raises(ArtefactError, match="held-back images, their labels or the settings have changed"):
        certificates.check(certificates.model_id, calibration_set(held_back[1:], cycle.settings))
