"""Applying a detector: batches in, detections out, in the precision that was asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.boxes import clip
from pipeline.detector.inference.out_of_memory import is_out_of_memory
from pipeline.detector.inference.precision import native_precision
from pipeline.detector.inference.stream import ImageBatch, ImageStream
from pipeline.detector.inference.tensor_columns import TensorColumns
from pipeline.detector.models.detector import Detector
from pipeline.errors import PipelineError
from pipeline.records import ImageRef
from pipeline.settings import DetectorSettings, Settings
from pipeline.settings.detector import Precision

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detections(TensorColumns):
    """What was found in one image, best first.

    Attributes:
        boxes: Tensor[N, 4] float32 in `(x1, y1, x2, y2)`, pixels.
        scores: Tensor[N] float32, 0 to 1, descending, higher = more likely right.
        labels: Tensor[N] int64, from 1.
        embeddings: Tensor[N, D] float32, unit length.
        visible_share: Tensor[N] float32, 0 to 1, area that is seen of each box; None where the detector does not tell.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    embeddings: Tensor
    visible_share: Tensor | None = None


@dataclass(frozen=True)
class PredictionSettings:
    """How a detector is applied.

    Attributes:
        precision: bf16 and fp16 compute in half precision; boxes, scores and embeddings stay float32.
        accelerator: `auto` takes a GPU where there is one.
        batch_size: Images per forward pass.
        threads: Images decoded at once.
        max_pixels: A larger image is refused.
        verify: Refuse an image whose file was replaced since it was imported.
        compiled: Compile the backbone's body for the first shapes that come, which takes about a minute and needs a
            C++ compiler.
        float32_share: In two precisions, about this share of the images is looked at in float32 as well.
        decision_score: Likewise, those where most detections are near this score.
    """

    precision: Precision = "fp32"
    accelerator: str = "auto"
    batch_size: int = 16
    threads: int = 2
    max_pixels: int = 178_000_000
    verify: bool = False
    compiled: bool = False
    float32_share: float = 0.25
    decision_score: float = 0.1

    @staticmethod
    def of(settings: Settings, precision: Precision | None = None, *, compiled: bool = False) -> PredictionSettings:
        """Those of a project: mining's, or another precision."""
        wanted = precision or settings.mining.precision
        accelerator = settings.training.accelerator
        return PredictionSettings(
            precision=native_precision(accelerator) if wanted == "auto" else wanted,
            accelerator=accelerator,
            batch_size=settings.mining.batch_size,
            threads=settings.mining.decode_threads,
            max_pixels=settings.data.max_image_pixels,
            verify=True,
            compiled=compiled,
            float32_share=settings.mining.float32_share,
            decision_score=settings.mining.proposal_score,
        )


class Predictor:
    """A detector ready to be applied.

    Args:
        detector: Put in evaluation mode and moved to the device.
        settings: How it is applied.
    """

    def __init__(self, detector: Detector, settings: PredictionSettings | None = None) -> None:
        self.settings = settings or PredictionSettings()
        accelerator = self.settings.accelerator
        cuda = accelerator == "cuda" or (accelerator == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda" if cuda else "cpu")
        self.detector = detector.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.settings.compiled:
            self.detector.body.compile()
        self._dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.settings.precision]

    @property
    def image_size_px(self) -> int:
        """Longest side of the detector's input."""
        settings: DetectorSettings = self.detector.settings
        return settings.image_size_px

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; label numbers are 1, 2, ... in this order."""
        labels: tuple[str, ...] = self.detector.labels
        return labels

    @property
    def tells_visible_share(self) -> bool:
        """Whether its detections have a visible share."""
        return self.detector.visible_box is not None

    @property
    def batch_size(self) -> int:
        """Images per forward pass."""
        return self.settings.batch_size

    def stream(self, refs: Iterable[ImageRef]) -> ImageStream:
        """Images at the input size, in batches."""
        return ImageStream(
            refs,
            image_size_px=self.image_size_px,
            max_pixels=self.settings.max_pixels,
            batch_size=self.batch_size,
            threads=self.settings.threads,
            verify=self.settings.verify,
        )

    def inputs(self, refs: Iterable[ImageRef]) -> Iterator[Tensor]:
        """Images at the input size, Tensor[B, 3, H, W] uint8 RGB per batch."""
        return (batch.images for batch in self.stream(refs))

    def __call__(self, images: Tensor) -> list[Detections]:
        """Detect; a batch for which memory does not suffice is halved, as often as it takes.

        Args:
            images (Tensor[B, 3, H, W]): uint8 RGB.

        Returns:
            Detections an image, in input pixels, on the CPU.

        Raises:
            PipelineError: Memory does not suffice for a single image.
        """
        try:
            return self._detect(images)
        except RuntimeError as fault:
            if not is_out_of_memory(fault):
                raise
            if len(images) == 1:
                raise PipelineError(
                    f"Memory does not suffice to look at one image of {images.shape[3]} x {images.shape[2]} pixels. "
                    "Free some, or set detector.image_size_px lower."
                ) from fault
        # Outside the handler, whose traceback would keep what was allocated.
        half = (len(images) + 1) // 2
        LOG.warning("Out of memory for a batch of %d; trying %d. Set mining.batch_size lower.", len(images), half)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return [*self(images[:half]), *self(images[half:])]

    @torch.inference_mode()
    def _detect(self, images: Tensor) -> list[Detections]:
        precision = torch.autocast(self.device.type, self._dtype) if self._dtype else nullcontext()
        if self.device.type == "cuda":
            images = images.pin_memory()
        with precision:
            found = self.detector(images.to(self.device, non_blocking=True))
        # All images in one transfer: on a GPU each transfer waits.
        counts = [len(outputs["boxes"]) for outputs in found]
        columns = [
            torch.split(torch.cat([outputs[name] for outputs in found]).cpu(), counts)
            for name in ("boxes", "scores", "labels", "embeddings", "visible_share")
            if name in found[0]
        ]
        rows = zip(*columns, strict=True)
        return [
            Detections(boxes.float(), scores.float(), labels, vectors.float(), *shares)
            for boxes, scores, labels, vectors, *shares in rows
        ]

    def detect_canvases(self, images: Tensor) -> list[Detections]:
        """Detect in canvases: many more detections each, without embeddings.

        Args:
            images (Tensor[B, 3, H, W]): uint8 RGB.
        """
        with self.detector.for_canvases():
            return self(images)


def detect_images(predictor: Predictor, stream: ImageStream) -> Iterator[tuple[ImageBatch, list[Detections]]]:
    """Detect in a stream of images.

    Args:
        predictor: The detector.
        stream: The images, at the detector's input size.

    Yields:
        A batch and its detections in input pixels, cut at the edge of each image.
    """
    for batch in stream:
        yield batch, detect_batch(predictor, batch)


def detect_batch(detect: Callable[[Tensor], list[Detections]], batch: ImageBatch) -> list[Detections]:
    """Detect in a batch of images.

    Args:
        detect: A predictor, or what looks at images with one.
        batch: The images.

    Returns:
        Detections of each image, in input pixels, cut at its edge.
    """
    return [_inside(found, *size) for found, size in zip(detect(batch.images), batch.sizes, strict=True)]


def _inside(found: Detections, height: int, width: int) -> Detections:
    """Without what lies in the padding."""
    boxes = clip(found.boxes, width, height)
    kept = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
    return replace(found, boxes=boxes)[kept]
