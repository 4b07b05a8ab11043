"""`compose.yaml` without containers: its own settings, on a PostgreSQL server of this machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
import yaml
from PIL import Image
from pydantic import SecretStr

from pipeline.folder import Folder
from pipeline.labeling.label_studio import Client, LabelStudioBackend
from pipeline.settings import DataSettings
from pipeline.settings.labeling import LabelStudioSettings
from scripts.label_studio import free_port, logged_in
from tests.builders import box, task

PROJECT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((PROJECT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
SECRETS = {
    "POSTGRES_PASSWORD": "0123456789abcdef0123456789abcdef",
    "LABEL_STUDIO_PASSWORD": "another-secret-0123456789",
    "LABEL_STUDIO_EMAIL": "lead@example.com",
}
EXECUTABLE = PROJECT / ".venv-label-studio/bin/label-studio"
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]


def filled(value: str) -> str:
    """Put the environment's values in, as compose does."""

    def one(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        assert name in SECRETS or default, f"{name} has neither a value nor a default"
        return SECRETS.get(name, default or "")

    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", one, value)


def environment(service: str, **moved: str) -> dict[str, str]:
    """The service's environment, with the places of this machine instead of the network's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    settings = {name: filled(str(value)) for name, value in SERVICES[service]["environment"].items()}
    assert moved.keys() <= settings.keys()
    return kept | settings | moved


def test_versions_are_pinned_to_those_that_are_tested():
    constraints = (PROJECT / "constraints.txt").read_text() + (PROJECT / "constraints-label-studio.txt").read_text()
    label_studio, prefect = (
        re.search(rf"^{name}==(.+)$", constraints, re.M)[1] for name in ("label-studio", "prefect")
    )
    assert SERVICES["label-studio"]["image"] == f"heartexlabs/label-studio:{label_studio}"
    assert SERVICES["prefect"]["image"] == f"prefecthq/prefect:{prefect}-python3.11"
    assert f'"{SERVICES["prefect"]["environment"]["EXTRA_PIP_PACKAGES"]}"' in (PROJECT / "pyproject.toml").read_text()
    assert re.fullmatch(r"postgres:\d+\.\d+-bookworm", SERVICES["database"]["image"])


def test_no_secret_is_written_down_every_service_is_watched_and_listens_on_this_machine_alone():
    for name, service in SERVICES.items():
        assert {"healthcheck", "restart"} <= service.keys(), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for key, value in service["environment"].items():
            if re.search(r"PASSWORD|TOKEN|KEY|CONNECTION_URL", key):
                assert ":?" in str(value), f"{name}.{key} expects its secret from the environment"


@contextmanager
def postgres(port: int) -> Iterator[None]:
    """A server with the database user and the script that compose gives the image."""
    if not POSTGRES or not shutil.which("runuser"):
        pytest.skip("no PostgreSQL here: run `apt-get install postgresql`")
    (programs,) = POSTGRES
    # PostgreSQL refuses to run as root, and pytest's own folders are root's alone.
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    with TemporaryDirectory() as made:
        folder = Path(made)
        if user:
            shutil.chown(folder, "postgres", "postgres")
        with _postgres(folder, port, programs, user):
            yield


@contextmanager
def _postgres(folder: Path, port: int, programs: Path, user: list[str]) -> Iterator[None]:
    settings = environment("database")

    def run(*command: str, text: str = "") -> None:
        done = subprocess.run([*user, *command], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    run(str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "--auth-host=scram-sha-256")
    options = f"-p {port} -k {folder} -h 127.0.0.1"
    run(str(programs / "pg_ctl"), "-D", str(folder / "data"), "-l", str(folder / "log"), "-o", options, "-w", "start")
    try:
        psql = [str(programs / "psql"), "-h", str(folder), "-p", str(port), "-v", "ON_ERROR_STOP=1", "-U"]
        name, password, database = (settings[f"POSTGRES_{key}"] for key in ("USER", "PASSWORD", "DB"))
        run(
            *psql,
            "postgres",
            text=f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{password}'; CREATE DATABASE {database};",
        )
        run(*psql, name, "-d", database, text=COMPOSE["configs"]["prefect_database"]["content"])
        yield
    finally:
        run(str(programs / "pg_ctl"), "-D", str(folder / "data"), "-m", "fast", "-w", "stop")


@contextmanager
def serving(command: list[str], variables: dict[str, str], log: Path, health: str) -> Iterator[None]:
    """Run a server until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 500
            while not _answers(health):
                assert process.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.5)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=3).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.label_studio
def test_label_studio_and_prefect_run_on_postgresql_with_these_settings(tmp_path):
    if not EXECUTABLE.is_file():
        pytest.skip("no Label Studio server here: run `make label-studio-install`")
    database, port, prefect_port = free_port(), free_port(), free_port()
    root = tmp_path / "images"
    (root / "data").mkdir(parents=True)
    Image.new("RGB", (320, 240)).save(root / "data/one.png")
    label_studio = environment(
        "label-studio",
        POSTGRE_HOST="127.0.0.1",
        POSTGRE_PORT=str(database),
        LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=str(root),
    ) | {"LABEL_STUDIO_BASE_DATA_DIR": str(tmp_path / "label-studio")}
    url = f"http://localhost:{port}"
    with postgres(database):
        start = [str(EXECUTABLE), "start", "--no-browser", "--internal-host", "localhost", "--port", str(port)]
        with serving(start, label_studio, tmp_path / "label-studio.log", f"{url}/health"):
            assert not list((tmp_path / "label-studio").glob("*.sqlite3")), "nothing beside PostgreSQL"
            with logged_in(url, SECRETS["LABEL_STUDIO_EMAIL"], SECRETS["LABEL_STUDIO_PASSWORD"]) as person:
                token = SecretStr(person.post("/api/token/").raise_for_status().json()["token"])
                settings = LabelStudioSettings(url=url, document_root=str(root))
                client = Client(url, token, settings.timeout_s)
                backend = LabelStudioBackend(
                    client, settings, DataSettings(labels=("bolt",)), 0.9, Folder(tmp_path / "labeling")
                )
                asked = task("one", box(score=0.5), uri=str(root / "data/one.png"))
                assert len(backend.push([asked]).created) == 1
                assert len(backend.push([asked]).existing) == 1
                (entry,) = person.get("/api/tasks/", params={"fields": "all", "project": 1}).json()["tasks"]
                assert person.get(entry["data"]["image"]).headers["content-type"] == "image/png"
                answer = {"result": entry["predictions"][0]["result"], "lead_time": 3.0}
                person.post(f"/api/tasks/{entry['id']}/annotations/", json=answer).raise_for_status()
                harvest = backend.harvest()
                assert [str(b.source) for b in harvest.answers[0].boxes] == ["accepted"]
                assert backend.harvest(harvest.watermark).answers == ()

        connection = environment("prefect")["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
        prefect = environment(
            "prefect",
            PREFECT_SERVER_DATABASE_CONNECTION_URL=connection.replace("database:5432", f"127.0.0.1:{database}"),
        ) | {"PREFECT_HOME": str(tmp_path / "prefect")}
        assert SERVICES["prefect"]["command"][:3] == ["prefect", "server", "start"]
        start = [str(Path(sys.executable).with_name("prefect")), "server", "start", "--host", "127.0.0.1"]
        api = f"http://127.0.0.1:{prefect_port}/api"
        with serving([*start, "--port", str(prefect_port)], prefect, tmp_path / "prefect.log", f"{api}/health"):
            made = httpx.post(f"{api}/work_pools/", json={"name": "local", "type": "process"}, timeout=60)
            assert made.status_code == 201
            assert not list((tmp_path / "prefect").glob("*.db")), "nothing beside PostgreSQL"
    for log in ("label-studio.log", "prefect.log"):
        text = (tmp_path / log).read_text()
        assert not [name for name, secret in SECRETS.items() if "PASSWORD" in name and secret in text]
