"""A real server between us and Label Studio that goes wrong as it is told to."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

HOP = {"connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length", "date", "server"}


@dataclass
class Fault:
    """What goes wrong.

    Attributes:
        do: A status; `cut` (half of the real reply's body, then the line is dropped); `lost` (the request is carried
            out and the line is dropped); `unheard` (the line is dropped at once); `silent` (no answer for longer than
            anybody waits).
        where: Method and path that it happens to.
        times: How often.
        headers: Of the reply.
    """

    do: int | str
    where: str = "."
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


class Proxy:
    """Forwards requests.

    Attributes:
        url: Where it answers.
        faults: What is still to go wrong.
        requests: `METHOD path` of everything that arrived.
        unreliable: Share of requests that are `lost` or `unheard`, as likely the one as the other; which ones depends
            on what is asked how often, and not on the order.
        dropped: How many were.
    """

    def __init__(self, url: str, port: int) -> None:
        self.target = httpx.Client(base_url=url, timeout=60)
        self.url = f"http://localhost:{port}"
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.unreliable, self.dropped = 0.0, 0
        self._counts: Counter[str] = Counter()
        self.released = threading.Event()

    def next_fault(self, request: str) -> Fault | None:
        self.requests.append(request)
        for fault in self.faults:
            if fault.times and re.search(fault.where, request):
                fault.times -= 1
                return fault
        return self._dropped(re.sub(r"\d+", "N", request)) if self.unreliable else None

    def _dropped(self, request: str) -> Fault | None:
        self._counts[request] += 1
        drawn = random.Random(f"{request} {self._counts[request]}").random()
        if drawn >= self.unreliable:
            return None
        self.dropped += 1
        return Fault("lost" if drawn < self.unreliable / 2 else "unheard")


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy.next_fault(f"{self.command} {self.path}")
            if fault is not None and isinstance(fault.do, int):
                # Some proxies show the whole request in their error page.
                asked = f"<html>not what you hoped for: {self.headers} {body.decode(errors='replace')}</html>"
                self.reply(fault.do, fault.headers, asked.encode())
                return
            if fault is not None and fault.do == "silent":
                proxy.released.wait(30)
                self.close_connection = True
                return
            if fault is not None and fault.do == "unheard":
                self.drop()
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            found = proxy.target.request(self.command, self.path, headers=headers, content=body)
            kept = {name: value for name, value in found.headers.items() if name.lower() not in HOP}
            if fault is not None and fault.do == "lost":
                self.drop()
            else:
                self.reply(found.status_code, kept, found.content, cut=fault is not None)

        def reply(self, status: int, headers: dict[str, str], content: bytes, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.drop()

        def drop(self) -> None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

        # The names that http.server looks for.
        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = forward  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    proxy = Proxy(url, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        server.shutdown()
        server.server_close()
        proxy.target.close()
