import numpy as np
import pytest

from pipeline.errors import ImageFault
from pipeline.report.cards import Card
from pipeline.report.drawing import draw, draw_card, strip
from pipeline.report.tiles import Mark, encode, place, unreadable

GREY = np.full((60, 80, 3), 128, np.uint8)
VIEW = (0.0, 0.0, 80.0, 60.0)
BOX = (20.0, 15.0, 60.0, 45.0)


def _tile(kind="ask", text="", caption=""):
    return encode(GREY, "a scene", [place(Mark(kind, text), BOX, VIEW)], caption, lossless=True)


@pytest.mark.parametrize(
    ("kind", "color"),
    [
        ("pseudo", (0x1E, 0x88, 0xE5)),
        ("ask", (0xFF, 0xA0, 0x00)),
        ("drop", (0x3D, 0x3D, 0x3D)),
        ("paste", (0xD8, 0x1B, 0x9A)),
        ("redetection", (0xFF, 0xE1, 0x00)),
        ("ignore", (0xF2, 0xF2, 0xF2)),
    ],
)
def test_a_mark_is_an_outline_in_the_colour_of_its_kind(kind, color):
    drawn = np.asarray(draw(_tile(kind), 60))
    assert drawn.shape == GREY.shape
    assert drawn[15, 40].tolist() == drawn[30, 20].tolist() == drawn[45, 40].tolist() == list(color)
    assert (drawn[20:40, 25:55] == 128).all(), "what lies inside the box stays visible"
    assert (drawn[:13] == 128).all()


def test_the_text_of_a_mark_stands_over_its_box():
    plain, named = np.asarray(draw(_tile(), 60)), np.asarray(draw(_tile(text="nut 0.71"), 60))
    changed = np.argwhere((plain != named).any(2))
    assert len(changed) > 50
    assert changed[:, 0].max() <= 16


def test_an_image_that_could_not_be_read_leaves_its_place_grey():
    drawn = draw(unreadable("a scene", ImageFault("a.jpg", "truncated")), 60)
    assert drawn.size == (80, 60)
    assert len(set(drawn.get_flattened_data())) == 1


def test_tiles_stand_side_by_side_at_one_height_over_their_captions():
    drawn = strip([_tile(), _tile(caption="found again: 0.800, IoU 0.900")], height_px=120)
    first, gap = 160, 8
    assert drawn.height == 120 + 16
    pixels = np.asarray(drawn)
    assert (pixels[60, first : first + gap] == 255).all()
    assert (pixels[120:, :first] == 255).all(), "no caption, no ink"
    assert (pixels[120:, first + gap :] < 128).any()


def test_a_card_keeps_its_words():
    drawn = draw_card(Card("No. 1", "a.jpg", ("nut 0.52",), (_tile(), _tile())), height_px=60)
    assert (drawn.heading, drawn.lines, drawn.image.size) == ("No. 1", ("nut 0.52",), (168, 60))
