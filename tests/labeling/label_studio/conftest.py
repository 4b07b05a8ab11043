"""A real Label Studio server for the tests that ask for one, and people who answer as its page does."""

from __future__ import annotations

import itertools
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from pipeline.folder import Folder
from pipeline.labeling.label_studio import Client, LabelStudioBackend
from pipeline.settings import DataSettings
from pipeline.settings.labeling import LabelStudioSettings
from scripts.label_studio import Server, free_port, logged_in, running
from tests.builders import task
from tests.end_to_end.project import labeled_sources, pool_source, write_config
from tests.s3_server import s3_server

EXECUTABLE = Path(__file__).parents[3] / ".venv-label-studio/bin/label-studio"
LABELS = ("bolt", "nut")
COLLEAGUE = ("ann@example.com", "long-enough-for-ann")


@dataclass
class Person:
    """Somebody who is logged in."""

    email: str
    session: httpx.Client

    def next_task(self, project: int) -> dict:
        reply = self.session.get(f"/api/projects/{project}/next")
        return reply.raise_for_status().json()

    def submit(self, number: int, *regions: dict, **fields) -> dict:
        body = {"result": list(regions), "lead_time": 7.5, **fields}
        return self.session.post(f"/api/tasks/{number}/annotations/", json=body).raise_for_status().json()

    def skip(self, number: int) -> dict:
        return self.submit(number, was_cancelled=True)

    def change(self, annotation: int, *regions: dict) -> dict:
        reply = self.session.patch(f"/api/annotations/{annotation}/", json={"result": list(regions)})
        return reply.raise_for_status().json()


class Desk:
    """One project on the server: pushes to it, looks into it, answers in it."""

    def __init__(self, server: Server, images: Path, root: Path, title: str, folder: Path) -> None:
        self.server = server
        self.images = images
        self.root = root
        self.title = title
        self.folder = folder

    def settings(self, **fields) -> LabelStudioSettings:
        return LabelStudioSettings(
            **{"url": self.server.url, "project": self.title, "document_root": str(self.root), **fields}
        )

    def backend(
        self, labels=LABELS, descriptions=None, token=None, transport=None, folder="one", **fields
    ) -> LabelStudioBackend:
        settings = self.settings(**fields)
        return LabelStudioBackend(
            Client(settings.url, SecretStr(token or self.server.api_key), settings.timeout_s, transport),
            settings,
            DataSettings(labels=labels, descriptions=descriptions or {}),
            0.9,
            Folder(self.folder / folder),
        )

    def task(self, name: str, *boxes, **fields):
        file = self.images / f"{name}.png"
        if not file.exists():
            Image.new("RGB", (320, 240), (40, 90, 60)).save(file)
        return task(name, *boxes, **{"uri": str(file), **fields})

    def project(self, person: Person) -> dict:
        projects = person.session.get("/api/projects/", params={"title": self.title}).json()["results"]
        (found,) = [project for project in projects if project["title"] == self.title]
        return found

    def tasks(self, person: Person) -> dict[str, dict]:
        query = {"project": self.project(person)["id"], "fields": "all", "page_size": 500}
        found = person.session.get("/api/tasks/", params=query).raise_for_status().json()["tasks"]
        by_image = {entry["data"].get("image_id", entry["id"]): entry for entry in found}
        assert len(by_image) == len(found), "an image has two tasks"
        return by_image


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="session")
def bucket_keys():
    """Credentials of the server's environment: it alone reads the buckets."""
    return {"AWS_ACCESS_KEY_ID": "server-key-0123456789", "AWS_SECRET_ACCESS_KEY": "server-secret-0123456789"}


@pytest.fixture(scope="session")
def s3():
    """A local S3 service; the images of a test lie in a bucket of their own."""
    with s3_server("localhost") as url:
        yield url


@pytest.fixture(scope="session")
def server(tmp_path_factory, root, s3, bucket_keys):
    if not EXECUTABLE.is_file():
        pytest.skip("no Label Studio server here: run `make label-studio-install`")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**bucket_keys, "S3_ENDPOINT": s3}.items():
            patch.setenv(name, value)
        stack = ExitStack()
        started = stack.enter_context(running(EXECUTABLE, tmp_path_factory.mktemp("server"), root, free_port()))
    with stack:
        yield started


@pytest.fixture(scope="session")
def people(server):
    """The owner of the project, and a colleague whom the owner invited."""
    with ExitStack() as stack:
        owner = stack.enter_context(logged_in(server.url, server.email, server.password))
        link = owner.get("/api/invite").raise_for_status().json()["invite_url"]
        email, password = COLLEAGUE
        with httpx.Client(base_url=server.url, headers={"Referer": server.url}) as guest:
            guest.get(link)
            form = {"email": email, "password": password, "csrfmiddlewaretoken": guest.cookies["csrftoken"]}
            assert guest.post(link, data=form).status_code == httpx.codes.FOUND
        colleague = stack.enter_context(logged_in(server.url, email, password))
        yield Person(server.email, owner), Person(email, colleague)


@pytest.fixture
def desk(server, root, tmp_path, request) -> Desk:
    images = root / request.node.name
    images.mkdir(parents=True, exist_ok=True)
    return Desk(server, images, root, f"{next(_numbers)} {request.node.name}"[:50].strip(), tmp_path)


@pytest.fixture
def config(desk, tiny_data, tmp_path):
    """Settings of a whole project that asks people at the desk about 4 images a cycle."""
    shutil.copytree(tiny_data / "pool", desk.images / "pool")
    return write_config(
        tmp_path / "project",
        tiny_data,
        data={"sources": [*labeled_sources(tiny_data), pool_source(desk.images)]},
        selection={"audit_share": 0.0, "query": {"images": 4}},
        labeling={"backend": "label_studio", "label_studio": desk.settings().model_dump(mode="json")},
    )


_numbers = itertools.count(100)
