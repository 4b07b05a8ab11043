"""Example pictures of the classes at the real server."""

from dataclasses import replace

import httpx
import pytest
from PIL import Image

from pipeline.dataset.images import file_id
from pipeline.labeling.examples import write_examples
from pipeline.labeling.label_studio.page import instructions
from pipeline.settings import DataSettings
from pipeline.workspace import Folder
from tests.builders import box, sample
from tests.labeling.label_studio.conftest import LABELS

pytestmark = pytest.mark.label_studio


@pytest.fixture
def labelled(desk):
    file = desk.images / "labelled.png"
    Image.new("RGB", (320, 240), (40, 90, 60)).save(file)
    return [replace(sample("one", box(), uri=str(file)), image_id=file_id(str(file)))]


def test_people_see_pictures_that_lie_below_the_document_root(desk, people, labelled):
    owner, ann = people
    place = desk.images / "workspace of a project" / "labeling"
    made = write_examples(labelled, LABELS, Folder(place), 10**6).pictures
    backend = desk.backend(folder=str(place))
    backend.push([desk.task("asked")])
    relative = (place / "examples" / made["bolt"]).relative_to(desk.root)
    address = "/data/local-files/?d=" + str(relative).replace(" ", "%20")
    written = desk.project(owner)["expert_instruction"]
    assert written == instructions(DataSettings(labels=LABELS), {"bolt": address}), "the server keeps it as it is"
    reply = ann.session.get(address)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/webp")
    assert httpx.get(f"{desk.server.url}{address}").status_code == httpx.codes.UNAUTHORIZED
    write_examples([], LABELS, Folder(place), 10**6)
    backend.push([])
    assert "<img" not in desk.project(owner)["expert_instruction"]


@pytest.mark.parametrize("below", [False, True], ids=["elsewhere", "removed"])
def test_pictures_that_the_server_cannot_show_hold_nothing_up(desk, people, labelled, tmp_path, below):
    place = desk.images / "labeling" if below else tmp_path / "labeling"
    made = write_examples(labelled, LABELS, Folder(place), 10**6).pictures
    if below:
        (place / "examples" / made["bolt"]).unlink()
    result = desk.backend(folder=str(place)).push([desk.task("asked")])
    assert len(result.created) == 1
    assert desk.project(people[0])["expert_instruction"] == instructions(DataSettings(labels=LABELS))
