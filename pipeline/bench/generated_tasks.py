"""Generated tasks for `crosscheck bench labeling`, and the one image that all of them show."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

from pipeline.records import Box, Source, Task, make_box_id
from pipeline.seeds import numpy_generator

LABELS = ("bolt", "nut", "washer")
SIDE = (1280, 960)
"""Width and height of the image, pixels."""


@contextmanager
def served_image() -> Iterator[str]:
    """Serve the image under every path, and yield the address."""
    file = io.BytesIO()
    Image.new("RGB", SIDE, "grey").save(file, "PNG")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(file.getvalue())))
            self.end_headers()
            self.wfile.write(file.getvalue())

        def log_message(self, *_: object) -> None:
            """Standard error is for progress."""

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def generated_task(number: int, boxes: int, address: str) -> Task:
    """A question about an image with boxes at random places.

    Args:
        number: Another number gives another image, the same number always the same.
        boxes: The machine's boxes on it.
        address: Of `served_image`.
    """
    image_id = hashlib.sha256(f"benchmark {number}".encode()).hexdigest()
    generator = numpy_generator(0, "labeling benchmark", image_id)
    top_left = generator.uniform(0.0, 0.8, (boxes, 2)) * SIDE
    corners = np.hstack([top_left, top_left + generator.uniform(0.05, 0.2, (boxes, 2)) * SIDE])
    scores = generator.uniform(size=boxes)
    shown = []
    for index, ((x1, y1, x2, y2), score) in enumerate(zip(corners.tolist(), scores.tolist(), strict=True)):
        label = LABELS[index % len(LABELS)]
        box_id = make_box_id(image_id, label, (x1, y1, x2, y2), "bench")
        shown.append(Box(box_id, x1, y1, x2, y2, label, Source.PSEUDO, score))
    return Task(
        image_id=image_id,
        uri=f"{address}/{number}.png",
        width=SIDE[0],
        height=SIDE[1],
        boxes=tuple(shown),
        value=float(generator.uniform(0.0, 5.0)),
        reason=f"benchmark task {number}",
        model_id="benchmark",
    )
