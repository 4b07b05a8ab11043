import pytest

from pipeline.artefacts import AuditCount, ClassStanding
from pipeline.selection.withdrawal import next_standing
from pipeline.settings import SelectionSettings

PROMISE = SelectionSettings(target_precision=0.9, confidence=0.95)


def heard(before, audits, cycle=3, objects=40):
    """From `(boxes, right)` by the cycle that asked."""
    counts = {asked_in: AuditCount(*count) for asked_in, count in audits.items()}
    return next_standing(before, counts, PROMISE, cycle=cycle, objects=objects)


def failed():
    """Withdrawn in cycle 3 with 5 of 10 right and 40 held-back objects."""
    return heard(ClassStanding(), {1: (10, 5)})


@pytest.mark.parametrize(
    ("audits", "withdrawn"),
    [
        ({}, False),
        ({1: (1, 0)}, False),
        ({1: (2, 0)}, True),
        ({1: (10, 8)}, False),
        ({1: (10, 7)}, False),
        ({1: (10, 6)}, True),
        ({0: (5, 4), 2: (5, 2)}, True),
        ({1: (1000, 890)}, False),
        ({1: (1000, 870)}, True),
    ],
    ids=["nobody asked", "one", "two", "8 of 10", "7 of 10", "6 of 10", "over cycles", "many", "many, and below"],
)
def test_a_class_fails_where_its_audits_leave_no_room_for_the_promise(audits, withdrawn):
    standing = heard(ClassStanding(), audits)
    assert standing.withdrawn is withdrawn
    assert bool(standing.needed) is withdrawn


def test_a_withdrawn_class_says_why_and_what_brings_it_back():
    standing = failed()
    assert (standing.withdrawn_in, standing.since, standing.objects) == (3, 3, 40)
    assert standing.needed == (
        "withdrawn in cycle 3: people found 5 of 10 audited boxes right, so a precision under 0.778 where 0.9 was "
        "promised; it comes back when blind audits certify 0.9 anew (0 of 0 right since; 29 without an error would do) "
        "or with 29 more held-back objects of the class"
    )


def test_it_stays_withdrawn_until_there_is_evidence():
    standing = heard(failed(), {1: (10, 5), 3: (20, 20)}, cycle=4)
    assert standing.withdrawn
    assert (standing.boxes, standing.right) == (20, 20), "what was asked before it was withdrawn counts no more"
    assert "20 of 20 right since" in standing.needed
    assert heard(standing, {1: (10, 5), 3: (20, 20)}, cycle=5) == standing


def test_audits_bring_it_back_and_count_anew():
    standing = heard(failed(), {1: (10, 5), 3: (20, 20), 4: (9, 9)}, cycle=5)
    assert standing == ClassStanding(since=5)
    later = heard(standing, {1: (10, 5), 3: (20, 20), 4: (9, 9), 5: (2, 1)}, cycle=6)
    assert (later.boxes, later.right, later.withdrawn) == (2, 1, False)


@pytest.mark.parametrize(("objects", "withdrawn"), [(40, True), (68, True), (69, False)])
def test_more_held_back_objects_bring_it_back(objects, withdrawn):
    assert heard(failed(), {1: (10, 5)}, cycle=4, objects=objects).withdrawn is withdrawn
