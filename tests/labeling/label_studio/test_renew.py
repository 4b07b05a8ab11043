"""When a new model arrives: open tasks are renewed or leave the queue, and nobody's work is lost."""

import re
import threading
import time
from dataclasses import replace

import httpx
import pytest

from pipeline.errors import RemoteError
from pipeline.records import Source, TaskKind
from tests.builders import box, image_id
from tests.labeling.label_studio.test_server import shown

pytestmark = pytest.mark.label_studio

LABEL_CONFIG = """<View><Header value="$reason"/><Image name="image" value="$image"/>
<RectangleLabels name="label" toName="image"><Label value="bolt" hotkey="1"/><Label value="nut"/></RectangleLabels>
</View>"""
NAMES = ("open", "draft", "answered", "skipped", "locked")


def old(desk):
    return [
        desk.task(name, box(score=0.5), value=float(place), cycle=1, model_id="m1")
        for place, name in enumerate(NAMES, 1)
    ]


def renewed(tasks):
    new = box(x2=70, label="nut", score=0.9, p_correct=0.41)
    doubt = {new.box_id: "unsure: 0.41 found again in 1 of 5 hosts"}
    fresh = {"boxes": (new,), "doubts": doubt, "reason": "new", "cycle": 2, "model_id": "m2"}
    return [replace(task, value=10.0 - task.value, **fresh) for task in tasks]


def ids(*names):
    return {image_id(name) for name in names}


@pytest.fixture
def desk_at_work(desk, people):
    """Tasks of the first cycle: one drafted, one answered, one skipped, one open on somebody's page."""
    owner, ann = people
    desk.backend().push(old(desk))
    entries = desk.tasks(owner)
    draft = {"result": [shown(entries[image_id("draft")])], "lead_time": 1}
    reply = ann.session.post(f"/api/tasks/{entries[image_id('draft')]['id']}/drafts", json=draft)
    reply.raise_for_status()
    owner.submit(entries[image_id("answered")]["id"], shown(entries[image_id("answered")]))
    owner.skip(entries[image_id("skipped")]["id"])
    assert ann.next_task(desk.project(owner)["id"])["data"]["image_id"] == image_id("locked")
    return desk


def test_a_push_that_would_move_open_tasks_to_images_that_cannot_be_shown_changes_nothing(desk_at_work, people):
    owner, _ = people
    before = desk_at_work.tasks(owner)
    elsewhere = desk_at_work.backend(document_root=str(desk_at_work.root.parent))
    named = r"0 new tasks and 2 open ones that would have been renewed, 2 of them with another address"
    with pytest.raises(RemoteError, match=named):
        elsewhere.push(renewed(old(desk_at_work)))
    with pytest.raises(RemoteError, match=r"1 new tasks and 2 open ones"):
        elsewhere.push([*renewed(old(desk_at_work)), desk_at_work.task("new")])
    assert desk_at_work.tasks(owner) == before
    assert set(desk_at_work.backend().push(renewed(old(desk_at_work))).updated) == ids("open", "locked")


def test_open_tasks_get_the_new_boxes_and_their_new_place(desk_at_work, people):
    owner, _ = people
    before = desk_at_work.tasks(owner)
    tasks = renewed(old(desk_at_work))
    result = desk_at_work.backend().push(tasks)
    assert set(result.updated) == ids("open", "locked")
    assert (result.unchanged, set(result.in_hand)) == ((), ids("draft"))
    assert set(result.existing) == ids(*NAMES)
    after = desk_at_work.tasks(owner)
    for name in ("draft", "answered", "skipped"):
        assert after[image_id(name)] == before[image_id(name)]
    entry = after[image_id("open")]
    (prediction,) = entry["predictions"]
    assert prediction["id"] == before[image_id("open")]["predictions"][0]["id"]
    assert [region["type"] for region in prediction["result"]] == ["rectanglelabels", "textarea"]
    assert prediction["result"][0]["score"] == 0.41
    assert {name: entry["data"][name] for name in ("value", "reason", "cycle", "model_id")} == {
        "value": 9.0,
        "reason": "new",
        "cycle": 2,
        "model_id": "m2",
    }
    assert owner.next_task(desk_at_work.project(owner)["id"])["data"]["image_id"] == image_id("open")
    assert desk_at_work.backend().push(tasks).updated == ()
    assert desk_at_work.tasks(owner) == after


@pytest.mark.parametrize("left", [True, False], ids=["the old box stays", "the old box is deleted"])
def test_who_had_the_task_open_can_still_submit_what_they_saw(desk_at_work, people, left):
    _, ann = people
    opened, before = time.monotonic(), desk_at_work.tasks(ann)[image_id("locked")]
    desk_at_work.backend().push(renewed(old(desk_at_work)))
    seen = {"parent_prediction": before["predictions"][0]["id"], "lead_time": time.monotonic() - opened}
    ann.submit(before["id"], *([shown(before)] if left else []), **seen)
    answers = {answer.image_id: answer for answer in desk_at_work.backend().harvest().answers}
    answer = answers[image_id("locked")]
    assert [(b.label, b.source) for b in answer.boxes] == [("bolt", Source.ACCEPTED)] * left
    assert (answer.verdicts, answer.deleted) == ((), ()), "nobody saw the new box"
    assert re.match("the machine's boxes were renewed while somebody had them open", answer.notes[0])
    assert answers[image_id("answered")].verdicts == (("bolt", "accepted"),)


def test_tasks_of_no_use_leave_the_queue_and_begun_ones_stay(desk_at_work, people):
    owner, ann = people
    before = desk_at_work.tasks(owner)
    result = desk_at_work.backend().push([], unasked=ids(*NAMES, "never asked"))
    assert set(result.withdrawn) == ids("open", "locked")
    assert set(result.begun) == ids("draft")
    after = desk_at_work.tasks(owner)
    assert set(after) == ids(*NAMES)
    for name in ("draft", "answered", "skipped"):
        assert after[image_id(name)] == before[image_id(name)]
    again = desk_at_work.backend().push([], unasked=ids(*NAMES))
    assert (again.withdrawn, set(again.begun)) == ((), ids("draft"))
    project = desk_at_work.project(owner)["id"]
    entry = ann.next_task(project)
    assert entry["data"]["image_id"] == image_id("draft")
    ann.submit(entry["id"])
    assert ann.session.get(f"/api/projects/{project}/next").status_code == 404
    assert owner.session.get(f"/api/projects/{project}/next").status_code == 404
    # An answer that comes all the same is taken in.
    ann.submit(before[image_id("locked")]["id"], shown(before[image_id("locked")]))
    assert image_id("locked") in {answer.image_id for answer in desk_at_work.backend().harvest().answers}


def test_withdrawn_tasks_are_deleted_once_nobody_can_have_them_open(desk_at_work, people):
    owner, ann = people
    everything = ids(*NAMES)
    desk_at_work.backend().push([], unasked=everything)
    entry = desk_at_work.tasks(owner)[image_id("locked")]
    ann.session.post(f"/api/tasks/{entry['id']}/drafts", json={"result": [], "lead_time": 1}).raise_for_status()
    desk_at_work.backend().push([], unasked=everything)
    assert set(desk_at_work.tasks(owner)) == everything, "somebody may have it open for a day"
    result = desk_at_work.backend(lock_s=0).push([], unasked=everything)
    assert set(desk_at_work.tasks(owner)) == everything - ids("open")
    assert set(result.begun) == ids("draft", "locked")


def test_what_is_worth_asking_again_comes_back(desk_at_work, people):
    owner, _ = people
    desk_at_work.backend().push([], unasked=ids(*NAMES))
    result = desk_at_work.backend().push(renewed(old(desk_at_work)))
    assert set(result.updated) == ids("open", "locked")
    entry = desk_at_work.tasks(owner)[image_id("open")]
    assert (entry["data"]["kind"], entry["data"]["reason"], entry["is_labeled"]) == ("ask", "new", False)
    assert owner.next_task(desk_at_work.project(owner)["id"])["data"]["image_id"] == image_id("open")


@pytest.mark.parametrize(
    ("skipped_go_to", "offered"),
    [("nobody", (False, False)), ("others", (False, True)), ("same_person", (True, False))],
)
def test_who_is_asked_again_about_a_skipped_image(desk, people, skipped_go_to, offered):
    owner, ann = people
    desk.backend(skipped_go_to="others").push([desk.task("one", box(score=0.5))])
    ann.skip(desk.tasks(owner)[image_id("one")]["id"])
    desk.backend(skipped_go_to=skipped_go_to).push([])
    project = desk.project(owner)["id"]
    found = [person.session.get(f"/api/projects/{project}/next").is_success for person in (ann, owner)]
    assert tuple(found) == offered
    (answer,) = desk.backend().harvest().answers
    assert answer.skipped


@pytest.mark.parametrize(("skipped_go_to", "overlap"), [("nobody", 3), ("others", 2)])
def test_one_person_more_is_asked_whether_skips_count_or_not(desk, people, skipped_go_to, overlap):
    owner, ann = people
    backend = desk.backend(skipped_go_to=skipped_go_to)
    backend.push([desk.task("one", box(score=0.5))])
    number = desk.tasks(owner)[image_id("one")]["id"]
    owner.submit(number)
    ann.skip(number)
    assert backend.ask_again([image_id("one")]) == 1
    entry = desk.tasks(owner)[image_id("one")]
    assert (entry["overlap"], entry["is_labeled"]) == (overlap, False)


class Counting(httpx.HTTPTransport):
    """Notes what is asked of single tasks and predictions, and how many requests are under way at once."""

    def __init__(self):
        super().__init__()
        self.lock, self.under_way, self.most, self.single = threading.Lock(), 0, 0, []

    def handle_request(self, request):
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            if re.search(r"/(tasks|predictions)/[0-9]+", request.url.path):
                self.single.append(request.method)
        try:
            reply = super().handle_request(request)
            reply.read()
            return reply
        finally:
            with self.lock:
                self.under_way -= 1


def test_renewing_many_tasks_looks_them_up_together_and_changes_a_few_at_once(desk, people):
    first = [desk.task(f"image {number}", box(score=0.5), value=float(number), model_id="m1") for number in range(60)]
    desk.backend().push(first)
    transport = Counting()
    result = desk.backend(transport=transport, parallel_requests=3).push(renewed(first))
    assert set(result.updated) == {task.image_id for task in first}
    assert transport.single == ["PATCH"] * 2 * len(first), "its prediction and its data"
    assert 1 < transport.most <= 3
    for entry in desk.tasks(people[0]).values():
        assert (entry["data"]["model_id"], len(entry["predictions"])) == ("m2", 1)
        assert [region["type"] for region in entry["predictions"][0]["result"]] == ["rectanglelabels", "textarea"]


def test_tasks_whose_boxes_hardly_changed_cost_no_request_each(desk_at_work, people):
    owner, _ = people
    before = desk_at_work.tasks(owner)
    alike = [replace(asked, boxes=(box(x2=51, score=0.9),), cycle=2, model_id="m2") for asked in old(desk_at_work)]
    transport = Counting()
    result = desk_at_work.backend(transport=transport).push(alike)
    assert (result.updated, transport.single) == ((), [])
    assert (set(result.unchanged), set(result.in_hand)) == (ids("open", "locked"), ids("draft"))
    assert desk_at_work.tasks(owner) == before
    mixed = desk_at_work.backend().push([renewed(alike[:1])[0], *alike[1:]])
    assert (set(mixed.updated), set(mixed.unchanged)) == (ids("open"), ids("locked"))


class Meanwhile(httpx.HTTPTransport):
    """Does something right before the first change of a prediction."""

    def __init__(self, action):
        super().__init__()
        self.action, self.lock = action, threading.Lock()

    def handle_request(self, request):
        with self.lock:
            if request.method == "PATCH" and "/predictions/" in request.url.path and self.action:
                self.action, action = None, self.action
                action()
        return super().handle_request(request)


def test_a_task_that_somebody_begins_right_before_it_is_renewed_is_left_alone(desk, people):
    owner, ann = people
    first = [desk.task(name, box(score=0.5), model_id="m1") for name in ("one", "two")]
    desk.backend().push(first)
    entry = desk.tasks(owner)[image_id("two")]

    class Looking(httpx.HTTPTransport):
        """Begins an answer once all tasks have been listed, before some are looked up again."""

        def handle_request(self, request):
            if "in_list" in str(request.url):
                ann.session.post(f"/api/tasks/{entry['id']}/drafts", json={"result": [], "lead_time": 1})
            return super().handle_request(request)

    result = desk.backend(transport=Looking()).push(renewed(first))
    assert (set(result.updated), set(result.in_hand)) == (ids("one"), ids("two"))
    assert desk.tasks(owner)[image_id("two")]["data"] == entry["data"]


def test_a_task_that_is_answered_while_it_is_renewed_stays_answered(desk, people):
    owner, ann = people
    first = [desk.task("one", box(score=0.5), model_id="m1")]
    desk.backend().push(first)
    entry = desk.tasks(owner)[image_id("one")]
    desk.backend(transport=Meanwhile(lambda: ann.submit(entry["id"], shown(entry)))).push(renewed(first))
    assert desk.tasks(owner)[image_id("one")]["is_labeled"]
    (answer,) = desk.backend().harvest().answers
    assert [b.label for b in answer.boxes] == ["bolt"]
    assert owner.session.get(f"/api/projects/{desk.project(owner)['id']}/next").status_code == 404


class Breaking(httpx.HTTPTransport):
    """Fails at the nth change of a task or a prediction."""

    def __init__(self, nth):
        super().__init__()
        self.left = nth

    def handle_request(self, request):
        hit = request.method == "PATCH" and ("/tasks/" in request.url.path or "/predictions/" in request.url.path)
        self.left -= hit
        if hit and self.left == 0:
            return httpx.Response(400, json={"detail": "cut"}, request=request)
        return super().handle_request(request)


@pytest.mark.parametrize("nth", [1, 2, 4, 6])
def test_a_push_that_broke_while_renewing_is_finished_by_the_next(desk, people, nth):
    owner, _ = people
    first = [desk.task(f"image {number}", box(score=0.5), value=float(number)) for number in range(4)]
    desk.backend().push(first)
    second, unasked = renewed(first[:2]), {task.image_id for task in first[2:]}
    with pytest.raises(RemoteError, match="cut"):
        desk.backend(transport=Breaking(nth)).push(second, unasked=unasked)
    desk.backend().push(second, unasked=unasked)
    entries = desk.tasks(owner)
    for task in second:
        assert entries[task.image_id]["data"]["model_id"] == "m2"
        assert len(entries[task.image_id]["predictions"]) == 1
        assert len(entries[task.image_id]["predictions"][0]["result"]) == 2
    assert {entries[image]["data"]["kind"] for image in unasked} == {"withdrawn"}


def test_a_blind_task_stays_without_boxes(desk, people):
    owner, _ = people
    task = desk.task("one", box(score=0.5), kind=TaskKind.BLIND, model_id="m1")
    desk.backend().push([task])
    desk.backend().push([replace(task, model_id="m2", value=3.0)])
    (entry,) = desk.tasks(owner).values()
    assert (entry["data"]["model_id"], entry["predictions"][0]["result"]) == ("m2", [])


def test_tabs_show_what_they_say_and_get_their_rule_back(desk_at_work, people):
    owner, ann = people
    entries = desk_at_work.tasks(owner)
    ann.submit(entries[image_id("answered")]["id"])
    ann.submit(entries[image_id("open")]["id"])
    owner.submit(entries[image_id("open")]["id"])
    desk_at_work.backend().mark_disputed(ids("answered", "never asked"), ids("open"))
    audits = [desk_at_work.task(kind.value, kind=kind) for kind in (TaskKind.AUDIT, TaskKind.BLIND)]
    desk_at_work.backend().push([*old(desk_at_work), *audits], unasked=())
    desk_at_work.backend().push([], unasked=ids("locked"))
    project = desk_at_work.project(owner)["id"]

    def tabs():
        views = owner.session.get("/api/dm/views/", params={"project": project}).json()
        return {view["data"]["title"]: view for view in views}

    def listed(view):
        found = owner.session.get("/api/tasks/", params={"view": view["id"], "project": project}).json()["tasks"]
        return [entry["data"]["image_id"] for entry in found]

    assert {name: set(listed(view)) for name, view in tabs().items()} == {
        "best first": ids("draft", "audit", "blind"),
        "answered": ids("answered", "open"),
        "audit": ids("audit"),
        "blind": ids("blind"),
        "to verify": set(),
        "left open": set(),
        "skipped": ids("skipped"),
        "disagreement": ids("answered"),
    }
    assert listed(tabs()["best first"])[0] == image_id("draft")
    view = tabs()["best first"]
    changed = {**view["data"], "ordering": ["tasks:id"], "filters": {"conjunction": "and", "items": []}}
    changed["hiddenColumns"] = {"explore": ["tasks:id"], "labeling": []}
    owner.session.patch(f"/api/dm/views/{view['id']}/", json={"project": project, "data": changed}).raise_for_status()
    desk_at_work.backend().push([])
    (after,) = [one for name, one in tabs().items() if name == "best first"]
    assert len(tabs()) == 8
    assert after["data"]["ordering"] == ["-tasks:data.value"]
    assert set(listed(after)) == ids("draft", "audit", "blind")
    hidden = after["data"]["hiddenColumns"]
    assert hidden["explore"][0] == "tasks:id", "people do not want to see this column"
    assert "tasks:data.proposals" in hidden["explore"], "raw data tells people nothing"
    assert "tasks:inner_id" not in hidden["explore"], "people want to see this column"


def test_tabs_of_an_older_release_become_those_of_today_and_peoples_own_stay(desk, people):
    owner, _ = people
    desk.backend().push([desk.task("one"), desk.task("two", value=5.0)])
    project = desk.project(owner)["id"]
    rule = {"ordering": ["-tasks:data.value"], "hiddenColumns": {"explore": ["tasks:inner_id"], "labeling": []}}
    own = {"title": "mine", "type": "list", "target": "tasks", "ordering": ["tasks:id"], "hiddenColumns": {}}
    former = {"type": "list", "target": "tasks", **rule}

    def tabs():
        return owner.session.get("/api/dm/views/", params={"project": project}).json()

    wanted = {view["data"]["title"]: view["data"] for view in tabs()}
    (audit,) = [view["id"] for view in tabs() if view["data"]["title"] == "audit"]
    owner.session.delete(f"/api/dm/views/{audit}/").raise_for_status()
    for data in (own, {**former, "title": "crosscheck: best first"}, {**former, "title": "crosscheck: audit"}):
        owner.session.post("/api/dm/views/", json={"project": project, "data": data}).raise_for_status()
    old = {"label_config": LABEL_CONFIG, "expert_instruction": "?", "skip_queue": "REQUEUE_FOR_OTHERS"}
    owner.session.patch(f"/api/projects/{project}/", json=old).raise_for_status()
    desk.backend().push([])
    assert {view["data"]["title"]: view["data"] for view in tabs()} == {**wanted, "mine": own}
    found = desk.project(owner)
    assert "perRegion" in found["label_config"]
    assert "proposal of the model" in found["expert_instruction"]
    assert found["skip_queue"] == "IGNORE_SKIPPED"
    again = tabs()
    desk.backend().push([])
    assert tabs() == again
