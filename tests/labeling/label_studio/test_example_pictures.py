"""Example pictures of the classes at the real server."""

from dataclasses import replace

import boto3
import httpx
import pytest
from PIL import Image

from pipeline.bench.generated_tasks import served_image
from pipeline.dataset.images import file_id
from pipeline.folder import Folder
from pipeline.labeling.examples import write_examples
from pipeline.labeling.label_studio.page import instructions
from pipeline.settings import DataSettings
from tests.builders import box, sample
from tests.labeling.label_studio.conftest import LABELS

pytestmark = pytest.mark.label_studio


@pytest.fixture
def labelled(desk):
    file = desk.images / "labelled.png"
    Image.new("RGB", (320, 240), (40, 90, 60)).save(file)
    return [replace(sample("one", box(), uri=str(file)), image_id=file_id(str(file)))]


@pytest.fixture(params=["local_files", "storage", "url"])
def shown(request, desk, s3, bucket_keys):
    """A task of an image that the page reaches in one way, and the settings of that way."""
    task = desk.task("asked")
    if request.param == "storage":
        keys = {name.lower(): value for name, value in bucket_keys.items()}
        bucket = f"examples-{desk.title.split()[0]}"
        client = boto3.client("s3", endpoint_url=s3, region_name="us-east-1", **keys)
        client.create_bucket(Bucket=bucket)
        client.upload_file(task.uri, bucket, "asked.png")
        task = replace(task, uri=f"s3://{bucket}/asked.png")
    if request.param == "url":
        with served_image() as address:
            yield replace(task, uri=f"{address}/asked.png"), {"image_access": "url"}
    else:
        yield task, {"image_access": request.param}


def test_people_see_pictures_however_the_page_reaches_images(desk, people, labelled, tmp_path, shown):
    owner, ann = people
    task, access = shown
    place = tmp_path / "labeling"
    made = write_examples(labelled, LABELS, Folder(place), 10**6).pictures
    backend = desk.backend(folder=str(place), **access)
    backend.push([task])
    written = desk.project(owner)["expert_instruction"]
    ((address, upload),) = uploads(desk, owner).items()
    assert address.endswith(f"-crosscheck-example-{made['bolt']}")
    assert written == instructions(DataSettings(labels=LABELS), 0.9, {"bolt": address}), "the server keeps it as it is"
    reply = ann.session.get(address)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/webp")
    assert reply.content == (place / "examples" / made["bolt"]).read_bytes()
    assert httpx.get(f"{desk.server.url}{address}").status_code == httpx.codes.UNAUTHORIZED
    assert set(desk.tasks(owner)) == {task.image_id}, "no task is made of a picture"
    backend.push([task])
    assert uploads(desk, owner) == {address: upload}, "it is uploaded once"


def test_pictures_of_no_use_are_removed_and_peoples_own_uploads_stay(desk, people, labelled, tmp_path):
    owner, _ = people
    place = tmp_path / "labeling"
    write_examples(labelled, LABELS, Folder(place), 10**6)
    backend = desk.backend(folder=str(place))
    backend.push([desk.task("asked")])
    (first,) = uploads(desk, owner)
    own = {"file": ("example-bolt.png", b"a person's own")}
    address = f"/api/projects/{desk.project(owner)['id']}/import"
    owner.session.post(address, params={"commit_to_project": "false"}, files=own)
    other = replace(labelled[0], boxes=(box(100, 100, 150, 140),))
    write_examples([other], LABELS, Folder(place), 10**6)
    backend.push([])
    assert ["-crosscheck-example-" in address for address in uploads(desk, owner)] == [False, True]
    assert first not in uploads(desk, owner)
    write_examples([], LABELS, Folder(place), 10**6)
    backend.push([])
    assert "<img" not in desk.project(owner)["expert_instruction"]
    assert [name.endswith("example-bolt.png") for name in uploads(desk, owner)] == [True]


class Refusing(httpx.HTTPTransport):
    """Takes no uploads."""

    def handle_request(self, request):
        if request.headers.get("content-type", "").startswith("multipart/"):
            return httpx.Response(413, request=request)
        return super().handle_request(request)


@pytest.mark.parametrize("fault", ["refused", "removed"])
def test_pictures_that_the_server_cannot_show_hold_nothing_up(desk, people, labelled, tmp_path, fault, caplog):
    place = tmp_path / "labeling"
    made = write_examples(labelled, LABELS, Folder(place), 10**6).pictures
    if fault == "removed":
        (place / "examples" / made["bolt"]).unlink()
    transport = Refusing() if fault == "refused" else None
    result = desk.backend(folder=str(place), transport=transport).push([desk.task("asked")])
    assert len(result.created) == 1
    assert desk.project(people[0])["expert_instruction"] == instructions(DataSettings(labels=LABELS), 0.9)
    (message,) = [record.message for record in caplog.records if "example pictures" in record.message]
    assert ("413" if fault == "refused" else made["bolt"]) in message


def uploads(desk, person):
    """Uploaded files of the project: id by address, the oldest first."""
    found = person.session.get(f"/api/projects/{desk.project(person)['id']}/file-uploads", params={"all": "true"})
    return {f"/data/{each['file']}": each["id"] for each in sorted(found.json(), key=lambda each: each["id"])}
