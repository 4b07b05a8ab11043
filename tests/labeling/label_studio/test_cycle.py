"""Two cycles with people at a real server: what they answer is what the second one learns from."""

from __future__ import annotations

import shutil

import pytest
from pydantic import SecretStr

from pipeline.dataset.store import SampleStore
from pipeline.records import Source, State
from pipeline.stages.backend import labeling_backend
from pipeline.stages.push import push_now
from pipeline.workspace import Workspace
from tests.end_to_end.project import labeled_sources, pool_source, run_cycles, write_config

pytestmark = pytest.mark.label_studio

LEFT, TOP, WIDTH, HEIGHT = 12.5, 25.0, 50.0, 25.0
"""Percent of the picture, as the page has it."""


@pytest.fixture
def config(desk, tiny_data, tmp_path):
    shutil.copytree(tiny_data / "pool", desk.pictures / "pool")
    return write_config(
        tmp_path / "project",
        tiny_data,
        data={"sources": [*labeled_sources(tiny_data), pool_source(desk.pictures)]},
        selection={"audit_share": 0.0, "query": {"images": 4}},
        labeling={"backend": "label_studio", "label_studio": desk.settings().model_dump(mode="json")},
    )


def test_what_people_answer_is_learned(desk, people, config):
    token = SecretStr(desk.server.api_key)
    settings = run_cycles(config, 1, token)
    workspace = Workspace(settings.workspace)
    store = SampleStore(workspace.samples_uri)
    asked = desk.tasks(people[0])
    assert set(asked) == {sample.image_id for sample in store.samples(states=[State.QUEUED])}
    assert len(asked) == 4

    owner, colleague = people
    drawn, empty, skipped, waiting = asked
    value = {"x": LEFT, "y": TOP, "width": WIDTH, "height": HEIGHT, "rotation": 0, "rectanglelabels": ["blue"]}
    tool = {"type": "rectanglelabels", "from_name": "label", "to_name": "image"}
    picture = {"original_width": 128, "original_height": 96, "image_rotation": 0}
    owner.submit(asked[drawn]["id"], {"id": "new", "value": value, **tool, **picture})
    colleague.submit(asked[empty]["id"])
    colleague.skip(asked[skipped]["id"])

    backend = labeling_backend(settings, token)
    assert push_now(settings, backend)["created"] == 0
    assert set(desk.tasks(owner)) == set(asked), "a repeated push adds nothing"

    run_cycles(config, 2, token)
    after = {sample.image_id: sample for sample in store.samples()}
    (box,) = after[drawn].boxes
    assert (box.label, box.source) == ("blue", Source.HUMAN)
    assert box.xyxy == pytest.approx((16, 24, 80, 48), abs=0.01)
    assert (after[empty].state, after[empty].boxes) == (State.LABELED, ())
    assert after[skipped].state is State.SKIPPED
    assert after[waiting].state is State.QUEUED
    first, second = (workspace.cycle(number).read_json("training.json") for number in (0, 1))
    assert second["labeled_images"] == first["labeled_images"] + 2
    new = set(desk.tasks(owner)) - set(asked)
    assert new
    assert workspace.cycle(1).read_json("push.json")["created"] == len(new)
