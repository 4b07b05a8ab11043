"""What a selection does to the sample table."""

from __future__ import annotations

import pytest

from pipeline.dataset.store import SampleStore
from pipeline.records import Fate, Region, Source, Split, State, make_box_id, samples_from_table
from pipeline.selection.commit import Outcome, changed_rows
from pipeline.settings import SelectionSettings
from tests.builders import MOMENT, box, image_id, sample
from tests.selection.evidence import ORDINARY, selection_of

CORNERS = tuple(ORDINARY[name] for name in ("x1", "y1", "x2", "y2"))


def machine_box(name, fate=Fate.PSEUDO, **fields):
    """A row of the selection."""
    return {"image_id": image_id(name), "fate": fate.value, **fields}


@pytest.fixture
def store(tmp_path):
    """A pool of six images in every state, beside labelled ones."""
    store = SampleStore(str(tmp_path / "samples"))
    pool = {"split": Split.POOL, "cycle": 1}
    old = box(label="nut", source=Source.PSEUDO, score=0.9, p_correct=0.99, model_id="m0")
    samples = [
        sample("free", state=State.POOL, **pool),
        sample("queued", state=State.QUEUED, **pool),
        sample("pseudo", old, state=State.PSEUDO, ignore=(Region(0, 0, 9, 9, "unsure"),), **pool),
        sample("lost", state=State.POOL, **pool),
        sample("skipped", state=State.SKIPPED, **pool),
        sample("quarantined", state=State.QUARANTINED, note="broken", **pool),
        sample("answered", box(source=Source.HUMAN), split=Split.TRAIN),
        sample("held back", box(), split=Split.VAL),
    ]
    store.commit(samples, reason="import", key="import")
    return store


def changes(store, *rows, queued=(), pseudo=(), unread=None, **settings):
    """Changed rows by name."""
    outcome = Outcome(
        frozenset(map(image_id, queued)),
        frozenset(map(image_id, pseudo)),
        {image_id(name): reason for name, reason in (unread or {}).items()},
        cycle=2,
        opened_at=MOMENT,
    )
    names = ("free", "queued", "pseudo", "lost", "skipped", "quarantined", "answered", "held back")
    by_id = {image_id(name): name for name in names}
    pieces = changed_rows(store, outcome, selection_of(*rows).filter, SelectionSettings(**settings))
    return {by_id[one.image_id]: one for piece in pieces for one in samples_from_table(piece)}


def test_nothing_is_decided(store):
    """What waited for an answer or was pseudo-labelled goes back to the pool, bare."""
    rows = changes(store)
    assert rows.keys() == {"queued", "pseudo"}
    for changed in rows.values():
        assert (changed.state, changed.boxes, changed.ignore, changed.cycle) == (State.POOL, (), (), 2)
        assert changed.split is Split.POOL


def test_images_are_queued_bare(store):
    rows = changes(store, machine_box("free", Fate.ASK), queued=["free", "pseudo", "queued"])
    assert rows.keys() == {"free", "pseudo"}, "who waited goes on waiting, and is no change"
    assert all((changed.state, changed.boxes, changed.ignore) == (State.QUEUED, (), ()) for changed in rows.values())


def test_a_pseudo_labelled_image_gets_its_certified_boxes(store):
    rows = changes(store, machine_box("free", p_correct=0.9, label="gear", score=0.7), pseudo=["free"])
    (written,) = rows["free"].boxes
    assert rows["free"].state is State.PSEUDO
    assert (written.xyxy, written.label, written.source) == (CORNERS, "gear", Source.PSEUDO)
    assert (written.p_correct, written.score) == (pytest.approx(0.9), pytest.approx(0.7))
    assert (written.model_id, written.created_at) == ("m1", MOMENT)
    assert written.box_id == make_box_id(image_id("free"), "gear", CORNERS, "m1")


SOFT_FROM_HALF = {"soft_from": 0.5, "ignore_from": 0.02}


@pytest.mark.parametrize(
    ("row", "settings", "source", "reason"),
    [
        ({"fate": "ask", "p_correct": 0.6}, SOFT_FROM_HALF, Source.SOFT, None),
        ({"fate": "ask", "p_correct": 0.5}, SOFT_FROM_HALF, Source.SOFT, None),
        ({"fate": "ask", "p_correct": 0.4}, SOFT_FROM_HALF, None, "unsure"),
        ({"fate": "ask", "p_correct": 0.6}, {"soft_from": None}, None, "unsure"),
        ({"fate": "ask", "p_correct": 0.99, "reason": "withdrawn_class"}, SOFT_FROM_HALF, None, "unsure"),
        ({"fate": "ask", "p_correct": 0.6, "reason": "mistrusted"}, SOFT_FROM_HALF, None, "unsure"),
        ({"fate": "drop", "p_correct": 0.03}, SOFT_FROM_HALF, None, "weak"),
        ({"fate": "drop", "p_correct": 0.01}, SOFT_FROM_HALF, None, None),
        ({"fate": "drop", "p_correct": 0.01}, {"ignore_from": 0.0}, None, "weak"),
    ],
    ids=[
        "likely", "just likely enough", "not likely enough", "no soft labels", "a class that failed its audits",
        "a class that is mistrusted", "weak", "too weak", "all dropped ones are ignored",
    ],
)  # fmt: skip
def test_what_becomes_of_the_other_boxes_of_a_pseudo_labelled_image(store, row, settings, source, reason):
    sure, other = machine_box("free", x1=1.0), {**machine_box("free"), **row}
    changed = changes(store, sure, other, pseudo=["free"], **settings)["free"]
    assert changed.boxes[0].source is Source.PSEUDO
    assert [drawn.source for drawn in changed.boxes[1:]] == ([source] if source else [])
    assert changed.ignore == ((Region(*CORNERS, reason=reason),) if reason else ())
    if source:
        assert changed.boxes[1].p_correct == pytest.approx(row["p_correct"])


def test_boxes_of_other_images_are_not_written(store):
    rows = changes(store, machine_box("free"), machine_box("pseudo", x1=3.0), pseudo=["pseudo"])
    assert rows.keys() == {"pseudo", "queued"}
    assert [drawn.x1 for drawn in rows["pseudo"].boxes] == [3.0], "and those of the model before are gone"


def test_an_image_that_stays_as_it_is_is_no_change(store):
    first = changes(store, machine_box("free"), pseudo=["free"], queued=["queued"])
    store.commit(list(first.values()), reason="select", key="select")
    assert changes(store, machine_box("free"), pseudo=["free"], queued=["queued"]) == {}
    assert changes(store, machine_box("free", p_correct=0.7), pseudo=["free"], queued=["queued"]).keys() == {"free"}


def test_images_that_cannot_be_read_any_more_are_quarantined(store):
    unread = {"lost": "no such file", "pseudo": "torn"}
    rows = changes(store, machine_box("pseudo"), queued=["queued", "lost"], pseudo=["pseudo"], unread=unread)
    assert {name: (changed.state, changed.note) for name, changed in rows.items()} == {
        "lost": (State.QUARANTINED, "no such file"),
        "pseudo": (State.QUARANTINED, "torn"),
    }
    assert rows["pseudo"].boxes == ()


@pytest.mark.parametrize("name", ["skipped", "quarantined", "answered", "held back"])
def test_images_that_are_not_mined_are_never_touched(store, name):
    decided = {"queued": ["queued", name], "pseudo": ["pseudo", name], "unread": {name: "torn"}}
    assert name not in changes(store, machine_box(name), machine_box("pseudo"), **decided)
