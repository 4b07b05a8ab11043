from xml.etree import ElementTree as Xml

import pytest

from pipeline.labeling.label_studio.page import instructions, label_config
from pipeline.labeling.label_studio.prediction_check import prediction_checker
from pipeline.settings import DataSettings


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
    text = instructions(DataSettings(labels=("bolt",)))
    assert all(f"<b>{key}</b>" in text for key in ("Ctrl+Enter", "Alt+.", "Backspace", "Ctrl+drag", "Ctrl+H"))
    assert "Classes" not in text


def test_the_instructions_describe_classes_in_their_order():
    data = DataSettings(labels=("bolt", "nut", "a<b"), descriptions={"a<b": "less & less", "bolt": "with a head"})
    assert instructions(data).startswith(
        "<p><b>Classes</b></p>\n<p>• <b>bolt</b>: with a head</p>\n<p>• <b>a&lt;b</b>: less &amp; less</p><br>\n<p>Draw"
    )


def test_the_instructions_show_a_picture_below_its_class():
    data = DataSettings(labels=("bolt", "nut", "key"), descriptions={"bolt": "with a head"})
    text = instructions(data, {"bolt": "/data/local-files/?d=a%20b.webp", "key": "/k.webp"})
    assert text.startswith(
        "<p><b>Classes</b></p>\n<p>• <b>bolt</b>: with a head</p>\n"
        '<p><img src="/data/local-files/?d=a%20b.webp" alt="bolt"></p>\n'
        '<p>• <b>key</b></p>\n<p><img src="/k.webp" alt="key"></p><br>\n<p>Draw'
    )


def test_the_instructions_hold_what_the_lead_says_of_edge_cases():
    cases = ("a bolt cut by the edge: draw what is seen", "rust & dirt: no object")
    data = DataSettings(labels=("bolt",))
    assert instructions(data, edge_cases=cases) == (
        "<p><b>Edge cases</b></p>\n<p>• a bolt cut by the edge: draw what is seen</p>\n"
        f"<p>• rust &amp; dirt: no object</p><br>\n{instructions(data)}"
    )


def test_a_description_of_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match=r"descriptions: expected names among \['bolt'\], got \['screw'\]"):
        DataSettings(labels=("bolt",), descriptions={"screw": "turned"})
