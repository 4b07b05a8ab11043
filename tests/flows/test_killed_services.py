"""kill -9 of a service that scheduled cycles need, at random moments: they end by themselves, and nothing differs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import psutil
import pytest

from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from scripts.label_studio import EMAIL, Server, free_port, logged_in, running
from tests.end_to_end.project import labeled_sources, pool_source, selected, versions, write_config
from tests.flows.conftest import Prefect, server_in
from tests.flows.test_deployments import deploy, start, wait_for
from tests.flows.test_outages import SILENCE, act_after, recover_every_minute
from tests.labeling.label_studio.conftest import EXECUTABLE, Desk, Person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200), pytest.mark.label_studio]
KILLS = 20
CYCLES = 2
REGION = {
    "id": "drawn", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
    "value": {"x": 12.5, "y": 25.0, "width": 50.0, "height": 25.0, "rotation": 0, "rectanglelabels": ["blue"]},
    "original_width": 128, "original_height": 96, "image_rotation": 0,
}  # fmt: skip


@dataclass
class Service:
    """Something that serves until it is killed; `serve` gives the number of its process, and can be called again."""

    serve: Callable[[], AbstractContextManager[int]]

    def start(self) -> None:
        self._stack = ExitStack()
        self._process = self._stack.enter_context(self.serve())

    def kill(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        self._stack.close()

    def stop(self) -> None:
        self._stack.close()


@dataclass
class Site:
    """All that a project with people needs to run every night."""

    prefect: Prefect
    studio: Server
    services: dict[str, Service]
    images: Path
    data: Path

    def project(self, folder: Path) -> tuple[Path, Desk]:
        """A new project of the same images, and where people answer for it."""
        desk = Desk(self.studio, self.images, self.images.parent, folder.name, folder)
        config = write_config(
            folder,
            self.data,
            data={"sources": [*labeled_sources(self.data), pool_source(self.images)]},
            selection={"audit_share": 0.0, "query": {"images": 4}},
            labeling={"backend": "label_studio", "label_studio": desk.settings().model_dump(mode="json")},
        )
        return config, desk

    def ended(self, run: str) -> bool:
        state = self.prefect.get(f"/flow_runs/{run}")["state"]
        assert state["type"] not in {"FAILED", "CANCELLED"}, state["message"]
        return state["type"] == "COMPLETED"


@pytest.fixture(scope="module")
def site(tmp_path_factory, tiny_data) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    images = home / "root" / "images"
    shutil.copytree(tiny_data / "pool", images / "pool")
    port = free_port()

    @contextmanager
    def label_studio() -> Iterator[int]:
        with running(EXECUTABLE, home / "label-studio", images.parent, port):
            yield listening(port)

    studio = Service(label_studio)
    studio.start()
    password, key = ((home / "label-studio" / name).read_text().strip() for name in ("password", "api_key"))
    server = Server(f"http://localhost:{port}", EMAIL, home / "label-studio", password, key)
    prefect = server_in(home / "prefect")
    prefect.logs.mkdir()
    prefect = replace(prefect, environment={**prefect.environment, "LABEL_STUDIO_API_KEY": key})

    @contextmanager
    def prefect_server() -> Iterator[int]:
        with prefect.serving() as process:
            yield process.pid

    @contextmanager
    def worker() -> Iterator[int]:
        with prefect.background("worker", "worker", "start", "--pool", "local") as process:
            yield process.pid

    services = {"Label Studio": studio, "Prefect server": Service(prefect_server), "worker": Service(worker)}
    services["Prefect server"].start()
    deploy(prefect)
    act_after(SILENCE, prefect)
    recover_every_minute(prefect)
    services["worker"].start()
    yield Site(prefect, server, services, images, tiny_data)
    for service in reversed(services.values()):
        service.stop()


def listening(port: int) -> int:
    """The process that serves a port of this machine."""
    ports = {each.pid: each.laddr.port for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    (found,) = (process for process, served in ports.items() if served == port)
    return found


def answer(desk: Desk) -> None:
    """Draw a box in every image that was asked about, in an order that does not depend on the server."""
    with logged_in(desk.server.url, desk.server.email, desk.server.password) as session:
        person = Person(desk.server.email, session)
        for _, entry in sorted(desk.tasks(person).items()):
            if not entry["is_labeled"]:
                person.submit(entry["id"], REGION)


@pytest.fixture(scope="module")
def undisturbed(site, tmp_path_factory):
    """The settings of a project of two cycles, and how many seconds one took."""
    config, desk = site.project(tmp_path_factory.mktemp("undisturbed"))
    began = time.monotonic()
    for _ in range(CYCLES):
        run = start(site.prefect, "cycle/nightly", config)
        wait_for(lambda run=run: site.ended(run), site.prefect)
        answer(desk)
    return load_settings(config), (time.monotonic() - began) / CYCLES


@pytest.mark.parametrize("victim", ["Label Studio", "Prefect server", "worker"])
def test_cycles_whose_services_are_killed_make_the_same_versions(site, undisturbed, victim, tmp_path):
    whole, length_s = undisturbed
    chance, deaths, service = random.Random(f"22 {victim}"), 0, site.services[victim]
    for number in count():
        config, desk = site.project(tmp_path / f"{victim} {number}")
        for _ in range(CYCLES):
            run = start(site.prefect, "cycle/nightly", config)
            while deaths < KILLS:
                time.sleep(chance.uniform(0, 0.5) * length_s)
                if site.ended(run):
                    break
                service.kill()
                time.sleep(chance.uniform(0, 5))
                service.start()
                deaths += 1
            wait_for(lambda run=run: site.ended(run), site.prefect)
            answer(desk)
        assert_equal(load_settings(config), whole)
        if deaths == KILLS:
            break


def assert_equal(killed, whole):
    assert without_numbers(killed) == without_numbers(whole)
    for cycle in range(CYCLES):
        assert selected(killed, cycle) == selected(whole, cycle)
    champions = [Workspace(each.workspace).models.read_json("champion.json") for each in (killed, whole)]
    assert champions[0] == champions[1]


def without_numbers(settings):
    """Every version, without what follows from the numbers of answers: Label Studio counts those of all projects."""
    return [(reason, [{**row, "boxes": [unnumbered(box) for box in row["boxes"]]} for row in rows])
            for reason, rows in versions(settings)]  # fmt: skip


def unnumbered(box):
    return {**box, "annotation_id": None, "box_id": None} if box["annotation_id"] else box
