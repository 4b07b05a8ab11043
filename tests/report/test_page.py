import hashlib
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import pipeline.report
from pipeline.artefacts import AuditCount, CycleHarvest, PushRun, TimeSaved
from pipeline.dataset.versions import Version
from pipeline.records import ImportIssue
from pipeline.report import IndexContents, page_name, render_cycle, render_index, render_lead
from pipeline.settings import ReportSettings
from tests.report.builders import (
    ISSUES,
    MOMENT,
    NOT_MEASURED,
    certificate,
    certificates,
    cycle_contents,
    first_cycle,
    gate,
    mining,
    opening,
    turns,
    versions,
)
from tests.report.reading import Page
from tests.report.scenes import queue_table, reader, scenes

IMAGES = scenes(30)
CONTENTS = cycle_contents(IMAGES)
INDEX = IndexContents.of(CONTENTS, [page_name(cycle) for cycle in range(3)])
FEW = ReportSettings(gallery_images=4, image_px=96)
PAGES = {
    "full": lambda: render_cycle(CONTENTS, reader(IMAGES), FEW),
    "first": lambda: render_cycle(first_cycle(), reader([]), FEW),
    "no model": lambda: render_cycle(
        replace(CONTENTS, turns=(*CONTENTS.turns[:-1], replace(CONTENTS.turn, gate=None))), reader(IMAGES), FEW
    ),
    "held": lambda: render_cycle(
        replace(
            CONTENTS, turns=(*CONTENTS.turns[:-1], replace(CONTENTS.turn, gate=gate(2, 0.3, False, test=NOT_MEASURED)))
        ),
        reader(IMAGES),
        FEW,
    ),
    "nothing certified": lambda: render_cycle(
        replace(CONTENTS, certificates=certificates(), selected=None, audit=None, calibration=None),
        reader(IMAGES),
        FEW,
    ),
    "no pool left": lambda: render_cycle(_without_pool(), reader([]), FEW),
    "no images": lambda: render_cycle(CONTENTS, reader([]), FEW),
    "lead": lambda: render_lead(CONTENTS, reader(IMAGES)),
    "lead of a first cycle": lambda: render_lead(first_cycle(), reader([])),
    "index": lambda: render_index(INDEX),
    "empty index": lambda: render_index(IndexContents("workshop parts")),
}


def _without_pool():
    empty = {name: getattr(CONTENTS, name).slice(0, 0) for name in ("selection", "queue", "checks")}
    last = replace(CONTENTS.versions[-1], counts={"images": {"labeled": 240}})
    return replace(CONTENTS, versions=(*CONTENTS.versions[:-1], last), push=None, mining=None, **empty)


@pytest.fixture(scope="module")
def pages():
    return {name: render() for name, render in PAGES.items()}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_formed(pages, name):
    html = pages[name]
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert [element.attributes["lang"] for element in page.all("html")] == ["en"]
    assert page.all("title")[0].text
    assert len(page.all("h1")) == 1
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in page.values("href") if target.startswith("#")} <= set(ids)
    assert set(page.values("for")) <= set(ids)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_nothing_from_outside(pages, name):
    page = Page(pages[name])
    targets = [value for attribute in ("src", "href", "srcset", "action", "data") for value in page.values(attribute)]
    assert all(
        re.match(r"data:|#|(index|lead|cycle-\d{4})\.html$|data/[a-z0-9-]+\.(json|parquet)$", target)
        for target in targets
    )
    assert_own_script_alone(page)
    style = page.all("style")[0].text
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_without_seeing_it(pages, name):
    page = Page(pages[name])
    assert all(image.attributes.get("alt") for image in page.all("img"))
    assert all(cell.attributes.get("scope") in {"row", "col"} for cell in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    levels = [int(element.tag[1]) for element in page.elements if re.fullmatch("h[1-6]", element.tag)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_every_table_row_has_one_cell_per_column(pages):
    for html in pages.values():
        page = Page(html)
        for caption in page.all("caption"):
            header, *rows = page.table(caption.text)
            assert all(len(row) == len(header) for row in rows), caption.text


def test_the_numbers_shown_are_the_numbers_given(pages):
    page = Page(pages["full"])
    assert page.all("h1")[0].text.startswith(
        "Cycle 2: test mAP 0.412 (+0.051 since cycle 0) with 44 human-labeled images"
    )
    by_cycle = {row[0]: row for row in page.table("Precision and what it cost")[1:]}
    for turn in CONTENTS.turns:
        row = by_cycle[str(turn.cycle)]
        assert row[1:4] == [f"{turn.labeled_images:,}", f"{turn.labeled_boxes:,}", f"{turn.pseudo_boxes:,}"]
        assert row[4].startswith(f"{turn.gate.val.map:.3f} [")
        assert row[5].startswith(f"{turn.gate.test.map:.3f} [")
    by_class = {row[0]: row for row in page.table("Average precision of each class")[1:]}
    for label, own in CONTENTS.turn.gate.test.per_class.items():
        assert by_class[label][1:3] == [str(own.boxes), f"{own.ap:.3f}"]
    sources = {row[0]: row for row in page.table("Boxes by class and by who")[1:]}
    for label, own in CONTENTS.class_sources.items():
        assert sources[label][1] == str(sum(own.values()))
        assert sources[label][3:] == [
            str(own.get(name, 0)) for name in ("import", "human", "accepted", "corrected", "pseudo", "soft")
        ]
    scores = {row[0]: row for row in page.table("Measured on 1,000 held-back")[1:]}
    for name, quality in CONTENTS.calibration.scores.items():
        assert scores[name][1].startswith(f"{quality.auroc:.3f}")
    promised = {row[0]: row for row in page.table("Certificates")[1:]}
    for label, own in CONTENTS.certificates.classes.items():
        assert promised[label][3] == f"{own.right} of {own.boxes}"
    asked = page.table("The queue")[1:]
    for row, given in zip(asked, CONTENTS.queue.to_pylist(), strict=True):
        expected = (str(given["rank"] + 1), given["reason"], f"{given['expected_corrections']:.3f}")
        assert (row[0], row[3], row[5]) == expected


def test_every_faulty_file_and_refused_image_is_on_the_page():
    many = tuple(ImportIssue(f"/images/{place}.jpg", "unreadable", "truncated", "quarantined") for place in range(900))
    contents = replace(first_cycle(), issues=many, push=_refusing(IMAGES[0].image_id, "abc"), samples=CONTENTS.samples)
    page = Page(render_cycle(contents, reader([]), FEW))
    assert {row[0] for row in page.table("Every file with a problem")[1:]} == {issue.uri for issue in many}
    assert page.table("Images that could not be pushed")[1:] == [[IMAGES[0].uri, "too large"], ["abc", "too large"]]


def _refusing(*image_ids):
    return PushRun(refused=dict.fromkeys(image_ids, "too large"))


def test_what_only_a_simulation_knows_says_so(pages):
    assert "only because this is a simulation" in pages["full"]
    assert "simulation" not in pages["nothing certified"]


def test_only_the_versions_of_the_cycle_are_on_its_page(pages):
    assert [row[0] for row in Page(pages["full"]).table("Dataset versions")[1:]] == ["4", "3"]
    assert [row[0] for row in Page(pages["index"]).table("Dataset versions")[1:]] == ["4", "3", "2", "1", "0"]


def test_the_index_links_to_the_pages_of_the_cycles(pages):
    assert set(Page(pages["index"]).values("href")) >= {page_name(cycle) for cycle in range(3)}


def test_large_tables_are_cut_with_a_count():
    images = scenes(60)
    page = Page(render_cycle(cycle_contents(images, queue=queue_table(images, 60)), reader(images), FEW))
    assert len(page.table("The queue")) == 26
    assert "25 of 60 images shown; all in queue.parquet." in "".join(element.text for element in page.all("p"))


TEMPLATES = Path(pipeline.report.__file__).parent / "templates"


def assert_own_script_alone(page):
    """Nothing that came with the data is run; what sorts and searches the tables fetches nothing."""
    (script,) = page.all("script")
    assert script.attributes == {}
    assert script.text == " ".join((TEMPLATES / "tables.js").read_text().split())
    assert not re.search(r"https?:|fetch|import\b|innerHTML", script.text)


HOSTILE = "\"><script>alert(1)</script>'&<img src=x onerror=alert(2)>{{ 7*7 }}"


def test_hostile_text_stays_text():
    images = [replace(scene, uri=f"{HOSTILE}{place}.jpg") for place, scene in enumerate(scenes(6))]
    contents = cycle_contents(images)
    renamed = {name: _with_text(getattr(contents, name)) for name in ("selection", "queue")}
    hostile = replace(
        contents,
        **renamed,
        opening=opening(name=HOSTILE),
        turns=(
            *turns(2, labels=(HOSTILE,)),
            replace(contents.turn, gate=gate(2, 0.4, False, (HOSTILE,), why=HOSTILE, candidate=HOSTILE)),
        ),
        versions=(Version(0, None, MOMENT, HOSTILE, cycle=2, model_id=HOSTILE, counts={"images": {HOSTILE: 1}}),),
        class_sources={HOSTILE: {HOSTILE: 1}},
        harvest=CycleHarvest(answered=1, boxes={HOSTILE: 1}, annotators={HOSTILE: 1}, notes=((HOSTILE, HOSTILE),)),
        certificates=certificates(certificate(HOSTILE, certified=False, needed=HOSTILE)),
        audit={HOSTILE: AuditCount(9, 1)},
        push=PushRun(refused={HOSTILE: HOSTILE}),
        issues=(ImportIssue(HOSTILE, HOSTILE, HOSTILE, HOSTILE), *ISSUES),
        stage_seconds={HOSTILE: 1.0},
        settings_yaml=HOSTILE,
        commands=(HOSTILE,),
    )
    for html in (
        render_cycle(hostile, reader(images), FEW),
        render_cycle(hostile, reader([]), FEW),
        render_cycle(replace(hostile, push=PushRun(failed=HOSTILE)), reader([]), FEW),
        render_index(IndexContents.of(hostile, [])),
    ):
        page = Page(html)
        assert_own_script_alone(page)
        assert not any("onerror" in element.attributes for element in page.elements)
        assert all(re.match("data:image/(jpeg|webp);base64,", image.attributes["src"]) for image in page.all("img"))
        assert HOSTILE in "".join(page.all("body")[0].texts)
        assert "49" not in page.all("title")[0].text


def _with_text(table):
    for name in ("label", "reason"):
        if name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.array([HOSTILE] * table.num_rows, pa.string()))
    return table


def test_the_same_contents_give_the_same_bytes(pages):
    for name in ("full", "index"):
        assert hashlib.sha256(PAGES[name]().encode()).digest() == hashlib.sha256(pages[name].encode()).digest()


def test_default_galleries_stay_small():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (96, 128, 3)).astype(np.uint8)

    def read(uri, longest_side_px):
        return np.asarray(noise).repeat(longest_side_px // 128, 0).repeat(longest_side_px // 128, 1)

    assert len(render_cycle(cycle_contents(scenes(60)), read, ReportSettings())) < 6_000_000


def _luminance(color):
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [(text, ground) for text in ("ink", "quiet", "link") for ground in ("page", "panel")]
    + [(tone, f"{tone}-page") for tone in ("good", "bad", "warn", "note")],
)
def test_text_has_contrast(pages, scheme, text, ground):
    colors = re.findall(r"--([\w-]+): (#[0-9a-f]{6})", pages["full"])
    above, below = ([value for name, value in colors if name == wanted][scheme] for wanted in (text, ground))
    bright, dark = sorted((_luminance(above), _luminance(below)), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_versions_of_no_cycle_are_left_to_the_index():
    imported = replace(versions(1)[0], cycle=None)
    page = Page(render_cycle(first_cycle(versions=(imported,)), reader([]), FEW))
    assert page.table("Dataset versions") == []


SAVED = TimeSaved(1.25, seconds_with=4.0, seconds_without=9.5, answers_with=30, answers_without=12)


@pytest.mark.parametrize(
    ("hours", "saved", "lines"),
    [
        (None, TimeSaved(), []),
        (0.04, TimeSaved(), ["0.0 hours of work"]),
        (
            2.3,
            SAVED,
            [
                "2.3 hours of work",
                "1.2 hours saved by showing boxes, as an estimate: a box took 4.0 s where boxes were shown (median of "
                "30 answers) and 9.5 s where not (12 answers)",
            ],
        ),
        (2.3, replace(SAVED, hours=-0.5), ["2.3 hours of work", "0.5 hours lost by showing boxes"]),
        (
            2.3,
            TimeSaved(missing="at least 10 timed answers without boxes, found 3"),
            ["2.3 hours of work", "are not estimated: at least 10 timed answers without boxes, found 3"],
        ),
    ],
    ids=["nothing timed", "spent alone", "saved", "lost", "not enough"],
)
def test_hours_spent_and_saved_stand_in_words(hours, saved, lines):
    harvest = CycleHarvest(answered=10, skipped=1, hours=hours, saved=saved)
    page = Page(render_cycle(replace(CONTENTS, harvest=harvest), reader([]), FEW))
    text = " ".join(element.text for element in page.all("p"))
    assert "10 images answered" in text
    for line in lines:
        assert line in text
    assert ("hours of work" in text) == (hours is not None)
    assert ("by showing boxes" in text) == (saved != TimeSaved())


def test_answers_of_several_people_say_how_far_they_agree():
    harvest = CycleHarvest(answered=3, agreements=(0.5, 1.0), asked_again=1)
    page = Page(render_cycle(replace(CONTENTS, harvest=harvest), reader([]), FEW))
    text = " ".join(element.text for element in page.all("p"))
    assert "2 images answered by several people, whose boxes agree by 0.75 on average" in text
    assert "1 of them asked about again" in text


def test_what_training_and_mining_did_is_on_the_page(pages):
    page = Page(pages["full"])
    text = " ".join(element.text for element in page.all("p"))
    assert "300 training steps in 1 min 36 s, 24.9 images per second." in text
    pool, held_back = page.table("What mining did")[1:]
    cost = mining().cost
    assert pool[2:6] == [f"{number:,}" for number in (cost.proposals, cost.augmented_views, cost.closeups, cost.pastes)]
    assert held_back[:2] == ["held back", "40"]
    assert pool[-1] == "0.967"
    pseudo, soft = page.table("Boxes that were pasted into labelled images")[1:]
    assert pseudo == ["pseudo-labeled", "50", "50", "1.000", "2.2", "0.900"]
    assert soft == ["soft label", "40", "30", "0.750", "2.0", "0.500"]
    steps = ["decode, held back", "detect, held back", "decode, pool", "detect, pool", "paste, pool", "Sum"]
    assert [row[0] for row in page.table("Time of mining")[1:]] == steps


def test_a_push_that_failed_says_why():
    contents = replace(CONTENTS, push=PushRun(failed="127.0.0.1:9 refuses the connection"))
    text = " ".join(element.text for element in Page(render_cycle(contents, reader([]), FEW)).all("p"))
    assert "Nothing could be pushed; the next cycle tries again: 127.0.0.1:9 refuses the connection." in text
    assert "Pushed:" not in text
