"""The command line as people and programs meet it, in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from pipeline.cli.app import app
from tests.end_to_end.project import run_cycles, write_config

Command = Callable[..., Result]


@pytest.fixture(scope="package")
def after_one_cycle(tiny_data, tmp_path_factory) -> Path:
    """Settings of a project after one cycle, which no test works in."""
    config = write_config(tmp_path_factory.mktemp("untouched"), tiny_data)
    run_cycles(config)
    return config


def copy_of(config: Path, folder: Path) -> Path:
    """A project as another one, on the same images."""
    values = yaml.safe_load(config.read_text())
    shutil.copytree(values["workspace"], folder / "workspace")
    copied = folder / config.name
    copied.write_text(yaml.safe_dump({**values, "workspace": str(folder / "workspace")}))
    return copied


@pytest.fixture(scope="package")
def project(after_one_cycle, tmp_path_factory) -> Path:
    """Settings of a project after one cycle; what tests do to it is found by the tests after them."""
    return copy_of(after_one_cycle, tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="package")
def crosscheck() -> Command:
    def run(*arguments: object, config: Path | None = None) -> Result:
        where = ["--config", str(config)] if config else []
        return CliRunner().invoke(app, [*map(str, arguments), *where], env={"COLUMNS": "200", "TERM": "dumb"})

    return run


@pytest.fixture(scope="module")
def printed(crosscheck, project) -> Callable[..., Any]:
    """What a command of the project prints for programs."""

    def run(*arguments: object) -> Any:
        result = crosscheck(*arguments, "--json", config=project)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run
