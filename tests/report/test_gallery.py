from dataclasses import replace

import pytest

from pipeline.report.gallery import asked_gallery, dropped_gallery, pseudo_gallery
from pipeline.report.paste_gallery import paste_gallery
from pipeline.settings import ReportSettings
from tests.report.builders import cycle_contents, first_cycle
from tests.report.scenes import check_table, reader, scenes

IMAGES = scenes(30)
CONTENTS = cycle_contents(IMAGES)
READ = reader(IMAGES)
FEW = ReportSettings(gallery_images=4, image_px=96)
GALLERIES = [asked_gallery, pseudo_gallery, dropped_gallery, paste_gallery]


@pytest.mark.parametrize("gallery", GALLERIES)
def test_the_gallery_of_an_empty_cycle_says_so(gallery):
    empty = gallery(first_cycle(), READ, FEW)
    assert empty.cards == ()
    assert empty.empty
    assert empty.note == ""


@pytest.mark.parametrize("gallery", GALLERIES)
def test_no_images_are_shown_where_none_are_wanted(gallery):
    assert gallery(CONTENTS, READ, ReportSettings(gallery_images=0)).cards == ()


@pytest.mark.parametrize(
    ("gallery", "kinds"),
    [(asked_gallery, {"ask", "pseudo"}), (pseudo_gallery, {"pseudo", "ignore"}), (dropped_gallery, {"drop"})],
)
def test_a_gallery_draws_the_boxes_it_is_about(gallery, kinds):
    shown = gallery(CONTENTS, READ, FEW)
    assert len(shown.cards) == 4
    assert {box.mark.kind for card in shown.cards for tile in card.tiles for box in tile.marks} == kinds
    assert all(max(tile.width, tile.height) == 96 for card in shown.cards for tile in card.tiles)
    assert shown.note.startswith("4 of ")


def test_boxes_lie_where_the_selection_has_them():
    card = dropped_gallery(CONTENTS, READ, FEW).cards[0]
    scene = next(scene for scene in IMAGES if scene.uri == card.uri)
    rows = [
        row for row in CONTENTS.selection.to_pylist() if row["image_id"] == scene.image_id and row["fate"] == "drop"
    ]
    assert len(card.tiles[0].marks) == len(rows) > 0
    for box, row in zip(card.tiles[0].marks, rows, strict=True):
        assert box.left == pytest.approx(100 * row["x1"] / scene.width, abs=0.01)
        assert box.height == pytest.approx(100 * (row["y2"] - row["y1"]) / scene.height, abs=0.02)
        assert box.mark.text == f"{row['label']} {row['p_correct']:.2f}"


def test_asked_cards_carry_rank_and_reason():
    first = asked_gallery(CONTENTS, READ, FEW).cards[0]
    row = CONTENTS.queue.to_pylist()[0]
    assert first.heading == "No. 1"
    assert first.lines == (row["reason"],)


def test_paste_cards_show_the_source_and_its_pastes():
    shown = paste_gallery(CONTENTS, READ, FEW)
    assert len(shown.cards) == 2
    assert [len(card.tiles) for card in shown.cards] == [5, 5]
    assert not any(tile.missing for card in shown.cards for tile in card.tiles)
    sure, unsure = shown.cards
    assert sure.lines[0].startswith("Confidence 0.")
    assert unsure.lines[0].startswith("Confidence only 0.")
    assert "of 4 pastes" in sure.lines[0]


def test_more_pastes_than_fit_are_cut_with_a_count():
    many = cycle_contents(IMAGES, checks=check_table(CONTENTS.selection, IMAGES, pastes=8))
    card = paste_gallery(many, READ, FEW).cards[0]
    assert len(card.tiles) == 5
    assert "4 of 8 pastes shown; all in checks.parquet." in card.lines


def test_an_image_that_cannot_be_read_keeps_its_card():
    shown = pseudo_gallery(CONTENTS, reader([]), FEW)
    assert len(shown.cards) == 4
    assert all("no such file" in card.tiles[0].missing for card in shown.cards)


def test_asked_images_are_drawn_with_the_boxes_that_people_see():
    def drawn(shown_from):
        cards = asked_gallery(replace(CONTENTS, shown_from=shown_from), READ, FEW).cards
        return sum(len(tile.marks) for card in cards for tile in card.tiles)

    assert drawn(0.0) > drawn(0.8) > drawn(None) == 0
