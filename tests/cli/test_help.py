"""Help is there for every command, is quick, and teaches."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from pipeline.cli.app import app

ROOT = typer.main.get_command(app)
COMMANDS = (
    "bench",
    "cycle",
    "demo",
    "deploy",
    "doctor",
    "evaluate",
    "finetune",
    "harvest",
    "import",
    "listen",
    "mine",
    "models",
    "push",
    "relocate",
    "report",
    "review",
    "status",
    "versions",
)


def walk(command, path=()):
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*path, name))


ALL = dict(walk(ROOT))


def test_the_commands():
    assert tuple(sorted(ROOT.commands)) == COMMANDS
    versions = ["blame", "diff", "export", "list", "merge", "restore", "show", "tag", "vacuum", "verify"]
    assert sorted(ALL["versions",].commands) == versions
    assert sorted(ALL["bench",].commands) == [
        "ablation",
        "asking",
        "calibration",
        "engines",
        "evidence",
        "frames",
        "labeling",
        "labels",
        "mining",
        "misses",
        "shifted",
        "speed",
        "stacking",
        "strategies",
        "tiles",
        "training",
    ]
    assert sorted(ALL["models",].commands) == [
        "adapt",
        "detect",
        "export",
        "list",
        "promote",
        "rollback",
        "search",
        "show",
    ]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_and_option_is_explained(path, crosscheck):
    assert len(ALL[path].help) > 30
    assert crosscheck(*path, "--help").exit_code == 0
    unexplained = [one.name for one in ALL[path].params if one.param_type_name == "option" and not one.help]
    assert unexplained == []


def test_the_way_to_begin(crosscheck):
    text = crosscheck("--help").stdout
    assert "crosscheck demo" in text
    assert "crosscheck import" in text


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import pipeline.cli.app", {"torch", "prefect", "deltalake", "pandas"}),
        ("import pipeline.loop", {"torch", "prefect", "scipy", "matplotlib", "label_studio_sdk", "boto3"}),
        ("import flows.cycle, flows.harvest, flows.push, flows.stages", {"torch", "matplotlib", "label_studio_sdk"}),
        ("import pipeline.detector.models.registry", {"torch"}),
    ],
)
def test_heavy_libraries_are_imported_where_they_are_needed(code, heavy):
    program = f"import sys; {code}; print(*({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_versions_are_listed_without_torch(project):
    program = (
        "import sys; from pipeline.cli import main\n"
        f"sys.argv = ['crosscheck', 'versions', 'list', '--config', {str(project)!r}]\n"
        "try: main()\nexcept SystemExit: print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "import of 34 images" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "False"
