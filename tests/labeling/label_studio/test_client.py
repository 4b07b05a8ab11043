"""What the client does when the network or the server misbehaves; all else is tested against the real server."""

import socket
from contextlib import nullcontext

import httpx
import pytest
import stamina
from pydantic import SecretStr

from pipeline.errors import RemoteError
from pipeline.labeling.label_studio import connection as module
from pipeline.labeling.label_studio.client import Client

TOKEN = "legacy0123456789legacy0123456789legacy01"
LISTING = {"count": 1, "next": None, "previous": None, "results": [{"id": 3, "title": "crosscheck"}]}


@pytest.fixture(autouse=True)
def _no_waiting():
    with stamina.set_testing(True, attempts=5, cap=True):
        yield


class Server(httpx.MockTransport):
    """Answers with one fault after another, then as it should."""

    def __init__(self, *faults, answer=None):
        self.requests = []
        self.faults = list(faults)
        self.answer = answer or httpx.Response(200, json=LISTING)
        super().__init__(self.reply)

    def reply(self, request):
        self.requests.append(request)
        fault = self.faults.pop(0) if self.faults else self.answer
        if isinstance(fault, Exception):
            raise fault
        return httpx.Response(fault, json={"detail": "trouble"}) if isinstance(fault, int) else fault


def client(server, url="http://localhost:9/prefix/"):
    return Client(url, SecretStr(TOKEN), 5.0, server)


CUT = httpx.ReadError("cut")
SLOW = httpx.ReadTimeout("slow")
DOWN = httpx.ConnectError("refused")


@pytest.mark.parametrize("fault", [429, 500, 502, 503, 504, CUT, SLOW, DOWN], ids=str)
def test_reading_is_tried_again(fault):
    server = Server(fault, fault)
    assert [project["id"] for project in client(server).projects("crosscheck")] == [3]
    assert len(server.requests) == 3
    assert {str(request.url.copy_with(query=None)) for request in server.requests} == {
        "http://localhost:9/prefix/api/projects/"
    }


@pytest.mark.parametrize(
    ("fault", "requests"), [(429, 2), (503, 2), (DOWN, 2), (500, 1), (502, 1), (504, 1), (CUT, 1), (SLOW, 1)]
)
def test_making_is_tried_again_only_where_nothing_can_have_been_made(fault, requests):
    server = Server(fault, answer=httpx.Response(201, json={"task_ids": [7]}))
    if requests == 2:
        assert client(server).import_tasks(1, [{"data": {}}]) == [7]
    else:
        with pytest.raises(RemoteError, match="could not import 1 tasks"):
            client(server).import_tasks(1, [{"data": {}}])
    assert len(server.requests) == requests


@pytest.mark.parametrize(
    ("fault", "message", "requests"),
    [
        (400, r"got 400: trouble", 1),
        (401, r"refuses the token \(401\).*LABEL_STUDIO_API_KEY", 1),
        (403, r"may not \(403\)", 1),
        (500, r"got 500: trouble The fault is the server's: see its log", 5),
        (503, r"got 503: trouble", 5),
        (DOWN, r"ConnectError, refused.*make label-studio", 5),
        (SLOW, r"ReadTimeout, no reply within 5 s\. The fault is the server's", 5),
        (httpx.Response(200, text="<html>a login page</html>"), r"got 200: <html>", 1),
        (httpx.Response(400, json={"validation_errors": {"title": ["too short"]}}), r"too short", 1),
        (httpx.Response(500, text="x" * 9999), r"got 500: x{600} The fault is the server's", 5),
    ],
)
def test_retries_are_bounded_and_the_fault_says_what_to_do(fault, message, requests):
    server = Server(*[fault] * 9)
    with pytest.raises(RemoteError, match=message) as caught:
        client(server).projects("crosscheck")
    assert str(caught.value).startswith("Label Studio at http://localhost:9/prefix: could not list projects")
    assert len(server.requests) == requests


def test_the_token_is_sent_and_never_shown():
    server = Server(httpx.Response(400, json={"detail": f"Token {TOKEN} is odd"}))
    one = client(server)
    with pytest.raises(RemoteError, match=r"Token \[token\] is odd") as caught:
        one.projects("crosscheck")
    assert server.requests[0].headers["Authorization"] == f"Token {TOKEN}"
    assert TOKEN not in repr(one)
    assert caught.value.__context__ is None


def test_a_server_that_is_not_there():
    stamina.set_testing(True, attempts=2)
    with pytest.raises(RemoteError, match=r"make label-studio"):
        Client("http://localhost:9", SecretStr(TOKEN), 5.0).projects("crosscheck")


def test_an_import_that_makes_less_than_it_was_sent_is_a_fault():
    server = Server(answer=httpx.Response(201, json={"import": 4}))
    with pytest.raises(RemoteError, match="expected 1 new tasks, got 0"):
        client(server).import_tasks(1, [{"data": {}}])


@pytest.mark.parametrize("status", [200, 400])
def test_an_import_whose_reply_is_no_json_is_not_sent_again(status):
    server = Server(httpx.Response(status, text="<html>a login page</html>"))
    with pytest.raises(RemoteError, match=f"could not import 1 tasks: got {status}: <html>"):
        client(server).import_tasks(1, [{"data": {}}])
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "accepted"), [(201, True), (400, True), (413, False)])
def test_an_upload_is_kept_whether_or_not_tasks_could_be_made_of_it(status, accepted):
    server = Server(httpx.Response(status, json={"detail": "more than one data key"}))
    with nullcontext() if accepted else pytest.raises(RemoteError, match=r"could not upload a\.webp: got 413"):
        client(server).uploads.add(1, "a.webp", b"RIFF")
    (request,) = server.requests
    assert request.url.params == httpx.QueryParams({"commit_to_project": "false"})
    assert request.headers["content-type"].startswith("multipart/form-data")


def test_a_task_that_is_gone_already_is_deleted():
    client(Server(404)).delete_task(7)
    with pytest.raises(RemoteError, match="could not delete task 7: got 400"):
        client(Server(400)).delete_task(7)


def test_listing_asks_for_ids_above_the_last_one_seen():
    server = Server()
    pages = [{"tasks": [{"id": 4}, {"id": 9}], "total": 3}, {"tasks": [{"id": 11}], "total": 1}]
    server.faults = [httpx.Response(200, json=page) for page in pages]
    found = list(client(server).tasks(1, ["id"], page_size=2))
    assert [([task["id"] for task in page.tasks], page.left) for page in found] == [([4, 9], 1), ([11], 0)]
    assert ['"value": 0' in r.url.params["query"] for r in server.requests] == [True, False]
    assert '"value": 9' in server.requests[1].url.params["query"]
    assert {r.url.params["page"] for r in server.requests} == {"1"}


def test_a_server_that_hangs_is_given_up_at_a_bound_of_the_whole_call(monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_CALL_S", 0.1)  # passed when the first reply is given up
    with socket.create_server(("127.0.0.1", 0)) as hanging, stamina.set_testing(False):
        hanging.setblocking(False)
        session = Client(f"http://127.0.0.1:{hanging.getsockname()[1]}", SecretStr(TOKEN), 0.3)
        with pytest.raises(RemoteError, match=r"list projects: ReadTimeout, no reply within 0\.3 s.*start it anew"):
            session.projects("crosscheck")
        hanging.accept()
        with pytest.raises(BlockingIOError):
            hanging.accept()  # nobody knocked a second time
