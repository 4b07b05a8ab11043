"""Against the real server: what people get, what comes back, and that nothing happens twice."""

import json
import logging
import traceback
from datetime import timedelta

import httpx
import pytest

from pipeline.errors import RemoteError
from pipeline.labeling.label_studio.verification import questions
from pipeline.records import TaskKind
from tests.builders import box, image_id

pytestmark = pytest.mark.label_studio


def region(name, x, y, width, height, label="bolt", rotation=0, **more):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation, "rectanglelabels": [label]}
    tool = {"type": "rectanglelabels", "from_name": "label", "to_name": "image"}
    image = {"original_width": 320, "original_height": 240, "image_rotation": 0}
    return {"id": name, "value": value, **tool, **image, **more}


def shown(entry, place=0):
    """A region of the prediction, as the page copies it into an annotation."""
    return {**entry["predictions"][0]["result"][place], "origin": "prediction"}


def moved(entry, place=0, **value):
    copy = shown(entry, place)
    return {**copy, "value": {**copy["value"], **value}, "origin": "prediction-changed"}


def asked(desk):
    return [
        desk.task("low", box(score=0.4), value=0.2),
        desk.task("high", box(score=0.6), value=3.7),
        desk.task("blind", value=1.5, kind=TaskKind.BLIND),
        desk.task("audit", value=0.9, kind=TaskKind.AUDIT),
    ]


def test_an_empty_push_makes_the_project_and_an_empty_harvest_finds_nothing(desk, people):
    backend = desk.backend()
    assert backend.harvest().answers == ()
    result = backend.push([])
    assert (result.created, result.existing, result.refused) == ((), (), {})
    assert desk.tasks(people[0]) == {}
    harvest = backend.harvest(backend.harvest().watermark)
    assert (harvest.answers, harvest.notes) == ((), ())


def test_people_meet_the_most_valuable_image_first_and_blind_ones_without_boxes(desk, people):
    owner, _ = people
    seen = []
    result = desk.backend(page_size=3).push(asked(desk), progress=lambda _what, done, total: seen.append((done, total)))
    assert result.refused == {}
    assert result.created == tuple(image_id(name) for name in ("high", "blind", "audit", "low"))
    assert seen == [(3, 4), (4, 4)]
    project = desk.project(owner)
    served = []
    for _ in range(4):
        entry = owner.next_task(project["id"])
        served.append((entry["data"]["kind"], entry["data"]["value"], len(entry["predictions"][0]["result"])))
        owner.submit(entry["id"])
    assert served == [("ask", 3.7, 1), ("blind", 1.5, 0), ("audit", 0.9, 0), ("ask", 0.2, 1)]
    assert project["show_collab_predictions"]
    assert project["model_version"] == "crosscheck"
    assert project["sampling"] == "Uncertainty sampling"
    views = owner.session.get("/api/dm/views/", params={"project": project["id"]}).json()
    names = ["best first", "answered", "audit", "blind", "to verify", "left open", "skipped", "disagreement"]
    assert {view["data"]["title"]: view["data"]["ordering"] for view in views} == {
        name: ["-tasks:completed_at" if name == "answered" else "-tasks:data.value"] for name in names
    }
    data = desk.tasks(owner)[image_id("high")]["data"]
    (origin,) = data["proposals"].values()
    assert origin["score"] == 0.6
    assert {name: data[name] for name in data if name not in {"image", "image_id", "proposals"}} == {
        "rank": 0,
        "value": 3.7,
        "reason": "because",
        "kind": "ask",
        "cycle": 0,
        "model_id": "",
        "width": 320,
        "height": 240,
        "verify_seen": [],
        "verify_fault": [],
        "verify_whole": [],
    }


def test_a_second_push_adds_nothing_and_touches_nothing(desk, people):
    owner, _ = people
    first = desk.backend().push(asked(desk))
    before, project = desk.tasks(owner), desk.project(owner)
    second = desk.backend(page_size=1).push([*asked(desk), desk.task("new", value=2.0)])
    assert second.created == (image_id("new"),)
    assert set(second.existing) == set(first.created)
    after = desk.tasks(owner)
    after.pop(image_id("new"))
    assert after == before
    views = owner.session.get("/api/dm/views/", params={"project": project["id"]}).json()
    storages = owner.session.get("/api/storages/localfiles/", params={"project": project["id"]}).json()
    assert (len(views), [storage["path"] for storage in storages]) == (8, [str(desk.images)])


def test_the_page_can_show_the_images_and_nothing_beside_them(desk, people):
    owner, _ = people
    (desk.root / "private.png").write_bytes(b"not for everybody")
    (desk.images / "deep").mkdir()
    names = ["plain", "two words", "50% & more #1", "Überdeckung + ü", "deep/inside"]
    desk.backend().push([desk.task(name) for name in names])
    assert len(desk.tasks(owner)) == len(names)
    for entry in desk.tasks(owner).values():
        image = owner.session.get(entry["data"]["image"])
        assert (image.status_code, image.headers["content-type"]) == (200, "image/png")
    assert owner.session.get("/data/local-files/", params={"d": "private.png"}).status_code == 404


def test_what_cannot_be_shown_or_drawn_is_refused_by_image_and_the_rest_is_pushed(desk, people, tmp_path):
    refused = {
        "outside": (desk.task("outside", uri=str(tmp_path / "a.png")), "expected a file below the document root"),
        "in root": (desk.task("in root", uri=str(desk.root / "a.png")), "Move it into a subfolder"),
        "remote": (desk.task("remote", uri="s3://bucket/a.png"), "image_access to storage"),
        "label": (desk.task("label", box(label="gear", score=0.5)), "gear"),
        "value": (desk.task("value", value=float("nan")), "expected a finite value"),
        "size": (desk.task("size", width=0), "width and a height, got 0 x 240"),
    }
    result = desk.backend().push([desk.task("good"), *(entry for entry, _ in refused.values())])
    assert result.created == (image_id("good"),)
    assert set(result.refused) == {image_id(name) for name in refused}
    for name, (_, reason) in refused.items():
        assert reason in result.refused[image_id(name)]
    assert set(desk.tasks(people[0])) == {image_id("good")}


def test_two_people_answer_and_every_box_says_who_drew_it(desk, people):
    owner, ann = people
    pair = (box(32, 24, 96, 96, score=0.6), box(160, 120, 240, 200, label="nut", score=0.3))
    names = ["accept", "move", "nudge", "relabel", "delete", "add", "rotate", "empty", "skip"]
    backend = desk.backend()
    backend.push([desk.task(name, *pair) for name in names])
    task = {name: desk.tasks(owner)[image_id(name)] for name in names}
    both = {name: [shown(task[name], 0), shown(task[name], 1)] for name in names}
    owner.submit(task["accept"]["id"], *both["accept"])
    ann.submit(task["move"]["id"], moved(task["move"], x=20.0, y=20.0), both["move"][1])
    ann.submit(task["nudge"]["id"], moved(task["nudge"], x=10.2), both["nudge"][1])
    relabeled = moved(task["relabel"], 1, rectanglelabels=["bolt"])
    owner.submit(task["relabel"]["id"], both["relabel"][0], relabeled)
    ann.submit(task["delete"]["id"], both["delete"][1])
    owner.submit(task["add"]["id"], *both["add"], region("drawn", 80, 10, 10, 20, "nut", origin="manual"))
    ann.submit(task["rotate"]["id"], region("turned", 50, 50, 10, 20, "nut", rotation=90))
    owner.submit(task["empty"]["id"])
    ann.skip(task["skip"]["id"])

    harvest = backend.harvest()
    assert harvest.notes == ()
    by_name = {name: answer for name in names for answer in harvest.answers if answer.image_id == image_id(name)}
    assert len(harvest.answers) == len(by_name) == len(names)
    first, second = ("bolt", (32, 24, 96, 96)), ("nut", (160, 120, 240, 200))
    assert {name: [(b.label, b.xyxy, str(b.source)) for b in answer.boxes] for name, answer in by_name.items()} == {
        "accept": [(*first, "accepted"), (*second, "accepted")],
        "move": [("bolt", (64, 48, 128, 120), "corrected"), (*second, "accepted")],
        "nudge": [("bolt", pytest.approx((32.64, 24, 96.64, 96), abs=1e-4), "accepted"), (*second, "accepted")],
        "relabel": [(*first, "accepted"), ("bolt", second[1], "corrected")],
        "delete": [(*second, "accepted")],
        "add": [(*first, "accepted"), (*second, "accepted"), ("nut", (256, 24, 288, 72), "human")],
        "rotate": [("nut", pytest.approx((112, 120, 160, 152), abs=1e-4), "human")],
        "empty": [],
        "skip": [],
    }
    assert [name for name, answer in by_name.items() if answer.skipped] == ["skip"]
    assert "turned by 90 degrees" in by_name["rotate"].notes[0]
    assert {by_name[name].annotator for name in ("accept", "relabel", "add", "empty")} == {owner.email}
    assert {by_name[name].annotator for name in ("move", "nudge", "delete", "rotate", "skip")} == {ann.email}
    assert all(answer.lead_time_s == 7.5 for answer in harvest.answers)
    assert all(b.annotation_id == answer.annotation_id for answer in harvest.answers for b in answer.boxes)
    order = [answer.updated_at for answer in harvest.answers]
    assert order == sorted(order)


def test_a_harvest_brings_only_what_is_new_or_changed(desk, people):
    owner, ann = people
    backend = desk.backend(page_size=2)
    names = [f"image {number}" for number in range(5)]
    backend.push([desk.task(name, box(score=0.5)) for name in names])
    task = {name: desk.tasks(owner)[image_id(name)] for name in names}
    first = [owner.submit(task[name]["id"], shown(task[name])) for name in names[:3]]
    ann.skip(task[names[3]]["id"])
    steps = []
    harvest = backend.harvest(progress=lambda _what, done, total: steps.append((done, total)))
    assert {answer.image_id for answer in harvest.answers} == {image_id(name) for name in names[:4]}
    assert steps == [(2, 3), (3, 3), (4, 4)]

    again = backend.harvest(harvest.watermark)
    assert (again.answers, again.watermark) == ((), harvest.watermark)

    owner.change(first[0]["id"])
    second_opinion = ann.submit(task[names[1]]["id"], region("own", 1, 2, 30, 40, "nut"))
    later = backend.harvest(again.watermark)
    assert [(answer.image_id, len(answer.boxes), answer.annotator) for answer in later.answers] == [
        (image_id(names[0]), 0, owner.email),
        (image_id(names[1]), 1, ann.email),
    ]
    assert later.answers[1].annotation_id == str(second_opinion["id"])
    assert backend.harvest(later.watermark).answers == ()
    assert desk.backend(overlap_s=0).harvest(later.watermark).answers == ()
    everything = backend.harvest()
    assert len(everything.answers) == 5
    assert backend.harvest("") == everything


def test_drafts_do_not_count(desk, people):
    owner, _ = people
    backend = desk.backend()
    backend.push([desk.task("one", box(score=0.5))])
    entry = desk.tasks(owner)[image_id("one")]
    reply = owner.session.post(f"/api/tasks/{entry['id']}/drafts", json={"result": [shown(entry)], "lead_time": 1})
    reply.raise_for_status()
    assert backend.harvest().answers == ()


def test_a_new_label_reaches_the_page_and_no_work_is_lost(desk, people):
    owner, _ = people
    desk.backend(("bolt", "nut")).push([desk.task("one", box(score=0.5)), desk.task("two", box(score=0.5))])
    entry = desk.tasks(owner)[image_id("one")]
    owner.submit(entry["id"], shown(entry))
    grown = desk.backend(("bolt", "nut", "gear"))
    result = grown.push([desk.task("three", box(label="gear", score=0.5))])
    assert result.created == (image_id("three"),)
    assert 'value="gear"' in desk.project(owner)["label_config"]
    assert [len(entry["predictions"]) for entry in desk.tasks(owner).values()] == [1, 1, 1]
    assert [answer.boxes[0].label for answer in grown.harvest().answers] == ["bolt"]


def test_a_label_that_answers_use_cannot_be_taken_away(desk, people):
    owner, _ = people
    desk.backend(("bolt", "nut")).push([desk.task("one", box(score=0.5))])
    entry = desk.tasks(owner)[image_id("one")]
    owner.submit(entry["id"], shown(entry))
    before = desk.project(owner)["label_config"]
    with pytest.raises(RemoteError, match=r"(?s)bolt \(1 annotation\).*add their labels to data.labels again"):
        desk.backend(("nut",)).push([])
    assert desk.project(owner)["label_config"] == before
    desk.backend(("bolt",)).push([])
    assert 'value="nut"' not in desk.project(owner)["label_config"]


def test_answers_with_a_label_that_is_gone_are_noted_and_kept_out_of_training(desk, people):
    owner, _ = people
    wide = desk.backend(("bolt", "nut"))
    wide.push([desk.task("one", box(score=0.5))])
    entry = desk.tasks(owner)[image_id("one")]
    owner.submit(entry["id"], shown(entry), region("b", 50, 50, 10, 10, "nut"))
    harvest = desk.backend(("bolt",)).harvest()
    (answer,) = harvest.answers
    assert [b.label for b in answer.boxes] == ["bolt"]
    assert [(r.xyxy, r.reason) for r in answer.ignore] == [((160, 120, 192, 144), "unknown_label")]
    assert [note for note in harvest.notes if note[0] == image_id("one") and "got 'nut'" in note[1]]


def test_a_task_made_by_hand_is_noted_and_left_alone(desk, people):
    owner, _ = people
    backend = desk.backend()
    backend.push([desk.task("one")])
    project = desk.project(owner)["id"]
    by_hand = {"image": "https://example.com/a.png", "reason": "", **questions(verify=False)}
    owner.session.post(f"/api/projects/{project}/import", json=[by_hand])
    by_hand = next(entry for key, entry in desk.tasks(owner).items() if key != image_id("one"))
    owner.submit(by_hand["id"])
    harvest = backend.harvest()
    assert harvest.answers == ()
    assert [where for where, _ in harvest.notes] == [f"task {by_hand['id']}"]
    assert backend.push([desk.task("one")]).existing == (image_id("one"),)


def test_a_push_puts_a_changed_project_in_shape_again(desk, people):
    owner, _ = people
    backend = desk.backend()
    backend.push(asked(desk))
    project = desk.project(owner)
    change = {"show_collab_predictions": False, "sampling": "Sequential sampling", "expert_instruction": "?"}
    owner.session.patch(f"/api/projects/{project['id']}/", json=change).raise_for_status()
    assert desk.project(owner)["model_version"] == ""
    backend.push([desk.task("new")])
    kept = ["show_collab_predictions", "sampling", "model_version", "expert_instruction", "label_config"]
    assert {name: desk.project(owner)[name] for name in kept} == {name: project[name] for name in kept}


def test_instructions_pop_up_until_somebody_has_answered_and_when_their_words_change(desk, people):
    owner, _ = people
    desk.backend().push(asked(desk))
    desk.backend().push([])
    assert desk.project(owner)["show_instruction"], "nobody has answered"
    owner.submit(next(iter(desk.tasks(owner).values()))["id"])
    assert desk.project(owner)["show_instruction"]
    desk.backend().push([])
    assert not desk.project(owner)["show_instruction"]
    changed = desk.backend(descriptions={"bolt": "with a head"})
    changed.push([])
    assert desk.project(owner)["show_instruction"]
    changed.push([])
    assert not desk.project(owner)["show_instruction"]


def test_two_projects_of_one_title_are_never_guessed_between(desk, people):
    owner, _ = people
    for _ in range(2):
        owner.session.post("/api/projects/", json={"title": desk.title}).raise_for_status()
    with pytest.raises(RemoteError, match=r"expected one project .* got 2"):
        desk.backend().push([])


class Interrupting(httpx.HTTPTransport):
    """Goes wrong, once, round the nth import."""

    def __init__(self, nth=1, before=None, after=None):
        super().__init__()
        self.left, self.before, self.after = nth, before, after

    def handle_request(self, request):
        hit = request.method == "POST" and request.url.path.endswith("/import")
        self.left -= hit
        if hit and self.left == 0 and self.before:
            self.before()
        reply = super().handle_request(request)
        if hit and self.left == 0 and self.after:
            reply.read()
            self.after()
        return reply


def cut():
    raise httpx.ReadError("cut in the middle")


@pytest.mark.parametrize("trouble", [{"before": cut}, {"after": cut}], ids=["never arrived", "reply lost"])
def test_a_push_that_lost_a_reply_looks_and_sends_what_is_missing(desk, people, trouble):
    tasks = [desk.task(f"image {number}") for number in range(5)]
    result = desk.backend(page_size=2, transport=Interrupting(nth=2, **trouble)).push(tasks)
    assert (len(result.created), len(result.existing)) == (5, 0)
    assert len(desk.tasks(people[0])) == 5


def killed():
    raise KeyboardInterrupt


@pytest.mark.parametrize("trouble", [{"before": killed}, {"after": killed}], ids=["before an import", "after it"])
def test_a_push_that_was_killed_half_way_is_finished_by_the_next(desk, people, trouble):
    tasks = [desk.task(f"image {number}") for number in range(5)]
    with pytest.raises(KeyboardInterrupt):
        desk.backend(page_size=2, transport=Interrupting(nth=2, **trouble)).push(tasks)
    half = len(desk.tasks(people[0]))
    assert half == (4 if "after" in trouble else 2)
    result = desk.backend(page_size=2).push(tasks)
    assert (len(result.created), len(result.existing)) == (5 - half, half)
    assert len(desk.tasks(people[0])) == 5


def test_two_pushers_that_share_no_disk_add_nothing_twice(desk, people):
    tasks = [desk.task(f"image {number}") for number in range(4)]
    results = []
    other = desk.backend(folder="elsewhere")
    transport = Interrupting(before=lambda: results.append(other.push(tasks[:3])))
    mine = desk.backend(transport=transport).push(tasks)
    assert len(desk.tasks(people[0])) == 4
    assert set(results[0].created) == {entry.image_id for entry in tasks[:3]}
    assert mine.created == (tasks[3].image_id,)
    assert set(mine.existing) == {entry.image_id for entry in tasks[:3]}


def test_two_pushes_from_one_workspace_do_not_run_at_once(desk):
    faults = []

    def second():
        with pytest.raises(RemoteError, match="another is under way") as caught:
            desk.backend().push([])
        faults.append(caught.value)

    desk.backend(transport=Interrupting(before=second)).push([desk.task("one")])
    assert len(faults) == 1


def test_a_wrong_token_names_the_variable_and_nothing_names_the_token(desk, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = "wrong0123456789abcdef0123456789abcdef0123"
    for backend in (desk.backend(token=wrong), desk.backend(token=expired_soon(desk.server.api_key))):
        with pytest.raises(RemoteError, match=r"refuses the token.*LABEL_STUDIO_API_KEY") as caught:
            backend.harvest()
        frames = [frame for frame, _ in traceback.walk_tb(caught.tb) if frame.f_code.co_filename != __file__]
        everything = caplog.text + repr(caught.value) + repr(backend) + repr([frame.f_locals for frame in frames])
        assert frames
        assert wrong not in everything
        assert caught.value.__cause__ is caught.value.__context__ is None
    desk.backend().push([desk.task("one")])
    assert desk.server.api_key not in caplog.text


def expired_soon(token):
    """A token of the right form whose signature is wrong."""
    head, body, signature = token.split(".")
    return ".".join([head, body, signature[::-1]])


def test_watermarks_are_the_servers_time_and_plain_text(desk, people):
    owner, _ = people
    backend = desk.backend()
    backend.push([desk.task("one")])
    owner.submit(desk.tasks(owner)[image_id("one")]["id"])
    harvest = backend.harvest()
    (answer,) = harvest.answers
    stored = json.loads(json.dumps(harvest.watermark))
    reached = json.loads(stored)["updated_at"]
    assert timedelta() <= type(answer.updated_at).fromisoformat(reached) - answer.updated_at < timedelta(minutes=1)
