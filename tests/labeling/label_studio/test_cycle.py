"""Two cycles with people at a real server: what they answer is what the second one learns from."""

from __future__ import annotations

import pytest
import yaml
from pydantic import SecretStr

from pipeline.artefacts import ClassExamples, PushRun, TrainingRun
from pipeline.cycle import load_cycle
from pipeline.dataset.store import SampleStore
from pipeline.labeling.annotators import labeling_backend
from pipeline.labeling.examples import PICTURES
from pipeline.records import Source, Split, State
from pipeline.stages.push import push_now
from pipeline.workspace import Workspace
from tests.end_to_end.project import run_cycles

pytestmark = pytest.mark.label_studio

LEFT, TOP, WIDTH, HEIGHT = 12.5, 25.0, 50.0, 25.0
"""Percent of the image, as the page has it."""


def test_what_people_answer_is_learned(desk, people, config):
    token = SecretStr(desk.server.api_key)
    settings = run_cycles(config, 1, token)
    workspace = Workspace(settings.workspace)
    store = SampleStore(workspace.samples_uri)
    asked = desk.tasks(people[0])
    assert set(asked) == {sample.image_id for sample in store.samples(states=[State.QUEUED])}
    assert len(asked) == 4
    examples = workspace.labeling.read_record(ClassExamples.FILE, ClassExamples).pictures
    assert set(examples) == {box.label for sample in store.labeled(Split.TRAIN) for box in sample.boxes}
    assert workspace.labeling.folder(PICTURES).names() == sorted(examples.values())

    owner, colleague = people
    drawn, empty, skipped, waiting = asked
    value = {"x": LEFT, "y": TOP, "width": WIDTH, "height": HEIGHT, "rotation": 0, "rectanglelabels": ["blue"]}
    tool = {"type": "rectanglelabels", "from_name": "label", "to_name": "image"}
    image = {"original_width": 128, "original_height": 96, "image_rotation": 0}
    owner.submit(asked[drawn]["id"], {"id": "new", "value": value, **tool, **image})
    colleague.submit(asked[empty]["id"])
    colleague.skip(asked[skipped]["id"])

    backend = labeling_backend(settings, token)
    assert push_now(settings, backend).created == 0
    assert set(desk.tasks(owner)) == set(asked), "a repeated push adds nothing"

    run_cycles(config, 2, token)
    after = {sample.image_id: sample for sample in store.samples()}
    (box,) = after[drawn].boxes
    assert (box.label, box.source) == ("blue", Source.HUMAN)
    assert box.xyxy == pytest.approx((16, 24, 80, 48), abs=0.01)
    assert (after[empty].state, after[empty].boxes) == (State.LABELED, ())
    assert after[skipped].state is State.SKIPPED
    queue = workspace.cycle(1).read_table("queue.parquet")["image_id"].to_pylist()
    assert (after[waiting].state is State.QUEUED) == (waiting in queue), "it waits, unless others are worth more now"
    first, second = (load_cycle(settings.workspace, number).read(TrainingRun).run for number in (0, 1))
    assert second.labeled_images == first.labeled_images + 2
    new = set(desk.tasks(owner)) - set(asked)
    assert new
    assert load_cycle(settings.workspace, 1).read(PushRun).created == len(new)


def test_an_image_that_is_worth_less_than_others_now_leaves_the_queue(desk, people, config):
    token = SecretStr(desk.server.api_key)
    settings = run_cycles(config, 1, token)
    workspace = Workspace(settings.workspace)
    store = SampleStore(workspace.samples_uri)
    first = set(desk.tasks(people[0]))
    values = yaml.safe_load(config.read_text())
    values["selection"]["query"]["images"] = 2
    config.write_text(yaml.safe_dump(values))
    run_cycles(config, 2, token)
    samples = {sample.image_id: sample for sample in store.samples()}
    queued = {image_id for image_id, sample in samples.items() if sample.state is State.QUEUED}
    left = first - queued
    assert left
    assert 2 <= len(queued) < len(first)
    pushed = load_cycle(settings.workspace, 1).read(PushRun)
    assert (pushed.created, pushed.withdrawn) == (len(queued - first), len(left))
    queue = {row["image_id"]: row["value"] for row in workspace.cycle(1).read_table("queue.parquet").to_pylist()}
    entries = desk.tasks(people[0])
    for image_id in left:
        assert samples[image_id].state in {State.POOL, State.PSEUDO}
        assert image_id not in queue
        assert (entries[image_id]["data"]["kind"], entries[image_id]["is_labeled"]) == ("withdrawn", True)
    project = desk.project(people[0])["id"]
    served = [people[0].next_task(project)]
    people[0].submit(served[0]["id"])
    while (reply := people[0].session.get(f"/api/projects/{project}/next")).is_success:
        served.append(reply.json())
        people[0].submit(served[-1]["id"])
    assert [entry["data"]["image_id"] for entry in served] == sorted(queue, key=queue.get, reverse=True)
