"""Applying a detector: batches in, detections out, in the precision that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pipeline.boxes import clip
from pipeline.detector.inference.stream import Fault, ImageBatch, stream_images
from pipeline.detector.models.detector import Detector
from pipeline.records import ImageRef
from pipeline.settings.detector import Precision


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best first.

    Attributes:
        boxes: Tensor[N, 4] float32 in `(x1, y1, x2, y2)`, pixels.
        scores: Tensor[N] float32, 0 to 1, descending, higher = more likely right.
        labels: Tensor[N] int64, from 1.
        embeddings: Tensor[N, D] float32, unit length.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    embeddings: Tensor

    def __len__(self) -> int:
        """How many."""
        return len(self.boxes)

    def __getitem__(self, which: Tensor | slice) -> Detections:
        """Some of them, by mask, index or slice."""
        return Detections(*(getattr(self, field.name)[which] for field in fields(self)))


class Predictor:
    """A detector ready to be applied.

    Args:
        detector: Put in evaluation mode and moved to the device.
        precision: bf16 and fp16 compute in half precision; boxes, scores and embeddings stay float32.
        accelerator: `auto` takes a GPU where there is one.
        batch_size: Images a forward pass.
        compiled: Compile the backbone's body for the first shapes that come, which takes about a minute and needs a
            C++ compiler.
    """

    def __init__(
        self,
        detector: Detector,
        precision: Precision = "fp32",
        accelerator: str = "auto",
        batch_size: int = 16,
        *,
        compiled: bool = False,
    ) -> None:
        cuda = accelerator == "cuda" or (accelerator == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda" if cuda else "cpu")
        self.detector = detector.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compiled:
            self.detector.body.compile()
        self.batch_size = batch_size
        self._dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> list[Detections]:
        """Detect.

        Args:
            images (Tensor[B, 3, H, W]): uint8 RGB.

        Returns:
            Detections an image, in input pixels, on the CPU.
        """
        precision = torch.autocast(self.device.type, self._dtype) if self._dtype else nullcontext()
        if self.device.type == "cuda":
            images = images.pin_memory()
        with precision:
            found = self.detector(images.to(self.device, non_blocking=True))
        # All images in one transfer: on a GPU each one is a wait.
        counts = [len(one["boxes"]) for one in found]
        columns = [
            torch.split(torch.cat([one[name] for one in found]).cpu(), counts)
            for name in ("boxes", "scores", "labels", "embeddings")
        ]
        rows = zip(*columns, strict=True)
        return [
            Detections(boxes.float(), scores.float(), labels, vectors.float())
            for boxes, scores, labels, vectors in rows
        ]


def detect_images(
    predictor: Predictor, refs: Iterable[ImageRef], *, max_pixels: int, threads: int, faults: list[Fault]
) -> Iterator[tuple[ImageBatch, list[Detections]]]:
    """Detect in a stream of images.

    Args:
        predictor: The detector.
        refs: The images.
        max_pixels: A larger image is refused.
        threads: Images decoded at once.
        faults: Images that cannot be read are put here and left out.

    Yields:
        A batch and its detections in input pixels, cut at the edge of each image.
    """
    size = predictor.detector.settings.image_size_px
    for batch in stream_images(
        refs,
        image_size_px=size,
        max_pixels=max_pixels,
        batch_size=predictor.batch_size,
        threads=threads,
        faults=faults,
    ):
        yield batch, detect_batch(predictor, batch)


def detect_batch(detect: Callable[[Tensor], list[Detections]], batch: ImageBatch) -> list[Detections]:
    """Detect in a batch of images.

    Args:
        detect: A predictor, or what looks at images with one.
        batch: The images.

    Returns:
        Detections an image, in input pixels, cut at its edge.
    """
    return [_inside(one, *size) for one, size in zip(detect(batch.images), batch.sizes, strict=True)]


def _inside(found: Detections, height: int, width: int) -> Detections:
    """Without what lies in the padding."""
    boxes = clip(found.boxes, width, height)
    kept = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
    return Detections(boxes, found.scores, found.labels, found.embeddings)[kept]
