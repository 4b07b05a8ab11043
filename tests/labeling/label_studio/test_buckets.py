"""Images in buckets, through the real server and a local S3 service; and the check that they can be shown."""

import json
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from pipeline.errors import RemoteError
from pipeline.labeling.label_studio.client import Client
from pipeline.labeling.label_studio.image_access import connect_images, expect_shown
from pipeline.settings.labeling import BucketSettings, LabelStudioSettings
from tests.builders import image_id

on_server = pytest.mark.label_studio


@pytest.fixture
def bucket(s3, desk, bucket_keys):
    """A bucket with one image in a folder with a blank in its name."""
    keys = {name.lower(): value for name, value in bucket_keys.items()}
    client = boto3.client("s3", endpoint_url=s3, region_name="us-east-1", **keys)
    name = f"images-{desk.title.split()[0]}"
    client.create_bucket(Bucket=name)
    Image.new("RGB", (320, 240), (40, 90, 60)).save(desk.folder / "a.png")
    client.upload_file(str(desk.folder / "a.png"), name, "line 3/a.png")
    return name


def stored(desk, name, uri, **fields):
    return desk.backend(image_access="storage", **fields), desk.task(name, uri=uri)


@on_server
@pytest.mark.parametrize("presign", [True, False], ids=["signed", "through the server"])
def test_a_image_in_a_bucket_is_shown(desk, people, bucket, s3, presign, bucket_keys):
    owner, _ = people
    backend, task = stored(desk, "one", f"s3://{bucket}/line 3/a.png", buckets={"presign": presign})
    assert backend.push([task]).created == (image_id("one"),)
    project = desk.project(owner)["id"]
    (storage,) = owner.session.get("/api/storages/s3", params={"project": project}).json()
    assert (storage["bucket"], storage["presign"], storage["presign_ttl"]) == (bucket, presign, 60)
    assert not set(bucket_keys.values()) & set(map(str, storage.values()))
    entry = owner.next_task(project)
    reply = owner.session.get(entry["data"]["image"])
    assert reply.status_code == (303 if presign else 200)
    if presign:
        assert urlsplit(reply.headers["location"]).netloc == urlsplit(s3).netloc
    shown = owner.session.get(entry["data"]["image"], follow_redirects=True)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/png")
    backend.push([task, desk.task("two", uri=task.uri)])
    assert len(owner.session.get("/api/storages/s3", params={"project": project}).json()) == 1


@on_server
@pytest.mark.parametrize("presign", [True, False], ids=["signed", "through the server"])
def test_a_image_that_is_not_there_stops_the_push_before_people_meet_it(desk, people, bucket, presign):
    backend, task = stored(desk, "one", f"s3://{bucket}/gone.png", buckets={"presign": presign})
    with pytest.raises(RemoteError, match=r"(?s)s3://.*gone.png to be shown.*got 4\d\d.*AWS_ACCESS_KEY_ID") as caught:
        backend.push([task])
    assert "Nothing was pushed" in str(caught.value)
    assert desk.tasks(people[0]) == {}
    there = desk.task("two", uri=f"s3://{bucket}/line 3/a.png")
    assert len(backend.push([task, there]).created) == 2, "one missing file does not hold up the others"


@on_server
def test_a_bucket_that_is_not_there_is_named(desk):
    backend, task = stored(desk, "one", "s3://no-such-bucket-here/a.png")
    with pytest.raises(RemoteError, match=r"could not connect the bucket no-such-bucket-here.*AWS_ACCESS_KEY_ID"):
        backend.push([task])


@on_server
def test_a_local_file_that_is_not_there_names_the_document_root(desk, people):
    task = desk.task("one", uri=str(desk.images / "gone.png"))
    with pytest.raises(RemoteError, match=r"got 404.*LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=") as caught:
        desk.backend().push([task])
    assert str(desk.root) in str(caught.value)
    assert desk.tasks(people[0]) == {}


@on_server
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://localhost:9/a.png", r"ConnectError.*open without a login"),
        ("s3://bucket/a.png", r"got 404.*image_access to storage"),
    ],
)
def test_an_address_that_shows_nothing(desk, uri, message):
    with pytest.raises(RemoteError, match=message):
        desk.backend(image_access="url").push([desk.task("one", uri=uri)])


class Fake(httpx.MockTransport):
    """A server that has no bucket connected and sends everything elsewhere."""

    def __init__(self):
        self.requests = []
        super().__init__(self.reply)

    def reply(self, request):
        self.requests.append(request)
        if request.url.host == "storage.example.com":
            headers = {"content-type": "image/png", "access-control-allow-origin": request.headers["origin"]}
            return httpx.Response(200, headers=headers, content=b"image")
        if request.url.path.endswith("/resolve/"):
            return httpx.Response(303, headers={"location": "https://storage.example.com/a.png?signature=x"})
        if request.method == "POST":
            return httpx.Response(201, json={"id": 1, "project": 7, **json.loads(request.content)})
        return httpx.Response(200, json=[])


@pytest.mark.parametrize(
    ("uri", "buckets", "path", "body"),
    [
        (
            "gs://parts/a.png",
            BucketSettings(presign=False, region="eu-1"),
            "/api/storages/gcs/",
            {"bucket": "parts", "presign": False, "presign_ttl": 60},
        ),
        (
            "s3://parts/a.png",
            BucketSettings(region="eu-1", endpoint="https://s3.example.com", presign_ttl_min=5),
            "/api/storages/s3/",
            {
                "bucket": "parts",
                "presign": True,
                "presign_ttl": 5,
                "region_name": "eu-1",
                "s3_endpoint": "https://s3.example.com",
            },
        ),
    ],
)
def test_what_is_sent_to_connect_a_bucket(uri, buckets, path, body):
    server = Fake()
    client = Client("http://ls.example.com", SecretStr("legacy0123456789legacy0123456789legacy01"), 5.0, server)
    settings = LabelStudioSettings(image_access="storage", buckets=buckets)
    connect_images(client, 7, [uri, uri], settings)
    (sent,) = [request for request in server.requests if request.method == "POST"]
    assert sent.url.path.rstrip("/") == path.rstrip("/")
    assert json.loads(sent.content) == {"project": 7, "title": "crosscheck images", "use_blob_urls": True, **body}
    expect_shown(client, 7, [uri], settings, "1 new task")
    signed = server.requests[-1]
    assert signed.url.host == "storage.example.com"
    assert "Authorization" not in signed.headers, "the token stays with the server"
    assert "Authorization" in server.requests[-2].headers
