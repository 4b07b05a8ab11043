"""Everything odd that can come back, on the real server: what becomes of it in the table, and what is told of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest
from PIL import Image
from pydantic import SecretStr

from pipeline.dataset.restoring import restore_images
from pipeline.dataset.store import SampleStore
from pipeline.labeling.annotators import labeling_backend
from pipeline.labeling.feedback.intake import Intake
from pipeline.records import Split, State
from pipeline.settings import parse_settings
from pipeline.stages.harvest import harvest_now
from tests.builders import box, sample
from tests.labeling.label_studio.test_server import moved, region, shown

pytestmark = pytest.mark.label_studio

MACHINE = box(32, 24, 96, 96, score=0.6)
BOLT, HALF = ("bolt", (32, 24, 96, 96)), ("bolt", (64, 24, 128, 96))


class Project:
    """A workspace whose pool waits at the desk."""

    def __init__(self, desk, tmp_path, labels=("bolt", "nut"), **labeling):
        self.desk, self.ids = desk, {}
        values = {
            "name": "outcomes",
            "workspace": str(tmp_path / "workspace"),
            "data": {"labels": list(labels)},
            "labeling": {
                "backend": "label_studio",
                "label_studio": desk.settings().model_dump(mode="json"),
                **labeling,
            },
        }
        self.settings = parse_settings(values, "test")
        self.store = SampleStore(f"{tmp_path}/workspace/samples")

    def push(self, *names):
        """Put images into the table and on the desk, each shown with one box."""
        for number, name in enumerate(names):
            file = self.desk.images / f"{name}.png"
            Image.new("RGB", (320, 240), (40, 90, number)).save(file)
            self.ids[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        rows = [
            replace(
                sample(name, uri=str(self.desk.images / f"{name}.png"), split=Split.POOL, state=State.QUEUED),
                image_id=self.ids[name],
            )
            for name in names
        ]
        self.store.commit(rows, reason="import", key=f"import {names[0]}")
        tasks = [replace(self.desk.task(name, MACHINE), image_id=self.ids[name]) for name in names]
        assert self.backend().push(tasks).refused == {}

    def backend(self):
        return labeling_backend(self.settings, SecretStr(self.desk.server.api_key))

    def tasks(self, person):
        found = self.desk.tasks(person)
        return {name: found[number] for name, number in self.ids.items() if number in found}

    def harvest(self, full=False, again=False):
        return harvest_now(Intake(self.settings, self.backend(), again=again), full=full)

    def rows(self, version=None):
        found = {row.image_id: row for row in self.store.samples(version=version)}
        return {name: found[number] for name, number in self.ids.items()}

    def notes(self, told, name):
        return [note for where, note in told.notes if where.startswith(self.row_uri(name))]

    def row_uri(self, name):
        return str(self.desk.images / f"{name}.png")


def state(row):
    return str(row.state), [(b.label, b.xyxy, str(b.source)) for b in row.boxes]


NAMES = (
    *("created", "updated", "deleted", "skipped", "draft", "empty", "turned", "screen turned", "beyond", "no area"),
    *("unknown label", "two people", "task deleted", "replaced", "waiting"),
)

FIRST = {
    "created": ("labeled", [(*BOLT, "accepted")], None),
    "updated": ("labeled", [(*BOLT, "accepted")], None),
    "deleted": ("labeled", [(*BOLT, "accepted")], None),
    "skipped": ("skipped", [], None),
    "draft": ("queued", [], None),
    "empty": ("labeled", [], None),
    "turned": (
        "labeled",
        [("nut", (112, 120, 160, 152), "human")],
        r"turned by 90 degrees.*raw value .*\"rotation\": 90",
    ),
    "screen turned": ("labeled", [("nut", (32, 24, 64, 48), "human")], "image was turned by 90 degrees"),
    "beyond": ("labeled", [("nut", (288, 24, 320, 48), "human")], r"reached beyond the image.*\"width\": 30"),
    "no area": ("labeled", [], "expected a width and a height above 0.*left out"),
    "unknown label": ("labeled", [(*BOLT, "accepted")], "got 'gear'; kept as ignored region"),
    "two people": ("labeled", [(*HALF, "corrected")], None),
    "task deleted": ("labeled", [(*BOLT, "accepted")], None),
    "replaced": ("quarantined", [], "replaced: expected the imported bytes"),
    "waiting": ("queued", [], None),
}
"""After the first harvest: state, boxes, and what a person is told."""

AFTER_CHANGES = {
    "created": ("labeled", [(*BOLT, "accepted")], None),
    "updated": ("labeled", [], None),
    "deleted": ("pool", [], "its answer was deleted .annotation [0-9]+.; back to the pool"),
    "task deleted": ("labeled", [(*BOLT, "accepted")], "its task is gone from the labeling tool; its labels are kept"),
    "waiting": ("queued", [], None),
}
"""After people changed their minds and everything was read again."""


def check(project, told, expected):
    rows = project.rows()
    found = {
        name: (str(rows[name].state), [(b.label, b.xyxy, str(b.source)) for b in rows[name].boxes]) for name in expected
    }
    wanted = {name: (state, [(label, pytest.approx(corners, abs=1e-3), source) for label, corners, source in boxes])
              for name, (state, boxes, _) in expected.items()}  # fmt: skip
    assert found == wanted
    for name, (_, _, note) in expected.items():
        notes = " ".join(project.notes(told, name))
        assert re.search(note, notes) if note else notes == "", (name, notes)


def test_every_oddity_has_an_outcome_and_is_told_of(desk, people, tmp_path):
    owner, ann = people
    project = Project(desk, tmp_path)
    project.push(*NAMES)
    task = project.tasks(owner)
    accepted = {name: owner.submit(task[name]["id"], shown(task[name]))["id"]
                for name in ("created", "updated", "deleted", "task deleted", "replaced")}  # fmt: skip
    owner.skip(task["skipped"]["id"])
    draft = {"result": [shown(task["draft"])], "lead_time": 1}
    owner.session.post(f"/api/tasks/{task['draft']['id']}/drafts", json=draft).raise_for_status()
    owner.submit(task["empty"]["id"])
    owner.submit(task["turned"]["id"], region("a", 50, 50, 10, 20, "nut", rotation=90))
    owner.submit(task["screen turned"]["id"], {**region("a", 10, 10, 10, 10, "nut"), "image_rotation": 90})
    owner.submit(task["beyond"]["id"], region("a", 90, 10, 30, 10, "nut"))
    owner.submit(task["no area"]["id"], region("a", 10, 10, 0, 10, "nut"))
    owner.submit(task["unknown label"]["id"], shown(task["unknown label"]), region("a", 50, 50, 10, 10, "gear"))
    owner.submit(task["two people"]["id"], shown(task["two people"]))
    ann.submit(task["two people"]["id"], moved(task["two people"], x=20.0))
    Image.new("RGB", (320, 240), (250, 0, 0)).save(desk.images / "replaced.png")

    told = project.harvest()
    check(project, told, FIRST)
    assert (told.answered, told.skipped, told.empty) == (11, 1, 2)
    assert told.hours == pytest.approx(14 * 7.5 / 3600)
    assert told.agreements == (0.0,)
    assert "raw value" in project.rows()["turned"].note, "the raw value stays with the labels"

    owner.session.delete(f"/api/annotations/{accepted['deleted']}/").raise_for_status()
    owner.session.delete(f"/api/tasks/{task['task deleted']['id']}/").raise_for_status()
    owner.change(accepted["updated"])
    later = project.harvest()
    assert (later.answered, project.rows()["deleted"].state) == (1, State.LABELED), "new answers alone"
    full = project.harvest(full=True)
    assert (full.answered, full.hours) == (0, None)
    check(project, full, AFTER_CHANGES)
    again = project.harvest(full=True)
    assert again.version == full.version, "nothing changed, so no version"
    assert [(str(project.rows(version)["updated"].state), len(project.rows(version)["updated"].boxes))
            for version in (told.version, later.version)] == [("labeled", 1), ("labeled", 0)]  # fmt: skip
    assert project.harvest().answered == 0


def test_a_label_that_was_renamed_in_the_project_is_ignored_until_the_settings_know_it(desk, people, tmp_path):
    owner, _ = people
    project = Project(desk, tmp_path)
    project.push("one")
    entry = desk.project(owner)
    config = entry["label_config"].replace('"bolt"', '"screw"')
    owner.session.patch(f"/api/projects/{entry['id']}/", json={"label_config": config}).raise_for_status()
    owner.submit(project.tasks(owner)["one"]["id"], region("a", 10, 10, 20, 20, "screw"))
    told = project.harvest()
    (row,) = project.rows().values()
    assert (row.boxes, [region.reason for region in row.ignore]) == ((), ["unknown_label"])
    assert "got 'screw'" in project.notes(told, "one")[0]
    assert "crosscheck harvest --full" in project.notes(told, "one")[0]

    renamed = Project(desk, tmp_path, labels=("screw", "nut"))
    renamed.ids = project.ids
    assert renamed.harvest().answered == 0
    renamed.harvest(full=True)
    (row,) = renamed.rows().values()
    assert ([box.label for box in row.boxes], row.ignore) == (["screw"], ())


@pytest.mark.parametrize(
    ("policy", "second", "third"),
    [
        ("latest", ("labeled", [BOLT, HALF], 0), ("labeled", [BOLT], 0)),
        ("consensus", ("labeled", [BOLT], 1), ("labeled", [BOLT], 1)),
        ("ask_again", ("queued", [], 0), ("labeled", [BOLT], 0)),
    ],
)
def test_what_counts_where_people_disagree(desk, people, tmp_path, policy, second, third):
    owner, ann = people
    project = Project(desk, tmp_path, several_answers=policy)
    project.push("one", "other")
    task = project.tasks(owner)["one"]
    number = desk.project(owner)["id"]
    owner.submit(project.tasks(owner)["other"]["id"])
    ann.submit(project.tasks(owner)["other"]["id"])
    owner.submit(task["id"], shown(task))
    project.harvest()

    def found():
        row = project.rows()["one"]
        return str(row.state), [(b.label, b.xyxy) for b in row.boxes], len(row.ignore)

    def disagreement():
        views = owner.session.get("/api/dm/views/", params={"project": number}).json()
        (view,) = [view["id"] for view in views if view["data"]["title"] == "disagreement"]
        listed = owner.session.get("/api/tasks/", params={"view": view, "project": number}).json()["tasks"]
        return {entry["data"]["image_id"] for entry in listed}

    assert found() == ("labeled", [BOLT], 0)
    assert disagreement() == set()
    extra = ann.submit(task["id"], shown(task), region("a", 20, 10, 20, 30))
    told = project.harvest()
    assert found() == second
    assert told.agreements == pytest.approx([2 / 3])
    served = ann.session.get(f"/api/projects/{number}/next")
    assert served.status_code == 404, "who has answered is not asked again"
    entry = project.tasks(owner)["one"]
    assert entry["is_labeled"] == (policy != "ask_again")
    assert told.asked_again == (policy == "ask_again")
    (remark,) = told.remarks
    assert (remark.kind, remark.uri, remark.annotator) == ("disagreement", project.row_uri("one"), ann.email)
    assert remark.link == f"{desk.server.url}/projects/{number}/data?task={task['id']}"
    assert disagreement() == {project.ids["one"]}, "two people answered the other one as well, and agree"
    if policy == "ask_again":
        said = (f"{remark.uri} ({remark.link})", "2 people disagree: agreement 0.67, expected 0.70; asked again")
        assert said in told.notes
    assert project.harvest().asked_again == 0

    # One of the two thinks again.
    own = [region("b", 80, 80, 5, 5)] if policy == "consensus" else []
    ann.change(extra["id"], shown(task), *own)
    last = project.harvest()
    assert found() == third
    assert disagreement() == ({project.ids["one"]} if policy == "consensus" else set())
    assert project.harvest().version == last.version


def test_a_full_harvest_leaves_restored_images_alone_until_told_otherwise(desk, people, tmp_path):
    owner, _ = people
    project = Project(desk, tmp_path)
    project.push("one", "two", "three")
    task, before = project.tasks(owner), project.store.version()
    answers = {name: owner.submit(task[name]["id"], shown(task[name])) for name in ("one", "two", "three")}
    answered = project.harvest().version
    restore_images(project.store, before, [project.ids["one"], project.ids["three"]], "one and three were wrong")

    def states():
        return {name: str(row.state) for name, row in project.rows().items()}

    wanted = {"one": "queued", "two": "labeled", "three": "queued"}
    assert states() == wanted
    told = project.harvest(full=True)
    assert (states(), len(told.undone)) == (wanted, 2)
    assert [text for _, text in told.notes if text.startswith("2 images keep the labels of the version")]
    kept = project.harvest(full=True)
    assert (kept.version, kept.undone, states()) == (told.version, told.undone, wanted), "and stays so"

    owner.change(answers["three"]["id"])
    assert len(project.harvest(full=True).undone) == 1
    assert states() == {**wanted, "three": "labeled"}, "a changed answer counts"
    again = project.harvest(full=True, again=True)
    assert (set(states().values()), again.undone) == ({"labeled"}, ())
    last = project.harvest(full=True)
    assert (last.version, last.undone) == (again.version, ()), "what was taken in again stays"

    restore_images(project.store, answered, [project.ids["two"]], "as it was when it had been answered")
    assert project.harvest(full=True).undone == (), "it has that answer's labels"


def test_a_full_harvest_leaves_a_restored_version_alone_until_told_otherwise(desk, people, tmp_path):
    owner, _ = people
    project = Project(desk, tmp_path)
    project.push("one", "two", "three")
    task = project.tasks(owner)
    owner.submit(task["one"]["id"], shown(task["one"]))
    before = project.harvest().version
    owner.submit(task["two"]["id"], shown(task["two"]))
    changed = owner.submit(task["three"]["id"], shown(task["three"]))
    project.harvest()
    project.store.restore(before, "the answers to two and three were wrong")
    states = {name: str(row.state) for name, row in project.rows().items()}
    assert states == {"one": "labeled", "two": "queued", "three": "queued"}

    owner.change(changed["id"])
    told = project.harvest(full=True)
    assert {name: str(row.state) for name, row in project.rows().items()} == {**states, "three": "labeled"}
    (note,) = [text for where, text in told.notes if where == "harvest"]
    assert note.startswith("1 images keep the labels of the version that was restored")
    assert "crosscheck harvest --full --again" in note
    kept = project.harvest(full=True)
    assert (kept.version, kept.undone) == (told.version, told.undone), "and stays so"
    assert project.harvest().answered == 0

    again = project.harvest(full=True, again=True)
    assert (str(project.rows()["two"].state), again.undone) == ("labeled", ())
    assert project.harvest(full=True).version == again.version
