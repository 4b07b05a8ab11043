"""An image from elsewhere is shown by a real browser only where its service allows the page's origin."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import RemoteError
from tests.browser import chromium, needs_chromium
from tests.builders import image_id

pytestmark = [pytest.mark.label_studio, *needs_chromium]


class Service:
    """Images at an address of their own.

    Attributes:
        allows: What it says of other pages' origins; None for nothing.
        origins: What it was told of the pages that asked.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.allows: str | None = "*"
        self.origins: list[str | None] = []


@contextmanager
def serving(image: bytes) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            service.origins.append(self.headers.get("Origin"))
            self.send_response(200)
            if service.allows:
                self.send_header("Access-Control-Allow-Origin", service.allows)
            for name, value in {"Content-Type": "image/png", "Cache-Control": "no-store"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(image)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    service = Service(f"http://localhost:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()


VERDICT = """() => {
    const image = document.querySelector('img[alt="image"]');
    if (document.body.innerText.includes("There was an issue loading URL")) return "refused";
    return image !== null && image.complete && image.naturalWidth > 0 ? "shown" : null;
}"""
"""What the page has decided; null while it still tries."""


def test_the_check_at_push_says_what_the_browser_does(desk, people, server):
    task = desk.task("one")
    with serving(Path(task.uri).read_bytes()) as service, chromium() as browser:
        backend = desk.backend(image_access="url")
        asked = [desk.task(name, uri=f"{service.url}/{name}.png") for name in ("one", "two")]
        assert len(backend.push(asked[:1]).created) == 1
        assert set(service.origins) == {server.url}, "it asks as the page does"
        page = browser.new_page()
        page.goto(f"{server.url}/user/login/")
        page.fill("input[name=email]", server.email)
        page.fill("[name=password]", server.password)
        page.press("[name=password]", "Enter")
        page.wait_for_url(lambda url: "/user/login" not in url)
        entry = desk.tasks(people[0])[image_id("one")]
        address = f"{server.url}/projects/{desk.project(people[0])['id']}/data?task={entry['id']}"
        shown = {}
        for allows in (server.url, None, "http://elsewhere.example.com"):
            service.allows = allows
            page.goto(address)
            shown[allows] = page.wait_for_function(VERDICT, timeout=60_000).json_value() == "shown"
        assert shown == {server.url: True, None: False, "http://elsewhere.example.com": False}
        for service.allows in (None, "http://elsewhere.example.com"):
            with pytest.raises(
                RemoteError, match=r"without the header Access-Control-Allow-Origin.*set CORS"
            ) as caught:
                backend.push(asked)
            assert server.url in str(caught.value)
        assert set(desk.tasks(people[0])) == {image_id("one")}
