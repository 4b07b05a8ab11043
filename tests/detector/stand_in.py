"""What a stand-in for `Predictor` has in common with it."""

from __future__ import annotations

from pipeline.detector.inference.stream import ImageStream


class StandIn:
    """Has a predictor's input size, class names and stream of images; detecting is left to subclasses."""

    tells_visible_share = False

    def __init__(self, labels, image_size_px=64, batch_size=4, threads=2):
        self.labels, self.image_size_px, self.batch_size = tuple(labels), image_size_px, batch_size
        self._threads = threads

    def detect_canvases(self, images):
        return self(images)

    def stream(self, refs):
        return ImageStream(
            refs,
            image_size_px=self.image_size_px,
            max_pixels=10_000_000,
            batch_size=self.batch_size,
            threads=self._threads,
        )
