"""Images of coloured squares, and a stand-in for a detector that finds them by looking at the pixels.

The colour is the class (red 1, green 2, blue 3), the brightness is the confidence: a square drawn with 200 is found
with a score of 200 / 255 wherever it lies, so that a test knows what a right engine answers.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn.functional import one_hot

from pipeline.boxes import as_boxes
from pipeline.detector.inference.predictor import Detections
from pipeline.mining.hosts import hosts_from_images
from pipeline.records import ImageRef
from tests.builders import box, image_id, sample
from tests.detector.stand_in import StandIn

LABELS = ("bolt", "gear", "nut")
STANDS_OUT = 60
"""A pixel is coloured where one channel is so much brighter than both others."""


def image(*squares, size=(64, 48), seed=0):
    """uint8[H, W, 3]: grey noise with squares `(x1, y1, x2, y2, label number, brightness)`."""
    width, height = size
    grey = np.random.default_rng(seed).integers(90, 140, (height, width, 1), dtype=np.uint8)
    pixels = np.repeat(grey, 3, axis=2)
    for x1, y1, x2, y2, label, brightness in squares:
        color = np.zeros(3, dtype=np.uint8)
        color[label - 1] = brightness
        pixels[y1:y2, x1:x2] = color
    return pixels


class SquareFinder(StandIn):
    """Finds squares by their colour.

    Attributes:
        shapes: Of every batch that it was asked about.
    """

    def __init__(self, image_size_px=64, batch_size=4, labels=LABELS):
        super().__init__(labels, image_size_px, batch_size)
        self.shapes = []

    def __call__(self, images):
        self.shapes.append(tuple(images.shape))
        return [self._find(image.permute(1, 2, 0).numpy().astype(int)) for image in images]

    def _find(self, pixels):
        boxes, scores, labels = [], [], []
        for channel in range(len(LABELS)):
            others = np.delete(pixels, channel, axis=2).max(axis=2)
            mask = (pixels[..., channel] - others > STANDS_OUT).astype(np.uint8)
            _count, parts, stats, _centers = cv2.connectedComponentsWithStats(mask, connectivity=4)
            for part, (x, y, width, height, _area) in enumerate(stats):
                if part > 0:
                    boxes.append([x, y, x + width, y + height])
                    scores.append(pixels[..., channel][parts == part].mean() / 255)
                    labels.append(channel + 1)
        return found(boxes, scores, labels)


def found(boxes=(), scores=(), labels=()):
    """Detections, best first; the embedding says the class."""
    numbers = torch.as_tensor(labels, dtype=torch.int64)
    scores = torch.as_tensor(scores, dtype=torch.float32)
    embeddings = one_hot(numbers, len(LABELS) + 1).float()
    return Detections(as_boxes(boxes), scores, numbers, embeddings)[scores.argsort(descending=True, stable=True)]


def host_set(*images_and_squares, labels=LABELS, factor=1):
    """Hosts from `(pixels, squares)`; their samples are `factor` times as large as the images."""
    images = [pixels for pixels, _ in images_and_squares]
    samples = [
        sample(
            f"host{number}",
            *(box(*(factor * value for value in corners), label=labels[label - 1]) for *corners, label, _ in squares),
            width=factor * pixels.shape[1],
            height=factor * pixels.shape[0],
        )
        for number, (pixels, squares) in enumerate(images_and_squares)
    ]
    return hosts_from_images(samples, images, labels)


def empty_hosts(count=6, size=(64, 48)):
    """Hosts that hold nothing."""
    return host_set(*((image(size=size, seed=100 + number), ()) for number in range(count)))


def save_image(folder, name, pixels):
    """Write an image without loss.

    Returns:
        The reference that a pool holds.
    """
    path = folder / f"{name}.png"
    Image.fromarray(pixels).save(path)
    return ImageRef(image_id(name), str(path), pixels.shape[1], pixels.shape[0])
