"""The real server drops the predictions of an import that it begins anew, when its database was locked."""

import json

import httpx
import pytest

from tests.builders import box, image_id

pytestmark = pytest.mark.label_studio


class Losing(httpx.HTTPTransport):
    """Lets every import arrive as the server's second attempt sees it: without predictions."""

    def handle_request(self, request):
        if not request.url.path.endswith("/import"):
            return super().handle_request(request)
        tasks = [{**task, "predictions": []} for task in json.loads(request.read())]
        headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
        return super().handle_request(httpx.Request(request.method, request.url, headers=headers, json=tasks))


def test_tasks_get_the_predictions_that_the_server_lost(desk, people):
    owner, _ = people
    tasks = [desk.task("one", box(score=0.5), value=1.0), desk.task("two", value=2.0)]
    result = desk.backend(transport=Losing()).push(tasks)
    assert len(result.created) == 2
    entries = desk.tasks(owner)
    assert [len(entries[image_id(name)]["predictions"]) for name in ("one", "two")] == [1, 1]
    (region,) = entries[image_id("one")]["predictions"][0]["result"]
    assert (region["id"], region["score"]) == (tasks[0].boxes[0].box_id, 0.5)
    assert owner.next_task(desk.project(owner)["id"])["data"]["image_id"] == image_id("two")
