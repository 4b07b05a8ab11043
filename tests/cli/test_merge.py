"""`crosscheck versions merge` as people and programs meet it."""

from __future__ import annotations

import json


def changed_export(crosscheck, project, folder):
    """An export of the project in which a box of one image of train lies elsewhere, and a class has another name."""
    result = crosscheck("versions", "export", "latest", "--to", folder, "--copy", "--split", "train", config=project)
    assert result.exit_code == 0, result.output
    file = folder / "train.json"
    content = json.loads(file.read_text())
    box = content["annotations"][0]
    box["bbox"] = [0, 0, 9, 9]
    name = content["categories"][0]["name"]
    content["categories"][0]["name"] = "renamed"
    file.write_text(json.dumps(content))
    (image,) = (image["file_name"] for image in content["images"] if image["id"] == box["image_id"])
    return name, image


def test_a_source_is_shown_merged_and_sent_to_review(printed, crosscheck, project, tmp_path):
    name, image = changed_export(crosscheck, project, tmp_path / "other")
    other = str(tmp_path / "other")
    refused = crosscheck("versions", "merge", other, config=project)
    assert refused.exit_code == 1
    assert "the source also has 'renamed'" in refused.output
    before = printed("versions", "list")[-1]["number"]
    shown = printed("versions", "merge", other, "--map", f"renamed={name}")
    assert (shown["version"], shown["applied"]) == (None, False)
    assert [row["outcome"] for row in shown["named"]] == ["to review"]
    assert shown["named"][0]["file"].endswith(image)
    text = crosscheck("versions", "merge", other, "--map", f"renamed={name}", config=project).stdout
    assert "Would merge" in text
    assert "--apply commits it as one version." in text
    assert printed("versions", "list")[-1]["number"] == before
    made = printed("versions", "merge", other, "--map", f"renamed={name}", "--apply")
    assert made["version"] == before + 1
    assert printed("versions", "merge", other, "--map", f"renamed={name}", "--apply")["version"] is None
    listed = printed("review", "list", "--images", 50)["first"]
    (disputed,) = [row for row in listed if "has other labels" in row["reason"]]
    assert disputed["image_id"] == shown["named"][0]["image_id"]


def test_what_makes_no_sense_is_refused(crosscheck, project, printed):
    workspace = printed("versions", "show", "latest") and project.parent / "workspace"
    for arguments, told in (
        ([str(workspace)], "Expected another source than this workspace"),
        (["/nowhere"], "Expected a workspace, a COCO file or an export"),
        (["/nowhere", "--map", "car"], "expected a class there and its name here"),
    ):
        result = crosscheck("versions", "merge", *arguments, config=project)
        assert result.exit_code == 1, arguments
        assert told in " ".join(result.output.split())
