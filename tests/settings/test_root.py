from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import annotated_types
import pytest
import yaml
from pydantic import ValidationError

from pipeline.errors import SettingsError
from pipeline.settings import DetectorSettings, Settings, TrainingSettings, dump_settings, load_settings, parse_settings
from pipeline.settings.base import Section
from pipeline.settings.renamed import RENAMED
from pipeline.settings.root import _known_keys

SMALLEST = {"name": "parts", "workspace": "space", "data": {"labels": ["bolt", "nut"]}}
SOURCE = {"split": "train", "format": "coco", "images": "images", "annotations": "train.json"}


def having(dotted: str, value: Any) -> dict[str, Any]:
    """The smallest settings with one more value; numbers in the path are places in a list."""
    *sections, key = dotted.split(".")
    values: dict[str, Any] = {**SMALLEST, "data": {**SMALLEST["data"], "sources": [dict(SOURCE)]}}
    place: Any = values
    for section in sections:
        place = place[int(section)] if section.isdecimal() else place.setdefault(section, {})
    place[key] = value
    return values


def write(folder: Path, values: Any) -> Path:
    path = folder / "settings.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    ("dotted", "hint"),
    [
        ("traning", "did you mean 'training'?"),
        ("training.stepz", "did you mean 'steps'?"),
        ("training.mixup.alfa", "did you mean 'alpha'?"),
        ("data.sources.0.imges", "did you mean 'images'?"),
        ("labeling.label_studio.projct", "did you mean 'project'?"),
        ("labeling.simulated.error_rte", "did you mean 'error_rate'?"),
        ("selection.query.strateg", "did you mean 'strategy'?"),
        ("training.focal.zzz", "known keys: alpha, gamma; a key of a newer release needs that release"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(dotted, hint):
    with pytest.raises(SettingsError) as fault:
        parse_settings(having(dotted, 1), "parts.yaml")
    assert str(fault.value).startswith("parts.yaml: these settings cannot be used:")
    assert f"  {dotted}: unknown key; {hint}" in str(fault.value).splitlines()


@pytest.mark.parametrize(("dotted", "name"), RENAMED.items())
def test_a_renamed_key_is_refused_with_its_new_name(dotted, name):
    with pytest.raises(SettingsError) as fault:
        parse_settings(having(dotted, 1), "parts.yaml")
    assert f"  {dotted}: this key is now called {name!r}" in str(fault.value).splitlines()
    section, _, _ = dotted.rpartition(".")
    section, _, key = f"{section}.{name}".rpartition(".") if "." not in name else name.rpartition(".")
    assert key in _known_keys(tuple(section.split(".")))


@pytest.mark.parametrize(
    ("dotted", "value", "message"),
    [
        ("training.learning_rate", 0, r"training.learning_rate: .* greater than 0, got 0"),
        ("training.learning_rate", 2, r"less than or equal to 1, got 2"),
        ("training.steps", 0, r"training.steps: .* greater than or equal to 1"),
        ("training.steps", "many", r"training.steps: .* valid integer.*, got 'many'"),
        ("training.clip_norm", float("inf"), r"training.clip_norm: .*finite number"),
        ("training.learning_rate", float("nan"), r"training.learning_rate: .*finite number"),
        ("training.mixup", {"start": 0.8, "end": 0.2}, r"expected mixup.start <= mixup.end, got 0.8 > 0.2"),
        ("training.mosaic", {"start": 0.9}, r"expected mosaic.start <= mosaic.end, got 0.9 > 0.8"),
        ("training.mosaic", {"scale_min": 0.9, "scale_max": 0.4}, r"expected scale_min <= scale_max, got 0.9 > 0.4"),
        ("training.accumulate", 3, r"multiple of accumulate x devices x nodes = 3, got 4"),
        ("training", {"accumulate": 4, "devices": 4}, r"multiple of accumulate x devices x nodes = 16, got 4"),
        ("training", {"ema_decay": 0, "teacher": {"enabled": True}}, r"teacher.enabled expects ema_decay above 0"),
        ("training.teacher", {"box_score": 0.2}, r"expected ignore_score <= box_score, got 0.3 > 0.2"),
        ("training.classification", "fokal", r"'focal', 'ohem' or 'cross_entropy', got 'fokal'"),
        ("training.focal", {"enabled": "x", "alpha": 2}, r"training.focal.alpha: .* less than or equal to 1"),
        ("detector.architecture", "yolo", r"'retinanet', 'fcos' or 'faster_rcnn', got 'yolo'"),
        (
            "detector",
            {"weights": "coco"},
            r"expect backbone 'torchvision:resnet50', head_convs 4, .*, got 'tf_efficientnet_lite0', 2, ",
        ),
        ("detector", {"architecture": "fcos", "fpn_channels": 80}, r"expected fpn_channels 64, 96, ..., got 80"),
        ("data.labels", [], r"data.labels: .* at least 1 item"),
        ("data.labels", ["bolt", ""], r"data.labels.1: .* at least 1 character"),
        ("data.labels", ["bolt", "bolt"], r"expected every label once, got \['bolt', 'bolt'\]"),
        ("data.sources", [{**SOURCE, "annotations": None}], r"format 'coco' expects annotations to be given, got None"),
        ("data.sources", [{**SOURCE, "format": "images"}], r"annotations to be left out, got 'train.json'"),
        ("data.sources", [{**SOURCE, "split": "pool"}], r"labels of the pool are never imported"),
        ("labeling.backend", "simulated", r"backend 'simulated' expects a section labeling.simulated"),
        ("labeling.label_studio", {}, r"'local_files' expects document_root"),
        (
            "labeling.label_studio",
            {"image_access": "url", "url": "localhost:8080"},
            r"labeling.label_studio.url: .*pattern",
        ),
        ("training", 5, r"training: .*valid dictionary"),
    ],
)
def test_a_value_that_cannot_be_is_named(dotted, value, message):
    with pytest.raises(SettingsError, match=message):
        parse_settings(having(dotted, value), "parts.yaml")


def test_every_fault_is_named_at_once():
    with pytest.raises(SettingsError) as fault:
        parse_settings({**SMALLEST, "seed": -1, "traning": {}, "report": {"image_px": 1}}, "parts.yaml")
    assert [line.split(":")[0].strip() for line in str(fault.value).splitlines()[1:]] == [
        "seed",
        "report.image_px",
        "traning",
    ]


def test_what_is_missing_is_named():
    with pytest.raises(
        SettingsError, match=r"name: Field required\n.*workspace: Field required\n.*data: Field required"
    ):
        parse_settings({}, "parts.yaml")


def numbers(section: type[Section], prefix: str = ""):
    """Every number in the settings: its dotted name and its bounds."""
    for name, field in section.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        for kind in kinds:
            for one in {kind, *get_args(kind)}:
                if isinstance(one, type) and issubclass(one, Section):
                    yield from numbers(one, f"{prefix}{name}.")
        if kinds & {int, float}:
            yield f"{prefix}{name}", field.metadata


@pytest.mark.parametrize(("dotted", "metadata"), [pytest.param(*each, id=each[0]) for each in numbers(Settings)])
def test_every_number_is_bounded_on_both_sides(dotted, metadata):
    assert any(isinstance(one, (annotated_types.Ge, annotated_types.Gt)) for one in metadata), dotted
    assert any(isinstance(one, (annotated_types.Le, annotated_types.Lt)) for one in metadata), dotted


def test_the_walk_over_the_settings_reaches_their_depths():
    names = {name for name, _ in numbers(Settings)}
    assert {"seed", "training.mixup.alpha", "labeling.simulated.start", "selection.query.boxes"} <= names


def test_settings_are_frozen():
    settings = parse_settings(SMALLEST, "parts.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        settings.training.steps = 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected a mapping of sections, got NoneType"),
        ("- 1\n- 2", r"expected a mapping of sections, got list"),
        ("a: [1", r"settings.yaml: expected YAML, got "),
        ("1: 2", r"1: Keys should be strings"),
    ],
)
def test_a_file_that_is_no_settings_file(tmp_path, text, message):
    with pytest.raises(SettingsError, match=message):
        load_settings(write(tmp_path, text))


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"name: \xff\xfe\xfa")
    with pytest.raises(SettingsError, match=r"expected YAML, got .*utf-8"):
        load_settings(path)


@pytest.mark.parametrize("name", ["lost.yaml", "."])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(SettingsError, match=r"Expected a settings file, found none at .*See configs/"):
        load_settings(tmp_path / name)


def test_relative_paths_are_taken_from_the_files_folder(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    values = having("labeling.simulated", {"annotations": "../hidden.json", "images": "s3://bucket/images"})
    training = {"start_from": "../other/models/0123456789ab"}
    path = write(tmp_path / "configs", {**values, "workspace": "../space", "training": training})
    monkeypatch.chdir("/")
    settings = load_settings(path)
    assert settings.workspace == f"{tmp_path}/space"
    assert settings.training.start_from == f"{tmp_path}/other/models/0123456789ab"
    assert settings.data.sources[0].images == f"{tmp_path}/configs/images"
    assert settings.data.sources[0].annotations == f"{tmp_path}/configs/train.json"
    assert settings.labeling.simulated is not None
    assert settings.labeling.simulated.annotations == f"{tmp_path}/hidden.json"
    assert settings.labeling.simulated.images == "s3://bucket/images"
    assert settings.data.labels == ("bolt", "nut")


@pytest.mark.parametrize(
    ("given", "expected"),
    [("/absolute/space", "/absolute/space"), ("~/space", f"{Path.home()}/space"), ("gs://bucket/x", "gs://bucket/x")],
)
def test_other_paths(tmp_path, given, expected):
    assert load_settings(write(tmp_path, {**SMALLEST, "workspace": given})).workspace == expected


def test_overrides_are_laid_over_the_file(tmp_path, monkeypatch):
    path = write(tmp_path, {**SMALLEST, "training": {"steps": 7, "batch_size": 2}})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    overrides = ["training.steps=9", "training.mixup.enabled=false", "workspace=other", "data.labels=[gear]"]
    settings = load_settings(path, overrides)
    assert settings.training.steps == 9
    assert settings.training.batch_size == 2
    assert settings.training.mixup.enabled is False
    assert settings.workspace == f"{tmp_path}/elsewhere/other"
    assert settings.data.labels == ("gear",)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.steps", r"Expected section.key=value, got 'training.steps'"),
        ("name.short=x", r"'name.short=x': 'name' is a value, not a section"),
        ("training.steps=[1", r"expected a YAML value after '='"),
        ("training.stepz=1", r"training.stepz: unknown key; did you mean 'steps'\?"),
    ],
)
def test_an_override_that_cannot_be(tmp_path, override, message):
    with pytest.raises(SettingsError, match=message):
        load_settings(write(tmp_path, SMALLEST), [override])


def test_a_project_title_is_trimmed_as_the_server_does():
    values = having("labeling.label_studio", {"project": "parts line 3 ", "image_access": "url"})
    settings = parse_settings(values, "here")
    assert settings.labeling.label_studio.project == "parts line 3"


def test_the_template_for_production_loads():
    template = Path("configs/production.yaml")
    settings = load_settings(template)
    assert settings.labeling.label_studio.image_access == "local_files"
    assert settings.data.sources[0].images == str(template.resolve().parents[1] / "data/production/images")


def test_dumped_settings_load_to_the_same(tmp_path):
    values = having("selection.query", {"boxes": 50, "strategy": "entropy"})
    values["labeling"] = {"backend": "simulated", "simulated": {"annotations": "/hidden.json", "images": "/images"}}
    settings = load_settings(write(tmp_path, values))
    again = load_settings(write(tmp_path, dump_settings(settings)))
    assert again == settings
    assert again.digest() == settings.digest()


def test_the_digest_tells_settings_apart_but_not_workspaces():
    plain = parse_settings(SMALLEST, "parts.yaml")
    backwards = parse_settings(dict(reversed(SMALLEST.items())), "parts.yaml")
    moved = parse_settings({**SMALLEST, "workspace": "other"}, "parts.yaml")
    spelled_out = parse_settings({**SMALLEST, "seed": 0, "training": {"steps": 3000}}, "parts.yaml")
    others = [
        parse_settings({**SMALLEST, **more}, "parts.yaml")
        for more in ({"seed": 1}, {"training": {"steps": 301}}, {"data": {"labels": ["nut", "bolt"]}})
    ]
    assert len(plain.digest()) == 12
    assert {one.digest() for one in (backwards, moved, spelled_out)} == {plain.digest()}
    assert len({plain.digest(), *(one.digest() for one in others)}) == 4


@pytest.mark.parametrize(
    ("focal", "classification"),
    [
        ({}, "quality_focal"),
        ({"enabled": True, "gamma": 1.0}, "focal"),
        ({"enabled": False, "gamma": 1.0}, "cross_entropy"),
    ],
)
def test_focal_as_a_switch_is_still_read(focal, classification):
    """Settings and model cards from before `training.classification`."""
    training = TrainingSettings(focal=focal)
    assert training.classification == classification
    assert training.focal.gamma == focal.get("gamma", 2.0)
    assert TrainingSettings(**training.model_dump()) == training
    assert TrainingSettings(focal=focal, classification="ohem").classification == "ohem"


def test_the_recipe_that_was_measured_is_the_default():
    training, detector = TrainingSettings(), DetectorSettings()
    assert (training.classification, training.assigner, training.box_loss) == ("quality_focal", "task_aligned", "giou")
    assert (detector.anchors_per_place, detector.head_norm, detector.head_shared) == (1, "group", True)
    assert training.plateau.enabled
    assert training.multiscale.enabled
    assert training.mixup.enabled
    assert training.triplet.enabled
    assert training.frozen_depthwise
    assert training.label_smoothing == 0.05
    assert training.precision == "auto"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"weights": "coco", "backbone": "torchvision:resnet50", "head_convs": 4}, "anchors_per_place 9, head_norm"),
        ({"fpn_channels": 20}, "expected fpn_channels 16, 24"),
    ],
)
def test_heads_that_cannot_be_are_refused(values, expected):
    with pytest.raises(ValidationError, match=expected):
        DetectorSettings(**values)
    DetectorSettings(**{**values, "anchors_per_place": 9, "head_norm": "none", "head_shared": False})
    DetectorSettings(**{**values, "architecture": "faster_rcnn"})


# Cross-fitting


def parsed(*splits, **selection):
    sources = [{"split": split, "format": "images", "images": "x"} for split in splits]
    data = {"labels": ["bolt"], "sources": sources}
    return parse_settings({"name": "p", "workspace": "w", "data": data, "selection": selection}, "here")


@pytest.mark.parametrize(
    ("splits", "selection", "committee"),
    [
        (["train", "val", "pool"], {}, 1),
        (["train", "pool"], {}, 2),
        ([], {}, 2),
        (["train", "pool"], {"drop_below": 0.1}, 2),
        (["train", "pool"], {"committee": 1}, 1),
        (["train", "val"], {"committee": 3}, 3),
    ],
)
def test_without_val_every_label_certifies(splits, selection, committee):
    settings = parsed(*splits, **selection)
    assert settings.selection.committee == committee
    assert parse_settings(yaml.safe_load(dump_settings(settings)), "there") == settings


@pytest.mark.parametrize("sources", [5, "val", [None], [{"split": 3}], None, {"split": "val"}])
def test_sources_that_are_none_are_refused_and_not_searched_for_val(sources):
    values = {"name": "p", "workspace": "w", "data": {"labels": ["bolt"], "sources": sources}}
    with pytest.raises(SettingsError, match=r"data\.sources"):
        parse_settings(values, "here")


@pytest.mark.parametrize("value", ["a\0b", "~no-such-user-of-this-machine/runs"], ids=["zero byte", "unknown home"])
def test_what_is_no_path_is_refused(tmp_path, value):
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"workspace": value}))
    with pytest.raises(SettingsError, match=r"^workspace: expected a path, got "):
        load_settings(file)
