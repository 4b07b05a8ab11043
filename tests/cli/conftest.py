"""The command line as people and programs meet it, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from pipeline.cli.app import app
from tests.end_to_end.project import run_cycles, write_config

Command = Callable[..., Result]


@pytest.fixture(scope="package")
def project(tiny_data, tmp_path_factory) -> Path:
    """Settings of a project after one cycle; what tests do to it is found by the tests after them."""
    config = write_config(tmp_path_factory.mktemp("cli"), tiny_data)
    run_cycles(config)
    return config


@pytest.fixture(scope="package")
def crosscheck() -> Command:
    def run(*arguments: object, config: Path | None = None) -> Result:
        where = ["--config", str(config)] if config else []
        return CliRunner().invoke(app, [*map(str, arguments), *where], env={"COLUMNS": "200", "TERM": "dumb"})

    return run


@pytest.fixture(scope="package")
def printed(crosscheck, project) -> Callable[..., Any]:
    """What a command of the project prints for programs."""

    def run(*arguments: object) -> Any:
        result = crosscheck(*arguments, "--json", config=project)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run
