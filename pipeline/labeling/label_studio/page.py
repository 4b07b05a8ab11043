"""What people see: the labeling page and its instructions. The tabs of the table of tasks are in `views`."""

from __future__ import annotations

import colorsys
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from xml.etree import ElementTree as Xml

from defusedxml.ElementTree import ParseError, fromstring

from pipeline.labeling.label_studio.verification import STYLE, add_controls
from pipeline.settings import DataSettings

CONTROL = "label"
IMAGE = "image"
NOTE = "note"
"""The control that holds what is said of an unsure box, below its line in the list of regions."""

_HOW_TO = """\
<p>Draw one tight, upright box round every object of a listed class, also round objects that are cut by the edge of the
image or partly hidden. The line on top says why the image was chosen.</p><br>
<p>• Boxes that are there already are a <b>proposal of the model</b>, not an answer: delete wrong ones, drag inexact
ones, correct wrong labels, add what is missing.{exactness} The most doubtful ones come first in the list of regions,
and a line on yellow says what may be wrong with an <b>unsure</b> one. What you leave as it is counts as your own.</p>
<p>• Some images say <b>to verify</b>: answer one box after another by a key. Alt+. shows the next box, and it counts
as right unless you press <b>x</b> (no object), <b>i</b> (inexact; or drag it into place at once), <b>a digit</b> (it is
of that class) or <b>c</b> (of another class, left open). At the end press <b>n</b> if nothing is missing; or draw what
is missing and then press n; or press <b>m</b> and leave it. What you leave open is not learnt from.</p>
<p>• Some images come <b>without boxes</b>: draw every object.</p>
<p>• <b>Labels to review</b> are boxes that people have drawn or approved before. The line on top says what may be
wrong: mend what is, leave the rest, submit.</p>
<p>• An image without any object is submitted empty: that is an answer too.</p>
<p>• Skip an image only when nobody could answer it. The page has that button in the queue (<b>Label All Tasks</b>), not
where a task was opened from the table; there, tick its row and press <b>Label 1 Task</b>.</p>
<p>• Anything that you submitted may be changed later; the last word counts.</p>
<p>• <b>No More Tasks Left in Queue</b>: all is answered, or others have the rest open. The next cycle brings
more.</p><br>
<p><b>Keys</b></p>
<p>• <b>Ctrl+Enter</b>: submit. <b>Ctrl+Space</b>: skip. <b>Alt+.</b>: next region; after a deletion it begins again
with the first. <b>Backspace</b>: delete the selected region.</p>
<p>• <b>a digit</b>: choose the class to draw, or give the selected region another. <b>Ctrl+Z</b>: undo.</p>
<p>• <b>Ctrl+drag</b>: draw over a box that is there; a plain drag would move that box.</p>
<p>• <b>Ctrl+H</b>: hide all boxes, or show them again.</p>"""
"""The page keeps paragraphs, line breaks, bold text and images of this, one below the other; no lists, no styles and no
`data:` addresses."""

_ROUND = 5
"""A share that people read is one of a multiple of this, the next smaller one."""

_STYLE = """
.lsf-outliner-item .lsf-textarea-tag__form { display: none; }
.lsf-outliner-item .lsf-textarea-tag__item input {
  background: #fff3cd; border-color: #ffda6a; color: #664d03; pointer-events: none;
}
.lsf-outliner-item__control_type_predict:empty + .lsf-outliner-item__control_type_score,
.lsf-outliner-item:has(.lsf-outliner-item__control_type_predict:empty) .lsf-outliner-item__ocr { display: none; }
.lsf-annotation-button__info span[title^="Prediction score"] { display: none; }
"""
"""Shows what is said of unsure boxes on yellow, and no empty line to type into at the others. A box that a person has
changed loses the machine's sign in the list, and with it what the machine says of it. The score of a prediction gives
its task a place in the queue: shown on its tab, it would read as confidence."""

_FILL = "0.1"
"""How much of the image a box covers."""
_OUTLINE_PX = "2"
_MOST_HEIGHT = "calc(100vh - 280px)"
"""Of the image, so that the reason, the keys and the classes are seen beside it without scrolling."""
_HOTKEYS = "1234567890"
_GOLDEN_TURN = 0.618033988749895


def instructions(
    data: DataSettings,
    accepted_iou: float,
    pictures: Mapping[str, str] | None = None,
    edge_cases: Sequence[str] = (),
) -> str:
    """Write what people read before they begin.

    Args:
        data: Class names, and what is said of them.
        accepted_iou: With at least this overlap a box counts as unchanged, 0 to 1: less need not be moved.
        pictures: Addresses of example pictures, by class.
        edge_cases: What the lead says beside.

    Returns:
        HTML: the classes that have a description or a picture, edge cases, what to do, and the keys that matter.
    """
    classes = [_of_class(label, data, pictures or {}) for label in data.labels]
    cases = [f"<p>• {escape(case)}</p>" for case in edge_cases]
    return _part("Classes", classes) + _part("Edge cases", cases) + _HOW_TO.format(exactness=_exactness(accepted_iou))


def _exactness(accepted_iou: float) -> str:
    """How far off an edge may be left; empty where nothing may.

    Of all boxes whose edges are off by a share `s` of the true sides, the one with all edges inside has the least IoU,
    `(1 - 2s)^2`.
    """
    share = (1 - math.sqrt(accepted_iou)) / 2
    if share <= 0:
        return ""
    parts = _ROUND * math.ceil(1 / share / _ROUND)
    near = f"off by less than about 1/{parts} of the object's width or height"
    return f"\nAn edge that is {near} need not be moved: 2 pixels on {2 * parts}."


def _part(title: str, paragraphs: Sequence[str]) -> str:
    """Paragraphs below a title, and an empty line; nothing without any."""
    said = "\n".join(filter(None, paragraphs))
    return f"<p><b>{title}</b></p>\n{said}<br>\n" if said else ""


def _of_class(label: str, data: DataSettings, pictures: Mapping[str, str]) -> str:
    """What is said of a class, with its picture; empty where nothing is. The server keeps no other attribute order."""
    name, said, address = f"<b>{escape(label)}</b>", data.descriptions.get(label), pictures.get(label)
    text = f"<p>• {name}: {escape(said)}</p>" if said else f"<p>• {name}</p>" if address else ""
    picture = f'<p><img src="{escape(address)}" alt="{escape(label)}"></p>' if address else ""
    return "\n".join(filter(None, (text, picture)))


def label_config(labels: Sequence[str], before: str = "") -> str:
    """Write the label configuration.

    Args:
        labels: Class names, at least one.
        before: The configuration that the project has, if any: a label that is in it keeps its colour and hotkey,
            wherever it stands in the list now.

    Returns:
        XML: the reason on top, the image, whole, a rectangle tool for each label; digits select the first ten. Tasks
        that verify have choices below, with their keys.
    """
    view = Xml.Element("View")
    Xml.SubElement(view, "Style").text = _STYLE + STYLE
    Xml.SubElement(view, "Header", value="$reason", size="5")
    add_controls(view, IMAGE)
    Xml.SubElement(view, "Image", name=IMAGE, value="$image", zoom="true", zoomControl="true", maxHeight=_MOST_HEIGHT)
    drawn = {"canRotate": "false", "opacity": _FILL, "strokeWidth": _OUTLINE_PX}
    control = Xml.SubElement(view, "RectangleLabels", {"name": CONTROL, "toName": IMAGE, **drawn})
    known = _looks(before)
    kept = [known.get(label, {}) for label in labels]
    colours = _unused(map(_colour, itertools.count()), [look.get("background") for look in kept])
    hotkeys = _unused(iter(_HOTKEYS), [look.get("hotkey") for look in kept])
    for label, look in zip(labels, kept, strict=True):
        tag = Xml.SubElement(control, "Label", value=label, background=look.get("background") or next(colours))
        hotkey = look.get("hotkey") or next(hotkeys, None)
        if hotkey:
            tag.set("hotkey", hotkey)
    note = {"name": NOTE, "toName": IMAGE, "perRegion": "true", "editable": "false", "displayMode": "region-list"}
    Xml.SubElement(view, "TextArea", note)
    Xml.indent(view)
    return Xml.tostring(view, encoding="unicode")


def _looks(config: str) -> dict[str, dict[str, str]]:
    """Attributes of every label of a configuration; none where it is no XML, such as that of a new project."""
    try:
        return {tag.attrib.get("value", ""): dict(tag.attrib) for tag in fromstring(config).iter("Label")}
    except ParseError:
        return {}


def _unused(candidates: Iterator[str], used: Sequence[str | None]) -> Iterator[str]:
    return (candidate for candidate in candidates if candidate not in used)


def _colour(place: int) -> str:
    rgb = colorsys.hsv_to_rgb((place * _GOLDEN_TURN) % 1.0, 0.85, 0.9)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in rgb)
