"""A whole cycle through a Prefect server whose database is PostgreSQL, set up as compose.yaml has it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from scripts.label_studio import free_port
from tests.end_to_end.project import write_config
from tests.flows.conftest import server_in
from tests.flows.test_deployments import deploy, run
from tests.test_compose import environment, postgres

URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_cycle_by_its_deployment(tiny_data, tmp_path):
    home, database = tmp_path / "prefect", free_port()
    home.mkdir()
    server = server_in(home)
    at = environment("prefect")[URL].replace("database:5432", f"127.0.0.1:{database}")
    server = replace(server, environment={**server.environment, URL: at})
    config = write_config(tmp_path, tiny_data)
    with postgres(database), server.serving():
        deploy(server)
        with server.background("worker", "worker", "start", "--pool", "local"):
            assert run(server, "cycle/nightly", config)["state"]["type"] == "COMPLETED"
    assert Workspace(load_settings(config).workspace).cycle(0).exists("done.json")
    assert not list(home.glob("*.db")), "nothing beside PostgreSQL"
