"""Commands on a project after its first cycle: what people read, what programs parse, and what is refused."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipeline.settings import load_settings
from tests.end_to_end.project import write_config


def test_versions_are_listed_with_their_reasons(printed, crosscheck, project):
    assert [version["reason"] for version in printed("versions", "list")] == [
        "import of 34 images",
        "cycle 0: pseudo-labels and queue",
    ]
    assert "import of 34 images" in crosscheck("versions", "list", config=project).stdout


def test_a_version_is_shown(printed, crosscheck, project):
    assert printed("versions", "show", 0)["counts"]["images"] == {"labeled": 22, "pool": 12}
    text = crosscheck("versions", "show", 1, config=project).stdout
    assert "Version 1, committed" in text
    assert "3 queued" in text
    assert "cycle: 0" in text


def test_two_versions_are_compared(printed, crosscheck, project):
    assert printed("versions", "diff", 0, 1)["boxes"]["added"]["by_source"].keys() <= {"pseudo", "soft"}
    assert "3 pool->queued" in crosscheck("versions", "diff", 0, 1, config=project).stdout
    assert "Nothing changed." in crosscheck("versions", "diff", 1, 1, config=project).stdout


def test_a_difference_as_a_page(crosscheck, project, tmp_path):
    page = tmp_path / "diff.html"
    written = crosscheck("versions", "diff", 0, 1, "--html", page, "--images", 2, config=project)
    assert "3 pool->queued" in written.stdout
    html = page.read_text()
    assert "What changed from version 0 to version 1" in html
    assert html.count('<article class="card">') <= 2
    refused = crosscheck("versions", "diff", 0, 99, "--html", page, config=project)
    assert refused.exit_code == 1
    assert page.read_text() == html


def test_versions_and_differences_as_csv(crosscheck, project):
    listed = pd.read_csv(StringIO(crosscheck("versions", "list", "--csv", config=project).stdout))
    assert listed["images_labeled"].tolist()[:2] == [22, 22]
    changed = pd.read_csv(StringIO(crosscheck("versions", "diff", 0, 1, "--csv", config=project).stdout))
    assert changed.query("which == 'pool->queued'")["number"].tolist() == [3]


def test_a_version_is_named_by_number_tag_or_champion(printed, crosscheck, project):
    assert printed("versions", "tag", 1, "release-3") == {"tag": "release-3", "version": 1}
    assert printed("versions", "show", "release-3")["number"] == 1
    assert printed("versions", "show", "champion")["number"] == 0
    assert "tags: champion" in crosscheck("versions", "show", 0, config=project).stdout
    assert [version["tags"] for version in printed("versions", "list")[:2]] == [["champion"], ["release-3"]]
    assert printed("versions", "diff", "champion", "release-3") == printed("versions", "diff", 0, 1)
    refused = crosscheck("versions", "show", "release-4", config=project)
    assert refused.exit_code == 1
    expected = "one of the tags latest, champion, release-3, got 'release-4'"
    assert expected in refused.stderr
    for arguments, message in [
        ((0, "release-3"), "release-3 is version 1. --move takes it"),
        ((0, "champion"), "which move by themselves, got 'champion'"),
        ((99, "x"), "Expected a dataset version from 0 to"),
        ((0, "3.1"), "got '3.1'"),
    ]:
        refused = crosscheck("versions", "tag", *arguments, config=project)
        assert refused.exit_code == 1
        assert message in refused.stderr
    assert printed("versions", "tag", 0, "release-3", "--move")["version"] == 0
    assert printed("versions", "tag", 0, "release-3", "--remove")["version"] is None
    assert [version["tags"] for version in printed("versions", "list")[:2]] == [["champion"], []]


def test_every_version_says_by_which_code_and_settings_it_was_made(printed):
    versions = printed("versions", "list")[:2]
    assert all(version["code_version"].startswith("0.1.0") for version in versions)
    assert len({version["settings_digest"] for version in versions}) == 1
    assert [version["parent"] for version in versions] == [None, 0]


def test_images_are_verified(printed, crosscheck, project):
    assert printed("versions", "verify") == {"images": 34, "damaged": []}
    image = Path(load_settings(project).data.sources[0].images) / "01.png"
    before = image.read_bytes()
    image.write_bytes(before + b"x")
    try:
        found = crosscheck("versions", "verify", "champion", config=project)
        table = crosscheck("versions", "verify", "--csv", config=project)
    finally:
        image.write_bytes(before)
    assert found.exit_code == table.exit_code == 1
    assert f"changed: {image}" in found.stdout
    assert "1 of 34 images are not what was imported." in found.stdout
    assert pd.read_csv(StringIO(table.stdout))["problem"].tolist() == ["changed"]


def test_an_image_says_what_changed_it(printed, crosscheck, project):
    queued = printed("versions", "diff", 0, 1)["image_ids"]["states"]["pool->queued"][0]
    changes = printed("versions", "blame", queued[:12])
    assert [(change["version"], change["change"]) for change in changes] == [(0, "image added"), (1, "state")]
    text = crosscheck("versions", "blame", queued, config=project).stdout
    assert "cycle 0: pseudo-labels and queue" in text
    table = pd.read_csv(StringIO(crosscheck("versions", "blame", queued, "--csv", config=project).stdout))
    assert table["detail"].tolist() == ["pool in pool", "pool -> queued"]
    refused = crosscheck("versions", "blame", queued, "--box", "none", config=project)
    assert refused.exit_code == 1
    assert "Expected a box_id of the image, got 'none'" in refused.stderr


@pytest.mark.parametrize(("kind", "file"), [("coco", "train.json"), ("yolo", "data.yaml"), ("voc", "*.xml")])
def test_a_version_is_exported(printed, tmp_path, kind, file):
    written = printed("versions", "export", 0, "--format", kind, "--to", tmp_path)
    assert sum(written["images"].values()) == 22
    assert list(tmp_path.rglob(file))


def test_a_version_is_restored_as_a_new_one(printed, crosscheck, project):
    before = printed("versions", "list")
    made = printed("versions", "restore", 0, "--reason", "a test")
    after = printed("versions", "list")
    assert made == {"version": len(before), "restored": 0}
    assert [version["reason"] for version in after[len(before) :]] == ["a test"]
    assert "a test (rows of version 0)" in crosscheck("versions", "list", config=project).stdout
    assert after[-1]["counts"] == before[0]["counts"]
    printed("versions", "restore", len(before) - 1)


def test_one_image_is_restored_after_a_preview(printed, crosscheck, project):
    queued = printed("versions", "diff", 0, 1)["image_ids"]["states"]["pool->queued"][0]
    before = len(printed("versions", "list"))
    shown = crosscheck("versions", "restore", 0, "--image", queued[:12], "--preview", config=project).stdout
    assert "images states: 1 queued->pool" in shown
    assert "Nothing was changed" in shown
    assert len(printed("versions", "list")) == before
    made = printed("versions", "restore", 0, "--image", queued[:12])
    assert made == {"version": before, "restored": 0, "images": [queued]}
    changed = printed("versions", "diff", before - 1, before)["image_ids"]["states"]
    assert changed == {"queued->pool": [queued]}
    printed("versions", "restore", before - 1)


def test_models_are_listed_and_shown_and_promoted(printed, crosscheck, project):
    listed = printed("models", "list")
    champion = listed["champion"]
    assert list(listed["models"]) == [champion]
    assert f"{champion} *" in crosscheck("models", "list", config=project).stdout
    shown = json.loads(crosscheck("models", "show", champion, config=project).stdout)
    assert shown == listed["models"][champion]
    assert f"{champion} is the champion" in crosscheck("models", "promote", champion, config=project).stdout


def test_there_is_nothing_to_go_back_to_after_the_first_cycle(printed, crosscheck, project):
    champion = printed("models", "list")["champion"]
    refused = crosscheck("models", "rollback", config=project)
    assert refused.exit_code == 1
    assert f"Expected a champion before this one to go back to, found only {champion}." in refused.stderr


def test_the_champion_is_evaluated_as_it_was_in_its_cycle(printed, crosscheck, project):
    again = printed("evaluate", "--split", "val")
    model = printed("models", "list")
    assert again["map"] == model["models"][model["champion"]]["metrics"]["val"]["map"]
    assert again["interval"] == model["models"][model["champion"]]["metrics"]["val"]["interval"]
    text = crosscheck("evaluate", config=project).stdout
    assert "Average precision by class" in text
    assert "where nothing is" in text


def test_a_report_is_written_anew(printed, crosscheck, project):
    path = Path(printed("report")["page"])
    path.unlink()
    assert crosscheck("report", "--cycle", 0, config=project).stdout.splitlines()[-1] == str(path)
    assert path.is_file()


def test_importing_again_changes_nothing(printed, crosscheck, project):
    versions = printed("versions", "list")
    assert printed("import")["images"] == {}
    assert "nothing new" in crosscheck("import", config=project).stdout
    assert printed("versions", "list") == versions


def test_a_cycle_stage_by_stage_and_discarded(printed, crosscheck, project):
    answered = printed("harvest")
    assert answered["answered"] == 3
    training = printed("finetune", "--set", "training.steps=2")["training"]["run"]
    assert training["steps"] == 2
    assert training["labeled_images"] == 11
    mined = printed("mine", "--set", "training.steps=2")
    assert mined["mining"]["held_back_cost"]["proposals"] > 0
    assert mined["select"]["queued"] == 3
    pushed = printed("push")
    assert pushed["created"] == 3
    pushed = printed("push")
    assert (pushed["created"], pushed["existing"]) == (0, 3)

    assert printed("cycle", "--discard") == {"discarded": 1}
    refused = crosscheck("cycle", "--discard", config=project)
    assert refused.exit_code == 1
    assert "Expected an unfinished cycle to discard, found none" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("versions", "show", 99), "Expected a dataset version from 0 to"),
        (("versions", "diff", 0, 99), "Expected a dataset version from 0 to"),
        (("versions", "restore", 99), "Expected a dataset version from 0 to"),
        (("models", "show", "none"), "none"),
        (("models", "promote", "none"), "none"),
        (("evaluate", "--model", "none"), "none"),
        (("evaluate", "--split", "train"), "Expected split val or test, got 'train'"),
        (("report", "--cycle", 7), "7"),
        (("import", "--set", "training.step=3"), "did you mean 'steps'?"),
        (("import", "--set", "training.steps=[3]"), "training.steps"),
        (("import", "--set", "detector.backbone=efficientnet_lite"), "Expected a timm model or 'torchvision:resnet50'"),
        (("cycle", "--set", "detector.backbone=efficientnet_lite"), "near: efficientnet_lite0"),
        (("mine", "--set", "detector.backbone=resnet19"), "detector.backbone: Expected a timm model"),
        (("import", "--set", "steps"), "Expected section.key=value"),
        (("harvest", "--again"), "Expected --again together with --full, got it alone"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_refused_in_one_message(crosscheck, project, arguments, message):
    refused = crosscheck(*arguments, config=project)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert refused.stderr.lstrip().startswith("error:")
    assert message in refused.stderr


def test_brackets_in_a_message_are_shown_as_they_are(crosscheck, tmp_path):
    refused = crosscheck("import", config=tmp_path / "[bold]settings[/].yaml")
    assert refused.exit_code == 1
    assert "[bold]settings[/].yaml" in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("versions", "list"),
        ("versions", "show", "0"),
        ("models", "show", "x"),
        ("models", "rollback"),
        ("evaluate",),
        ("report",),
        ("mine",),
        ("push",),
    ],
    ids=" ".join,
)
def test_before_anything_was_imported_the_next_step_is_named(crosscheck, tiny_data, tmp_path, arguments):
    refused = crosscheck(*arguments, config=write_config(tmp_path, tiny_data))
    assert refused.exit_code == 1
    assert refused.stderr.lstrip().startswith("error: ")
    assert "Traceback" not in refused.output


def test_no_models_yet(crosscheck, tiny_data, tmp_path):
    listed = crosscheck("models", "list", "--json", config=write_config(tmp_path, tiny_data))
    assert json.loads(listed.stdout) == {"champion": None, "models": {}}


def test_an_unknown_backbone_opens_no_cycle(crosscheck, tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data)
    refused = crosscheck("cycle", "--set", "detector.backbone=resnet19", config=config)
    assert refused.exit_code == 1
    assert not (tmp_path / "workspace/cycles").exists()
    assert not (tmp_path / "workspace/samples").exists()


def test_a_model_is_adapted_to_the_pool(printed, crosscheck, project):
    models = printed("models", "list")
    done = printed("models", "adapt", "--images", 5)
    assert done["parent"] == models["champion"]
    assert done["model"] not in models["models"]
    assert done["layers"] > 5
    assert done["images"] == 5
    assert 0 <= done["map_after"] <= 1
    after = printed("models", "list")
    assert after["champion"] == models["champion"]
    assert after["models"][done["model"]]["parent_id"] == models["champion"]
    refused = crosscheck("models", "adapt", "nothing", config=project)
    assert refused.exit_code == 1
    assert "Expected model nothing" in refused.stderr


def test_a_model_is_exported_and_compared(printed, crosscheck, project, tmp_path):
    pytest.importorskip("onnxruntime")
    done = printed("models", "export", "--prune", 0.3, "--groups", 2, "--most-dropped", 1, "--out", tmp_path)
    assert [form["form"] for form in done["forms"]] == ["torch", "onnx", "onnx_int8"]
    whole, pruned, int8 = done["forms"]
    assert done["pruned_channels"] > 0
    assert done["grouped_layers"] > 0
    assert done["dense_layers"] == 0
    assert all(Path(form["file"]).stat().st_size > 1000 for form in (pruned, int8))
    assert all(form["latency_ms"] > 0 for form in done["forms"])
    assert whole["map"] is not None
    assert whole["latency_ratio"] is None
    assert all(form["latency_ratio"] > 0 for form in (pruned, int8))
    refused = crosscheck("models", "export", "nothing", "--out", tmp_path, config=project)
    assert refused.exit_code == 1
    assert "Expected model nothing" in refused.stderr


def test_a_path_of_the_default_body_is_searched_and_taken(printed, crosscheck, project, tmp_path):
    out, plan = tmp_path / "path.json", ("--steps", 2, "--population", 2, "--generations", 1, "--compare", 1)
    body = [f"detector.{each}" for each in ("backbone=tf_efficientnet_lite0", "weights=packaged", "batch_norm=frozen")]
    overrides = [part for each in body for part in ("--set", each)]
    done = printed("models", "search", *plan, "--out", out, *overrides)
    assert [each["origin"] for each in done["paths"]] == ["whole", "found", "random"]
    assert done["judged"] == 2
    assert all(0 <= each["trained_map"] <= 1 for each in done["paths"])
    assert json.loads(out.read_text()) == done["paths"][1]["path"]
    settings = load_settings(project, [*body, f"detector.path={out.read_text()}"])
    assert settings.detector.path.model_dump(mode="json") == done["paths"][1]["path"]
    assert not (Path(settings.workspace) / "search").exists()
    refused = crosscheck("models", "search", "--set", "detector.backbone=resnet18", config=project)
    assert refused.exit_code == 1
    assert "expects the default body" in refused.stderr


def test_objects_are_found_in_image_files_of_any_size(printed, crosscheck, project, tmp_path):
    large = tmp_path / "large.png"
    Image.new("RGB", (700, 500), (120, 120, 120)).save(large)
    found, in_part = (
        printed("models", "detect", large, "--tile-px", 128, "--share", share, "--set", "detector.score_floor=0.0")[0]
        for share in (1, 0.25)
    )
    assert (found["width"], found["height"]) == (700, 500)
    assert found["tiles"] == found["looked_at"] == in_part["tiles"] == 35
    assert in_part["looked_at"] == 9
    assert all(0 <= box["x1"] < box["x2"] <= 700 and box["y2"] <= 500 for box in found["boxes"])
    champion = printed("models", "list")["champion"]
    twice = printed("models", "detect", large, "--model", champion, "--model", champion)[0]
    alone = printed("models", "detect", large, "--model", champion)[0]
    assert len(twice["boxes"]) <= len(alone["boxes"])
    refused = crosscheck("models", "detect", tmp_path / "nothing.png", config=project)
    assert refused.exit_code == 1
    assert "nothing.png" in refused.stderr
