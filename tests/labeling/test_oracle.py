import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.dataset.images import inspect_image
from pipeline.errors import LeakError
from pipeline.folder import Folder
from pipeline.labeling.oracle import SimulatedAnnotator, Ways
from pipeline.records import Source, Split, State, Task, TaskKind
from pipeline.settings import DataSettings, SimulatedSettings
from tests.builders import MOMENT, box

LABELS = ("bolt", "nut", "gear")
BOLT, NUT, GEAR = (("bolt", 10, 10, 30, 30), ("nut", 20, 40, 60, 70), ("gear", 50, 5, 90, 35))
TRUTH = {
    "a": [BOLT],
    "b": [BOLT, NUT],
    "c": [],
    "d": [NUT],
    "e": [BOLT, ("bolt", 50, 50, 80, 70)],
    "f": [GEAR],
    "g": [BOLT],
    "h": [NUT],
}


class Lab:
    """Images with hidden labels on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "images").mkdir()
        for number, name in enumerate(TRUTH):
            noise = np.random.default_rng(number).integers(0, 255, (80, 100, 3), dtype=np.uint8)
            Image.fromarray(noise).save(self.uri(name))
        self.write(TRUTH)

    def uri(self, name):
        return str(self.folder / "images" / f"{name}.png")

    def write(self, truth, crowds=()):
        annotations = [(name, *entry, 0) for name, boxes in truth.items() for entry in boxes]
        annotations += [(name, *entry, 1) for name, *entry in crowds]
        images = [{"id": name, "file_name": f"{name}.png", "width": 100, "height": 80} for name in truth]
        content = {
            "images": images,
            "categories": [{"id": label, "name": label} for label in LABELS],
            "annotations": [
                {"id": i, "image_id": name, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": crowd}
                for i, (name, label, x1, y1, x2, y2, crowd) in enumerate(annotations)
            ],
        }
        (self.folder / "hidden.json").write_text(json.dumps(content))

    def annotator(self, folder="state", seed=0, labels=LABELS, **fields):
        settings = SimulatedSettings(
            annotations=str(self.folder / "hidden.json"), images=str(self.folder / "images"), **fields
        )
        return SimulatedAnnotator(settings, DataSettings(labels=labels), Ways(), seed, Folder(self.folder / folder))

    def id(self, name):
        return inspect_image(self.uri(name), 10**6).image_id

    def task(self, name, *boxes, **fields):
        known = {"value": 0.5, "reason": "because", "asked_at": MOMENT, **fields}
        return Task(self.id(name), self.uri(name), 100, 80, boxes, **known)


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def said(answer):
    return [(str(b.source), b.label, *b.xyxy) for b in answer.boxes]


def by_name(lab, answers):
    names = {lab.id(name): name for name in TRUTH}
    return {names[answer.image_id]: answer for answer in answers}


def test_nothing_asked_nothing_answered(lab):
    annotator = lab.annotator()
    result = annotator.push([])
    assert (result.created, result.existing, result.refused) == ((), (), {})
    harvest = annotator.harvest()
    assert (harvest.answers, harvest.notes) == ((), ())
    assert annotator.harvest(harvest.watermark) == harvest
    assert annotator.answers([]) == ()
    assert annotator.grade({}, 0.5) == {}


@pytest.mark.parametrize("start", [0, 1, 3, 5, 8, 99])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_opening_gives_boxes_of_the_start_alone(lab, start, seed):
    samples = lab.annotator(start=start, seed=seed).opening(MOMENT).samples
    assert [sample.uri for sample in samples] == [lab.uri(name) for name in TRUTH]
    given = [sample for sample in samples if sample.split is Split.TRAIN]
    assert len(given) == min(start, len(TRUTH))
    assert all(sample.state is State.LABELED for sample in given)
    rest = [sample for sample in samples if sample not in given]
    assert {(s.split, s.state, s.boxes, s.ignore) for s in rest} <= {(Split.POOL, State.POOL, (), ())}
    assert all(box.created_at == MOMENT for sample in given for box in sample.boxes)
    labels = {box.label for sample in given for box in sample.boxes}
    assert len(labels) >= min(start, 3)


def test_the_start_depends_on_the_seed_alone(lab):
    def start(seed):
        return {s.uri for s in lab.annotator(start=4, seed=seed).opening(MOMENT).samples if s.split is Split.TRAIN}

    assert start(0) == start(0)
    assert len({frozenset(start(seed)) for seed in range(8)}) > 1


def test_issues_of_hidden_boxes_stay_hidden(lab):
    lab.write({name: [*boxes, ("bolt", 90, 70, 120, 90)] for name, boxes in TRUTH.items()})
    result = lab.annotator(start=2).opening(MOMENT)
    given = {sample.uri for sample in result.samples if sample.split is Split.TRAIN}
    assert {(issue.uri, issue.problem) for issue in result.issues} == {(uri, "box_clipped") for uri in given}


def test_a_image_that_cannot_be_read_is_quarantined_at_the_opening(lab):
    Path(lab.uri("b")).write_bytes(b"no image")
    samples = lab.annotator(start=99).opening(MOMENT).samples
    assert [s.uri for s in samples if s.state is State.QUARANTINED] == [lab.uri("b")]


def test_no_file_that_it_keeps_holds_a_true_box(lab):
    annotator = lab.annotator(start=1)
    annotator.opening(MOMENT)
    annotator.push([lab.task("b", box(1, 2, 3, 4, "gear"))])
    annotator.harvest()
    kept = {file.name: json.loads(file.read_text()) for file in (lab.folder / "state").iterdir()}
    assert kept["simulated_images.json"] == {lab.id(name): lab.uri(name) for name in TRUTH}
    (asked,) = kept["simulated_queue.json"]
    assert [(b["label"], b["x1"], b["y2"]) for b in asked["boxes"]] == [("gear", 1, 4)]
    assert len(kept) == 2


def test_pushing_again_adds_nothing_and_the_best_comes_first(lab):
    annotator = lab.annotator()
    seen = []
    first = annotator.push([lab.task("a", value=0.1), lab.task("b", value=5.0)], lambda *step: seen.append(step))
    assert first.created == (lab.id("b"), lab.id("a"))
    changed = lab.task("a", box(1, 2, 3, 4), value=9.0)
    second = lab.annotator().push([changed, lab.task("c", value=1.0)])
    assert (second.created, second.existing) == ((lab.id("c"),), (lab.id("a"),))
    assert seen == [("pushing tasks", 2, 2)]
    assert [*by_name(lab, annotator.harvest().answers)] == ["b", "a", "c"]


def test_a_foreign_image_is_refused_and_a_task_without_a_time_is_a_mistake(lab):
    Image.new("RGB", (100, 80)).save(lab.uri("foreign"))
    result = lab.annotator().push([lab.task("foreign"), lab.task("a")])
    assert result.created == (lab.id("a"),)
    assert list(result.refused) == [lab.id("foreign")]
    assert "hidden.json has labels for" in result.refused[lab.id("foreign")]
    with pytest.raises(ValueError, match="Expected tasks with asked_at"):
        lab.annotator().push([lab.task("a", asked_at=None)])


def test_it_answers_the_truth_as_far_as_it_was_asked(lab):
    annotator = lab.annotator()
    annotator.push([lab.task("b"), lab.task("c", kind=TaskKind.BLIND)])
    harvest = annotator.harvest()
    answers = by_name(lab, harvest.answers)
    assert said(answers["b"]) == [("human", *BOLT), ("human", *NUT)]
    assert (answers["c"].boxes, answers["c"].skipped) == ((), False)
    later = MOMENT + timedelta(days=1)
    annotator.push([lab.task("f", asked_at=later)])
    new = annotator.harvest(harvest.watermark)
    assert [said(answer) for answer in new.answers] == [[("human", *GEAR)]]
    (found,) = new.answers[0].boxes
    assert (found.annotator, found.annotation_id) == ("simulated", new.answers[0].annotation_id)
    assert new.answers[0].created_at == new.answers[0].updated_at == found.created_at == later
    assert annotator.harvest(new.watermark).answers == ()
    assert len(annotator.harvest().answers) == 3


def test_boxes_of_the_machine_are_accepted_corrected_or_deleted(lab):
    close, far, wrong = box(10, 10, 30, 30.5), box(22, 42, 60, 64, "nut"), box(70, 60, 90, 75, "gear")
    annotator = lab.annotator()
    annotator.push([lab.task("b", close, far, wrong)])
    (answer,) = annotator.harvest().answers
    assert said(answer) == [("accepted", "bolt", 10, 10, 30, 30.5), ("corrected", *NUT)]


def test_it_takes_the_seconds_of_the_settings(lab):
    annotator = lab.annotator()
    shown = [box(10, 10, 30, 30, "bolt"), box(60, 60, 70, 70, "gear")]
    annotator.push([lab.task("b", *shown), lab.task("c"), lab.task("d")])
    spent = {name: answer.lead_time_s for name, answer in by_name(lab, annotator.harvest().answers).items()}
    assert spent == {"b": 3 + 2 + 2 + 7, "c": 3, "d": 3 + 7}


def test_it_verifies_at_two_seconds_a_box_and_leaves_open_what_is_missing(lab):
    annotator = lab.annotator()
    right, wrong = box(10, 10, 30, 30), box(60, 40, 90, 70, "gear")
    whole, part = lab.task("a", right, wrong, kind=TaskKind.VERIFY), lab.task("b", right, kind=TaskKind.VERIFY)
    annotator.push([whole, part])
    found = {answer.image_id: answer for answer in annotator.harvest().answers}
    first, second = found[whole.image_id], found[part.image_id]
    assert said(first) == [("accepted", *BOLT)]
    assert (first.ignore, first.verdicts) == ((), (("bolt", "accepted"), ("gear", "deleted")))
    assert said(second) == [("accepted", *BOLT)]
    assert [(region.reason, region.xyxy) for region in second.ignore] == [("unanswered", (0, 0, 100, 80))]
    assert (first.verified, first.lead_time_s, second.lead_time_s) == (True, 3 + 2 * 2, 3 + 2)


def test_unpushed_images_stay_hidden(lab):
    annotator = lab.annotator(start=2)
    annotator.opening(MOMENT)
    annotator.push([lab.task("a")])
    assert len(annotator.answers([lab.id("a")])) == 1
    with pytest.raises(LeakError, match=f"got {lab.id('b')} and 0 more that were not"):
        annotator.answers([lab.id("a"), lab.id("b")])


def test_answers_depend_on_seed_and_image_not_on_order(lab):
    def answers(order, folder, seed=5):
        annotator = lab.annotator(folder, seed, error_rate=0.5, skip_rate=0.3)
        for name in order:
            annotator.push([lab.task(name)])
        return by_name(lab, annotator.harvest().answers)

    forward = answers("abcdefgh", "one")
    assert answers("hgfedcba", "two") == forward
    assert any(answers("abcdefgh", f"seed {seed}", seed) != forward for seed in range(3))


def test_it_skips_at_its_rate(lab):
    def skipped(rate, seed):
        annotator = lab.annotator(f"{rate} {seed}", seed, skip_rate=rate)
        annotator.push([lab.task(name) for name in TRUTH])
        answers = annotator.harvest().answers
        assert all(answer.boxes == () for answer in answers if answer.skipped)
        return sum(answer.skipped for answer in answers)

    assert (skipped(0.0, 0), skipped(1.0, 0)) == (0, 8)
    assert 15 <= sum(skipped(0.5, seed) for seed in range(6)) <= 33


def test_errors_change_answers_and_not_the_truth(lab):
    annotator = lab.annotator(error_rate=1.0)
    annotator.push([lab.task(name) for name in TRUTH])
    wrong = {name: said(answer) for name, answer in by_name(lab, annotator.harvest().answers).items()}
    assert all(entry[1:] not in TRUTH[name] for name, boxes in wrong.items() for entry in boxes)
    truth = {lab.id(name): [box(*b[1:], label=b[0]) for b in boxes] for name, boxes in TRUTH.items()}
    assert annotator.grade(truth, 0.99) == {"bolt": (5, 5), "nut": (3, 3), "gear": (1, 1)}


def test_crowds_are_pointed_out(lab):
    lab.write(TRUTH, crowds=[("a", "bolt", 40, 40, 90, 75)])
    annotator = lab.annotator()
    annotator.push([lab.task("a")])
    (answer,) = annotator.harvest().answers
    assert [(region.xyxy, region.reason) for region in answer.ignore] == [((40, 40, 90, 75), "crowd")]


def test_labels_that_cannot_be_used_make_a_skip(lab):
    annotator = lab.annotator()
    annotator.opening(MOMENT)
    task = lab.task("a")
    Path(lab.uri("a")).write_bytes(b"gone bad")
    annotator.push([task])
    (answer,) = annotator.harvest().answers
    assert (answer.skipped, answer.notes) == (True, ("the hidden labels of this image cannot be used",))


def machine(label, *corners, p=0.5):
    return box(*corners, label=label, source=Source.PSEUDO, p_correct=p)


@pytest.mark.parametrize(
    ("boxes", "counts"),
    [
        ({}, {}),
        ({"a": []}, {}),
        ({"a": [machine(*BOLT)]}, {"bolt": (1, 1)}),
        ({"a": [machine("nut", *BOLT[1:])]}, {"nut": (1, 0)}),
        ({"a": [machine("bolt", 10, 10, 30, 19)]}, {"bolt": (1, 0)}),
        ({"a": [machine("bolt", 10, 10, 30, 20)]}, {"bolt": (1, 1)}),
        ({"a": [machine(*BOLT), machine("bolt", 10, 10, 30, 28, p=0.9)]}, {"bolt": (2, 1)}),
        ({"c": [machine(*BOLT)], "b": [machine(*BOLT), machine(*NUT)]}, {"bolt": (2, 1), "nut": (1, 1)}),
        ({"f": [machine("gear", 42, 42, 88, 70), machine(*GEAR)]}, {"gear": (1, 1)}),
    ],
)
def test_grading_gives_counts(lab, boxes, counts):
    lab.write(TRUTH, crowds=[("f", "gear", 40, 40, 90, 75)])
    assert lab.annotator().grade({lab.id(name): found for name, found in boxes.items()}, 0.5) == counts


def test_true_boxes_are_counted(lab):
    annotator = lab.annotator()
    assert annotator.count([]) == dict.fromkeys(LABELS, 0)
    everything = annotator.count([lab.id(name) for name in TRUTH] + ["foreign"])
    assert everything == {label: sum(box[0] == label for boxes in TRUTH.values() for box in boxes) for label in LABELS}


def test_boxes_in_images_whose_truth_nobody_knows_do_not_count(lab):
    boxes = {"foreign": [machine(*NUT)], lab.id("a"): [machine(*BOLT)]}
    assert lab.annotator().grade(boxes, 0.5) == {"bolt": (1, 1)}


@pytest.mark.parametrize("text", ["7", "{", '{"updated_at": 3}', '{"answered": "many"}'])
def test_a_foreign_watermark_is_refused(lab, text):
    with pytest.raises(ValueError, match="Expected the watermark of a simulated harvest"):
        lab.annotator().harvest(text)


@pytest.mark.parametrize(("name", "labels"), [("bccd", 3), ("deeppcb", 6), ("cards", 6)])
def test_real_data_opens_with_every_class(tmp_path, name, labels):
    folder = Path(__file__).parents[2] / "../shared/data" / name
    if not folder.is_dir():
        pytest.skip(f"no images at {folder}")
    content = json.loads((folder / "val.json").read_text())
    names = tuple(category["name"] for category in content["categories"])
    settings = SimulatedSettings(annotations=str(folder / "val.json"), images=str(folder / "images"), start=10)
    annotator = SimulatedAnnotator(settings, DataSettings(labels=names), Ways(), 0, Folder(tmp_path))
    samples = annotator.opening(MOMENT).samples
    given = [sample for sample in samples if sample.split is Split.TRAIN]
    assert (len(samples), len(given)) == (len(content["images"]), 10)
    assert len({box.label for sample in given for box in sample.boxes}) == labels
    asked = next(sample for sample in samples if sample.split is Split.POOL)
    annotator.push([Task(asked.image_id, asked.uri, asked.width, asked.height, (), 1.0, "", asked_at=MOMENT)])
    assert [answer.image_id for answer in annotator.harvest().answers] == [asked.image_id]
