from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artefacts import FORMAT, CycleEnd, Decision, Opening
from pipeline.cycle import finish_cycle, last_cycle, load_cycle, only_one, open_cycle, unfinished_cycle
from pipeline.errors import ArtefactError, PipelineError, SettingsError
from pipeline.settings import parse_settings

NOW = datetime(2026, 5, 1, 2, 0, tzinfo=UTC)


def settings(folder: Path, seed: int = 3):
    source = {"split": "pool", "format": "images", "images": str(folder)}
    values = {
        "name": "parts",
        "seed": seed,
        "workspace": str(folder / "work"),
        "data": {"labels": ["a"], "sources": [source]},
    }
    return parse_settings(values, "test")


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


@pytest.mark.parametrize("written", [None, FORMAT + 1], ids=["first release", "later release"])
def test_a_workspace_of_another_release_is_refused_with_the_way_out(tmp_path, written):
    project = settings(tmp_path)
    cycle = open_cycle(project, NOW)
    finish_cycle(cycle, NOW)
    values = cycle.folder.read_json(Opening.FILE)
    del values["format"]
    cycle.folder.write_bytes(Opening.FILE, json.dumps(values | ({"format": written} if written else {})).encode())
    for action in (lambda: open_cycle(project, NOW), lambda: load_cycle(project.workspace, 0)):
        with pytest.raises(ArtefactError, match=f"format {FORMAT}, found format {written or 1}.*versions export"):
            action()


def test_two_runs_in_one_workspace_are_kept_apart(tmp_path):
    project = settings(tmp_path)
    with only_one(project), pytest.raises(PipelineError, match="Another run is under way"), only_one(project):
        pass
    with only_one(project):
        pass
