"""What a gallery is made of."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.records import Fate
from pipeline.report.tiles import Tile

FATES = {Fate.PSEUDO: "pseudo-labeled", Fate.ASK: "asked", Fate.DROP: "dropped"}
"""What became of a box, in words."""


@dataclass(frozen=True, slots=True)
class Card:
    """One or more images with what there is to say about them.

    Attributes:
        heading: What it is, short.
        uri: Where the image lies.
        lines: Sentences below the images.
        tiles: The images.
    """

    heading: str
    uri: str
    lines: tuple[str, ...]
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """A row of cards.

    Attributes:
        key: Anchor on the page.
        title: Heading.
        lead: Which images these are and in which order.
        cards: May be empty.
        empty: What to say where there is no card.
        note: What is cut; empty for nothing.
    """

    key: str
    title: str
    lead: str
    cards: tuple[Card, ...]
    empty: str
    note: str = ""
