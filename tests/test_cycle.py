from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from pipeline.artefacts import FORMAT, CycleEnd, Decision, Opening, WorkspaceFormat
from pipeline.cycle import (
    cycle_of_run,
    finish_cycle,
    last_cycle,
    load_cycle,
    only_one,
    open_cycle,
    require_known_format,
    unfinished_cycle,
)
from pipeline.errors import ArtefactError, PipelineError, SettingsError
from pipeline.folder import Folder
from pipeline.settings import ANYTIME, lasting_digest, parse_settings
from pipeline.workspace import Workspace

NOW = datetime(2026, 5, 1, 2, 0, tzinfo=UTC)


def settings(folder: Path, seed: int = 3, **sections):
    source = {"split": "pool", "format": "images", "images": str(folder)}
    values = {
        "name": "parts",
        "seed": seed,
        "workspace": str(folder / "work"),
        "data": {"labels": ["a"], "sources": [source]},
    }
    return parse_settings(values | sections, "test")


def test_cycles_are_numbered_and_an_unfinished_one_goes_on(tmp_path):
    project = settings(tmp_path)
    assert last_cycle(project) is None
    first = open_cycle(project, NOW)
    assert (first.number, first.before()) == (0, None)
    assert open_cycle(project, NOW.replace(hour=5)).opened_at == NOW
    assert unfinished_cycle(project) == 0
    finish_cycle(first, NOW)
    assert unfinished_cycle(project) is None
    second = open_cycle(project, NOW.replace(hour=5))
    assert (second.number, second.before().number) == (1, 0)
    assert [cycle.number for cycle in second.up_to_here()] == [0, 1]
    assert last_cycle(project).number == 1


def test_a_run_that_is_started_twice_opens_one_cycle(tmp_path):
    project = settings(tmp_path)
    first = cycle_of_run(project, "night-1", NOW)
    assert cycle_of_run(project, "night-1", NOW).number == 0, "it was killed and goes on"
    finish_cycle(first, NOW)
    again = cycle_of_run(project, "night-1", NOW)
    assert (again.number, again.has(CycleEnd)) == (0, True), "it was reported as killed once more"
    assert cycle_of_run(project, "night-2", NOW).number == 1
    assert cycle_of_run(project, "night-1", NOW).number == 0


def test_a_run_whose_cycle_was_dropped_or_that_another_finished(tmp_path):
    project = settings(tmp_path)
    cycle_of_run(project, "night-1", NOW)
    Workspace(project.workspace).folder("cycles").remove("0000")
    opened_anew = cycle_of_run(project, "night-2", NOW)
    assert cycle_of_run(project, "night-1", NOW).number == 0
    finish_cycle(opened_anew, NOW)
    assert cycle_of_run(project, "night-1", NOW).has(CycleEnd)
    assert Workspace(project.workspace).cycles() == [0]


def test_a_finished_cycle_keeps_the_moment_it_ended(tmp_path):
    cycle = open_cycle(settings(tmp_path), NOW)
    finish_cycle(cycle, NOW)
    finish_cycle(cycle, NOW.replace(hour=9))
    assert cycle.read(CycleEnd).finished_at == NOW


def test_other_settings_are_refused_until_the_cycle_is_finished(tmp_path):
    cycle = open_cycle(settings(tmp_path), NOW)
    with pytest.raises(SettingsError, match="Cycle 0 is not finished and was opened with other settings"):
        open_cycle(settings(tmp_path, seed=4), NOW)
    finish_cycle(cycle, NOW)
    assert open_cycle(settings(tmp_path, seed=4), NOW).number == 1


def test_a_stage_runs_once(tmp_path):
    cycle, calls = open_cycle(settings(tmp_path), NOW), []

    def run() -> Decision:
        calls.append(1)
        return Decision(waiting=7)

    assert [cycle.once(Decision, run).waiting for _ in range(3)] == [7, 7, 7]
    assert len(calls) == 1
    assert cycle.read(Decision).seconds >= 0


def test_a_stage_that_fails_leaves_nothing_and_runs_again(tmp_path):
    cycle = open_cycle(settings(tmp_path), NOW)

    def fail() -> Decision:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        cycle.once(Decision, fail)
    assert cycle.find(Decision) is None
    assert cycle.once(Decision, lambda: Decision(waiting=1)).waiting == 1


def test_what_is_missing_names_the_command_that_makes_it(tmp_path):
    cycle = open_cycle(settings(tmp_path), NOW)
    with pytest.raises(ArtefactError, match=r"Expected decision\.json in cycle 0, found none\. `crosscheck mine`"):
        cycle.read(Decision)


def rewrite(folder: Folder, name: str, **changes: object) -> None:
    """Change some keys of a JSON file; None removes one."""
    values = {**folder.read_json(name), **changes}
    folder.write_json(name, {key: value for key, value in values.items() if value is not None})


def test_a_workspace_of_an_older_release_is_refused_with_the_way_out(tmp_path):
    project = settings(tmp_path)
    cycle = open_cycle(project, NOW)
    finish_cycle(cycle, NOW)
    rewrite(cycle.folder, Opening.FILE, format=None, release=None)
    for action in (lambda: open_cycle(project, NOW), lambda: load_cycle(project.workspace, 0)):
        with pytest.raises(ArtefactError, match=f"format {FORMAT}, found format 1.*versions export"):
            action()


def test_a_workspace_of_a_newer_release_is_refused_before_anything_runs(tmp_path):
    project = settings(tmp_path)
    cycle = open_cycle(project, NOW)
    finish_cycle(cycle, NOW)
    newer = {"format": FORMAT + 1, "release": "9.0.0"}
    rewrite(cycle.folder, Opening.FILE, **newer, surprise=1)
    rewrite(cycle.workspace, WorkspaceFormat.FILE, **newer, surprise=1)
    for action in (
        lambda: open_cycle(project, NOW),
        lambda: load_cycle(project.workspace, 0),
        lambda: only_one(project).__enter__(),
        lambda: require_known_format(cycle.workspace),
    ):
        with pytest.raises(
            ArtefactError, match=rf"found format {FORMAT + 1}, written by a newer release .*9\.0\.0.*Upg"
        ):
            action()


def test_settings_that_a_cycle_was_opened_with_have_the_names_of_today(tmp_path):
    cycle = open_cycle(settings(tmp_path), NOW)
    text = cycle.folder.read_bytes("settings.yaml").decode()
    assert "burn_in_steps" in text
    cycle.folder.write_bytes("settings.yaml", text.replace("burn_in_steps", "burn_in").encode())
    rewrite(cycle.folder, Opening.FILE, hashed_settings=None)
    assert load_cycle(cycle.settings.workspace, 0).settings == cycle.settings


def test_the_runner_that_mining_once_had_is_the_runner_of_all(tmp_path):
    wanted = settings(tmp_path, runner={"kind": "dask", "workers": 3, "dask_scheduler": "tcp://host:8786"})
    cycle = open_cycle(wanted, NOW)
    values = yaml.safe_load(cycle.folder.read_bytes("settings.yaml"))
    runner = values.pop("runner")
    values["mining"] |= {"runner": runner["kind"], **{key: runner[key] for key in ("workers", "dask_scheduler")}}
    cycle.folder.write_bytes("settings.yaml", yaml.safe_dump(values).encode())
    rewrite(cycle.folder, Opening.FILE, hashed_settings=None)
    assert load_cycle(wanted.workspace, 0).settings == wanted
    assert wanted.digest() == settings(tmp_path).digest()


def test_settings_of_a_cycle_that_were_cut_are_not_read_as_defaults(tmp_path):
    cycle = open_cycle(settings(tmp_path, report={"image_px": 100}), NOW)
    lines = cycle.folder.read_bytes("settings.yaml").decode().splitlines(keepends=True)
    for kept in range(len(lines)):
        cycle.folder.write_bytes("settings.yaml", "".join(lines[:kept]).encode())
        with pytest.raises(ArtefactError, match=r"settings\.yaml: expected settings of this release"):
            load_cycle(cycle.settings.workspace, 0)


@pytest.mark.parametrize("text", ["name: parts\nnew_key: 1", "just text", "{unclosed", "[" * 5000, ""])
def test_settings_of_a_cycle_that_cannot_be_read_name_who_wrote_them(tmp_path, text):
    cycle = open_cycle(settings(tmp_path), NOW)
    rewrite(cycle.folder, Opening.FILE, release="0.9.0")
    cycle.folder.write_bytes("settings.yaml", text.encode())
    with pytest.raises(
        ArtefactError, match=r"settings\.yaml: expected settings of this release.*found those of 0\.9\.0"
    ):
        load_cycle(cycle.settings.workspace, 0)


def test_what_decides_only_where_and_how_fast_may_change_in_an_unfinished_cycle(tmp_path):
    project = settings(tmp_path)
    open_cycle(project, NOW)
    edited = settings(tmp_path, mining={"batch_size": 1}, report={"image_px": 100}, training={"workers": 2})
    assert open_cycle(edited, NOW).settings == edited
    assert load_cycle(project.workspace, 0).settings == edited
    assert lasting_digest(edited) == lasting_digest(project)


def test_a_scheduled_run_finishes_a_cycle_as_it_was_opened_and_says_so(tmp_path, caplog):
    project = settings(tmp_path)
    open_cycle(project, NOW)
    edited = settings(tmp_path, seed=4, mining={"batch_size": 1, "hosts": 9})
    with pytest.raises(
        SettingsError, match=r"other settings: seed, mining\.hosts\. .*may change at any time: .*batch_size"
    ):
        open_cycle(edited, NOW)
    cycle = open_cycle(edited, NOW, unattended=True)
    assert cycle.number == 0
    assert cycle.settings == settings(tmp_path, mining={"batch_size": 1})
    assert "counts from the next cycle: seed, mining.hosts. To have it now" in caplog.text
    finish_cycle(cycle, NOW)
    assert open_cycle(edited, NOW, unattended=True).settings == edited


def test_every_setting_that_may_change_at_any_time_is_one(tmp_path):
    known = settings(tmp_path, labeling={"backend": "label_studio", "label_studio": {"document_root": str(tmp_path)}})
    values = known.model_dump()
    for name in ANYTIME:
        found = values
        for part in name.split("."):
            assert part in found, name
            found = found[part]


def test_two_runs_in_one_workspace_are_kept_apart(tmp_path):
    project = settings(tmp_path)
    with only_one(project), pytest.raises(PipelineError, match="Another run is under way"), only_one(project):
        pass
    with only_one(project):
        pass
