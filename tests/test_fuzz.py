"""Files that anybody may hand over, damaged at random: they are read, or refused in words, and nothing else happens.

`CROSSCHECK_FUZZ=20000 pytest tests/test_fuzz.py` looks further than CI does.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from flows.listen import HEADER, PATH, receiver
from pipeline import artefacts
from pipeline.dataset.formats import read_entries
from pipeline.errors import ArtefactError, DataError, SettingsError
from pipeline.folder import Folder
from pipeline.settings import Settings, load_settings

FURTHER = int(os.environ.get("CROSSCHECK_FUZZ", "0"))
QUIET = settings(
    max_examples=FURTHER or 60, derandomize=not FURTHER, deadline=None, suppress_health_check=list(HealthCheck)
)
PROJECT = Path(__file__).parents[1]

COCO = b"""{"images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
"categories": [{"id": 3, "name": "bolt"}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1.5, 2, 10, 12], "area": 120, "iscrowd": 0}]}"""
YOLO = b"0 0.5 0.5 0.25 0.25\n1 0.1 0.2 0.1 0.1\n"
NAMES = b"names: [bolt, nut]\n"
VOC = b"""<annotation><filename>a.png</filename><size><width>64</width><height>48</height><depth>3</depth></size>
<object><name>bolt</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>
</object></annotation>"""
RECORDS = {
    artefacts.Opening: b'{"cycle": 0, "opened_at": "2026-05-01T02:00Z", "settings_digest": "", "seed": 1, "name": ""}',
    artefacts.WorkspaceFormat: b'{"format": 3, "release": "0.1.0"}',
    artefacts.SelectionRun: b'{"seconds": 1.5, "version": 3, "pseudo_by_class": {"bolt": 2}, "pasted": {}}',
    artefacts.Standings: b'{"classes": {"bolt": {"since": 1, "boxes": 9, "right": 8, "withdrawn_in": null}}}',
}

EDIT = st.tuples(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 3))
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """A file with some bytes replaced, inserted or taken out, perhaps cut, or anything at all."""

    def edited(edits: list[tuple[int, bytes, int]], end: int | None) -> bytes:
        data = whole
        for at, new, old in edits:
            at %= len(data) + 1
            data = data[:at] + new + data[at + old :]
        return data[:end]

    ends = st.none() | st.integers(0, len(whole))
    return st.builds(edited, st.lists(EDIT, max_size=4), ends) | st.binary(max_size=60)


def read(name: str, files: dict[str, bytes]) -> None:
    """Read a set of one image to its end."""
    with tempfile.TemporaryDirectory() as folder:
        for path, data in {"images/a.png": b"", **files}.items():
            (Path(folder) / path).parent.mkdir(exist_ok=True)
            (Path(folder) / path).write_bytes(data)
        place = f"{folder}/labels.json" if name == "coco" else f"{folder}/labels"
        with suppress(DataError):
            list(read_entries(name, place, f"{folder}/images"))


@QUIET
@given(damaged(COCO))
def test_coco(data):
    read("coco", {"labels.json": data})


@QUIET
@given(damaged(YOLO), damaged(NAMES))
def test_yolo(labels, names):
    read("yolo", {"labels/a.txt": labels, "labels/data.yaml": names})


@QUIET
@given(damaged(VOC))
def test_voc(data):
    read("voc", {"labels/a.xml": data})


@pytest.mark.parametrize("name", ["demo", "production"])
@QUIET
@given(data=st.data())
def test_settings_as_text(name, data):
    refused_or_settings(data.draw(damaged((PROJECT / f"configs/{name}.yaml").read_bytes())))


NESTED = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=5)


@QUIET
@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "x"]), NESTED))
def test_settings_of_any_shape(values):
    refused_or_settings(yaml.safe_dump(values).encode())


def refused_or_settings(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.yaml"
        file.write_bytes(data)
        with suppress(SettingsError):
            assert isinstance(load_settings(file), Settings)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@QUIET
@given(data=st.data())
def test_artefacts(kind, data):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file.json").write_bytes(data.draw(damaged(RECORDS[kind])))
        with suppress(ArtefactError):
            assert isinstance(Folder(folder).read_record("file.json", kind), kind)


SECRET = b"a-shared-secret-of-the-test-0123456789"
NAMES_OF_HEADERS = st.sampled_from([HEADER.encode().lower(), b"content-type", b"content-length", b"host", b"x"])
VALUES_OF_HEADERS = st.binary(max_size=50) | st.sampled_from([SECRET, b"application/json", b"-1"]) | damaged(SECRET)


@QUIET
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "x"]),
    st.sampled_from([PATH, "/health", ""]) | st.text(max_size=20),
    st.lists(st.tuples(NAMES_OF_HEADERS, VALUES_OF_HEADERS), max_size=4),
    st.binary(max_size=200) | damaged(b'{"action": "ANNOTATION_CREATED", "project": {"id": 1}, "task": {"id": 2}}'),
)
def test_requests_to_the_webhook(method, path, headers, body):
    """Whoever does not bring the secret is refused; whatever is sent, the service does not fail."""
    status = asyncio.run(answer({"method": method, "path": path, "headers": headers}, body))
    assert status < 500
    assert status != 202 or (HEADER.encode().lower(), SECRET) in headers


WEBHOOK = receiver(SecretStr(SECRET.decode()), 0.0, lambda: None)
DESCRIBED = schemathesis.openapi.from_dict(WEBHOOK.openapi())
DESCRIBED.app = WEBHOOK


@DESCRIBED.parametrize()
@QUIET
def test_the_webhook_answers_as_it_describes_itself(case):
    """Statuses, types and headers of every answer are those of its description, and no other method is served."""
    case.call_and_validate(headers={HEADER: SECRET.decode()})
    case.call_and_validate()


async def answer(request: dict[str, object], body: bytes) -> int:
    """Of the service to one request, as its server hands it over: the status."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message)

    await WEBHOOK(
        {"type": "http", "http_version": "1.1", "query_string": b"", "scheme": "http", **request}, receive, send
    )
    return sent[0]["status"]
