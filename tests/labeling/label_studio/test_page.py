import itertools
import re
from xml.etree import ElementTree as Xml

import pytest

from pipeline.labeling.feedback.agreement import sources_of
from pipeline.labeling.label_studio.page import instructions, label_config
from pipeline.labeling.label_studio.prediction_check import prediction_checker
from pipeline.records import Source
from pipeline.settings import DataSettings
from pipeline.settings.labeling import LabelingSettings
from tests.builders import box

ACCEPTED_IOU = LabelingSettings().accepted_iou


def tags(labels):
    return [dict(tag.attrib) for tag in Xml.fromstring(label_config(labels)).iter("Label")]


@pytest.mark.parametrize("labels", [("bolt",), ("bolt", "nut"), ('a & b <c> "d"', "größe", "two words")])
def test_labels_come_back_from_the_configuration(labels):
    assert tuple(tag["value"] for tag in tags(labels)) == labels


def test_colours_and_hotkeys_stay_when_labels_are_added_at_the_end():
    names = [f"part {number}" for number in range(30)]
    assert tags(names)[:12] == tags(names[:12])
    assert [tag.get("hotkey") for tag in tags(names)[:12]] == [*"1234567890", None, None]
    assert len({tag["background"] for tag in tags(names)}) == 30


def test_a_label_keeps_its_look_wherever_it_stands_and_new_ones_look_otherwise():
    before = {tag["value"]: tag for tag in tags(("bolt", "nut", "gear"))}
    config = label_config(("washer", "gear", "bolt", "key"), label_config(("bolt", "nut", "gear")))
    after = {tag.attrib["value"]: tag.attrib for tag in Xml.fromstring(config).iter("Label")}
    assert list(after) == ["washer", "gear", "bolt", "key"]
    assert {name: after[name] for name in ("gear", "bolt")} == {name: before[name] for name in ("gear", "bolt")}
    assert len({tag["background"] for tag in after.values()}) == len({tag["hotkey"] for tag in after.values()}) == 4
    assert label_config(tuple(after), config) == config


@pytest.mark.parametrize("before", ["", "<View></View>", "no XML <"])
def test_a_configuration_without_labels_changes_nothing(before):
    assert label_config(("bolt", "nut"), before) == label_config(("bolt", "nut"))


def test_the_configuration_passes_the_sdks_own_check():
    check = prediction_checker(label_config(("bolt", 'a & b "c"')))
    value = {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0, "rectanglelabels": ['a & b "c"']}
    region = {"id": "1", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value}
    assert check({"model_version": "crosscheck", "score": 0.5, "result": [region]}) == []


def test_boxes_have_thin_outlines_and_a_light_fill():
    (control,) = Xml.fromstring(label_config(("bolt",))).iter("RectangleLabels")
    assert (control.get("strokeWidth"), float(control.get("opacity"))) == ("2", pytest.approx(0.1))


def test_the_instructions_name_the_keys_that_matter():
    text = instructions(DataSettings(labels=("bolt",)), ACCEPTED_IOU)
    assert all(f"<b>{key}</b>" in text for key in ("Ctrl+Enter", "Alt+.", "Backspace", "Ctrl+drag", "Ctrl+H"))
    assert "Classes" not in text


def test_the_instructions_describe_classes_in_their_order():
    data = DataSettings(labels=("bolt", "nut", "a<b"), descriptions={"a<b": "less & less", "bolt": "with a head"})
    assert instructions(data, ACCEPTED_IOU).startswith(
        "<p><b>Classes</b></p>\n<p>• <b>bolt</b>: with a head</p>\n<p>• <b>a&lt;b</b>: less &amp; less</p><br>\n<p>Draw"
    )


def test_the_instructions_show_a_picture_below_its_class():
    data = DataSettings(labels=("bolt", "nut", "key"), descriptions={"bolt": "with a head"})
    text = instructions(data, ACCEPTED_IOU, {"bolt": "/data/local-files/?d=a%20b.webp", "key": "/k.webp"})
    assert text.startswith(
        "<p><b>Classes</b></p>\n<p>• <b>bolt</b>: with a head</p>\n"
        '<p><img src="/data/local-files/?d=a%20b.webp" alt="bolt"></p>\n'
        '<p>• <b>key</b></p>\n<p><img src="/k.webp" alt="key"></p><br>\n<p>Draw'
    )


def test_the_instructions_hold_what_the_lead_says_of_edge_cases():
    cases = ("a bolt cut by the edge: draw what is seen", "rust & dirt: no object")
    data = DataSettings(labels=("bolt",))
    assert instructions(data, ACCEPTED_IOU, edge_cases=cases) == (
        "<p><b>Edge cases</b></p>\n<p>• a bolt cut by the edge: draw what is seen</p>\n"
        f"<p>• rust &amp; dirt: no object</p><br>\n{instructions(data, ACCEPTED_IOU)}"
    )


@pytest.mark.parametrize(
    ("accepted_iou", "share", "pixels"),
    [(0.0, "1/5", 10), (0.5, "1/10", 20), (0.8, "1/20", 40), (ACCEPTED_IOU, "1/40", 80), (0.95, "1/80", 160)],
)
def test_the_instructions_say_how_far_off_an_edge_may_be_left(accepted_iou, share, pixels):
    text = instructions(DataSettings(labels=("bolt",)), accepted_iou).replace("\n", " ")
    near = f"off by less than about {share} of the object's width or height"
    said = f"add what is missing. An edge that is {near} need not be moved: 2 pixels on {pixels}. The most doubtful"
    assert said in text


def test_the_instructions_leave_no_edge_off_where_only_the_same_box_counts_as_accepted():
    text = instructions(DataSettings(labels=("bolt",)), 1.0).replace("\n", " ")
    assert "add what is missing. The most doubtful" in text


@pytest.mark.parametrize("accepted_iou", [0.3, 0.5, 0.8, ACCEPTED_IOU, 0.95, 0.99])
def test_what_the_instructions_say_may_be_left_counts_as_accepted(accepted_iou):
    text = instructions(DataSettings(labels=("bolt",)), accepted_iou)
    off = 2 / int(re.search(r"2 pixels on (\d+)\.", text)[1])
    edges = itertools.product((-off, 0.0, off), repeat=4)
    left = [box(100 * x1, 50 * y1, 100 * (1 + x2), 50 * (1 + y2)) for x1, y1, x2, y2 in edges]
    assert set(sources_of([box(0, 0, 100, 50)] * len(left), left, accepted_iou)) == {Source.ACCEPTED}


def test_a_description_of_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match=r"descriptions: expected names among \['bolt'\], got \['screw'\]"):
        DataSettings(labels=("bolt",), descriptions={"screw": "turned"})
