import pyarrow as pa
import pytest

from pipeline.report.gallery import asked_gallery, dropped_gallery, galleries, paste_gallery, pseudo_gallery
from pipeline.settings import ReportSettings
from tests.report.builders import cycle_contents, first_cycle, reader, scenes

KNOWN = scenes(30)
CONTENTS = cycle_contents(KNOWN)
READ = reader(KNOWN)
FEW = ReportSettings(gallery_images=4, image_px=96)


def test_an_empty_cycle_has_empty_galleries_that_say_so():
    for found in galleries(first_cycle(), READ, FEW):
        assert found.cards == ()
        assert found.empty
        assert found.note == ""


def test_no_images_are_shown_where_none_are_wanted():
    assert [found.cards for found in galleries(CONTENTS, READ, ReportSettings(gallery_images=0))] == [()] * 4


@pytest.mark.parametrize(
    ("gallery", "kinds"),
    [(asked_gallery, {"ask", "pseudo"}), (pseudo_gallery, {"pseudo", "ignore"}), (dropped_gallery, {"drop"})],
)
def test_a_gallery_draws_the_boxes_it_is_about(gallery, kinds):
    found = gallery(CONTENTS, READ, FEW)
    assert len(found.cards) == 4
    assert {mark.kind for card in found.cards for tile in card.tiles for mark in tile.marks} == kinds
    assert all(max(tile.width, tile.height) == 96 for card in found.cards for tile in card.tiles)
    assert found.note.startswith("4 of ")


def test_boxes_lie_where_the_selection_has_them():
    card = dropped_gallery(CONTENTS, READ, FEW).cards[0]
    scene = next(scene for scene in KNOWN if scene.uri == card.uri)
    rows = [
        row for row in CONTENTS.selection.to_pylist() if row["image_id"] == scene.image_id and row["fate"] == "drop"
    ]
    assert len(card.tiles[0].marks) == len(rows)
    for mark, row in zip(card.tiles[0].marks, rows, strict=True):
        assert mark.left == pytest.approx(100 * row["x1"] / scene.width, abs=0.01)
        assert mark.height == pytest.approx(100 * (row["y2"] - row["y1"]) / scene.height, abs=0.02)
        assert mark.text == f"{row['label']} {row['p_correct']:.2f}"


def test_asked_cards_carry_rank_value_and_reason():
    first = asked_gallery(CONTENTS, READ, FEW).cards[0]
    row = CONTENTS.queue.to_pylist()[0]
    assert first.heading == f"No. 1, value {row['value']:.3f}"
    assert first.lines == (row["reason"],)


def test_paste_cards_show_the_source_and_its_pastes():
    found = paste_gallery(CONTENTS, READ, FEW)
    assert len(found.cards) == 2
    assert [len(card.tiles) for card in found.cards] == [5, 5]
    sure, shy = found.cards
    assert sure.lines[0].startswith("Confidence 0.")
    assert shy.lines[0].startswith("Confidence only 0.")
    assert "of 4 pastes" in sure.lines[0]


def test_more_pastes_than_fit_are_cut_with_a_count():
    many = cycle_contents(KNOWN, checks=pa.concat_tables([CONTENTS.checks] * 2))
    assert "4 of 8 pastes shown; all in checks.parquet." in paste_gallery(many, READ, FEW).cards[0].lines


def test_a_image_that_cannot_be_read_keeps_its_card():
    found = pseudo_gallery(CONTENTS, reader([]), FEW)
    assert len(found.cards) == 4
    assert all("no such file" in card.tiles[0].missing for card in found.cards)
