"""The simulated person who verifies."""

from pipeline.labeling.verifier import verify
from pipeline.records import TaskKind
from tests.builders import box, task

TRUE = box(100, 100, 140, 140)
WHOLE = ("unanswered", (0, 0, 320, 240))


def said(drawn, *shown):
    return verify(drawn, task("one", *shown, kind=TaskKind.VERIFY), 0.9)


def ignored(answer):
    return [(region.reason, region.xyxy) for region in answer.ignore]


def test_an_empty_image_without_boxes_is_answered():
    answer = said([])
    assert (answer.boxes, answer.ignore, answer.verdicts, answer.deleted) == ((), (), (), ())


def test_a_right_box_is_accepted_with_the_machines_corners():
    machine = box(101, 100, 141, 140, p_correct=0.8, proposal_id="p")
    answer = said([TRUE], machine)
    ((found,),) = (answer.boxes,)
    assert (found.xyxy, str(found.source), found.proposal_id) == (machine.xyxy, "accepted", "p")
    assert (answer.ignore, answer.verdicts) == ((), (("bolt", "accepted"),))


def test_a_wrong_box_is_deleted():
    answer = said([], TRUE)
    assert (answer.boxes, answer.ignore, answer.deleted) == ((), (), (TRUE,))
    assert answer.verdicts == (("bolt", "deleted"),)


def test_a_box_of_another_class_gets_it_by_one_key():
    answer = said([TRUE], box(100, 100, 140, 140, "nut"))
    assert [(b.label, str(b.source)) for b in answer.boxes] == [("bolt", "corrected")]
    assert answer.verdicts == (("nut", "corrected"),)


def test_an_inexact_box_is_ignored():
    machine = box(110, 100, 150, 140)
    answer = said([TRUE], machine)
    assert (answer.boxes, ignored(answer)) == ((), [("inexact", machine.xyxy)])
    assert answer.verdicts == (("bolt", "corrected"),)


def test_what_is_missing_is_not_drawn_and_nothing_passes_for_background():
    answer = said([TRUE, box(10, 10, 40, 40)], TRUE)
    assert [b.xyxy for b in answer.boxes] == [TRUE.xyxy]
    assert ignored(answer) == [WHOLE]
