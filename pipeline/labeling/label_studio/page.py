"""What people see: the labeling page, its instructions, and the table of tasks."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as Xml

CONTROL = "label"
PICTURE = "image"

_NOISE = [
    *(f"tasks:data.{name}" for name in ("image_id", "model_id", "width", "height")),
    *("tasks:inner_id", "tasks:annotations_results", "tasks:annotations_ids", "tasks:file_upload", "tasks:updated_by"),
    *("tasks:predictions_score", "tasks:predictions_model_versions", "tasks:predictions_results"),
    *("tasks:storage_filename", "tasks:created_at", "tasks:avg_lead_time", "tasks:draft_exists"),
]
_FACTS = [
    *(f"tasks:data.{name}" for name in ("reason", "kind", "cycle", "value")),
    *("tasks:completed_at", "tasks:annotators", "tasks:updated_at"),
    *("tasks:total_annotations", "tasks:cancelled_annotations", "tasks:total_predictions"),
]

VIEW: dict[str, Any] = {
    "title": "crosscheck: best first",
    "type": "list",
    "target": "tasks",
    "ordering": ["-tasks:data.value"],
    "hiddenColumns": {"explore": _NOISE, "labeling": [*_NOISE, *_FACTS]},
}
"""A tab of the Data Manager; what is of no use to people is hidden, in the table and beside the picture."""

INSTRUCTION = """\
<p>Draw one tight, upright box round every object of a listed class, also round objects that are cut by the edge of the
picture or partly hidden.</p>
<p>Boxes drawn by the model are a proposal: delete wrong ones, drag inexact ones, correct wrong labels, add what is
missing. The line above the picture says why it was chosen.</p>
<p>A picture without any object is submitted empty: that is an answer too. Skip a picture only when nobody could
answer it.</p>"""

_HOTKEYS = "1234567890"
_GOLDEN_TURN = 0.618033988749895


def label_config(labels: Sequence[str]) -> str:
    """Write the label configuration.

    A label's colour and hotkey follow from its place in the list, so they stay when labels are added at its end.

    Args:
        labels: Class names, at least one.

    Returns:
        XML: the reason on top, the picture, a rectangle tool for each label; digits select the first ten.
    """
    view = Xml.Element("View")
    Xml.SubElement(view, "Header", value="$reason", size="5")
    Xml.SubElement(view, "Image", name=PICTURE, value="$image", zoom="true", zoomControl="true")
    control = Xml.SubElement(view, "RectangleLabels", name=CONTROL, toName=PICTURE, canRotate="false")
    for place, label in enumerate(labels):
        tag = Xml.SubElement(control, "Label", value=label, background=_colour(place))
        if place < len(_HOTKEYS):
            tag.set("hotkey", _HOTKEYS[place])
    Xml.indent(view)
    return Xml.tostring(view, encoding="unicode")


def _colour(place: int) -> str:
    rgb = colorsys.hsv_to_rgb((place * _GOLDEN_TURN) % 1.0, 0.85, 0.9)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in rgb)
