"""A detector is a torchvision network, an embedding of its boxes and the names of its classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign

from pipeline.detector.models.backbones import build_backbone
from pipeline.detector.models.coco_weights import load_coco
from pipeline.detector.models.depthwise import freeze_depthwise
from pipeline.detector.models.drop_path import set_progress
from pipeline.detector.models.networks import build_network
from pipeline.detector.models.targets import Target
from pipeline.detector.models.triplet import sample_boxes, triplet_loss
from pipeline.detector.models.visible_box import VisibleBoxBranch, examples_of, visible_share
from pipeline.seeds import derive_seed
from pipeline.settings import DetectorSettings, TrainingSettings

EMBEDDED_LEVELS = ("0", "1", "2")
"""Those of them that a pyramid has; torchvision's MobileNet has two."""
CANVAS_DETECTIONS = 1000
"""Most detections on a canvas, which shows the objects of many images."""


class BoxEmbedder(nn.Module):
    """A unit vector for the features under each box, whatever the detector (projection head of arXiv 1503.03832).

    Args:
        channels: Channels of the feature pyramid.
        dim: Length of the vector.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.pool = MultiScaleRoIAlign(featmap_names=list(EMBEDDED_LEVELS), output_size=3, sampling_ratio=2)
        self.project = nn.Sequential(nn.Linear(channels * 9, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Embed boxes.

        Args:
            features: Pyramid levels by name.
            boxes: Tensor[N_i, 4] per image, pixels of the input.
            size: Height and width of the input.

        Returns:
            Tensor[sum of N_i, D]: float32 unit vectors; `Tensor[0, D]` for no boxes.
        """
        levels = {name: features[name] for name in EMBEDDED_LEVELS if name in features}
        pooled = self.pool(levels, boxes, [size] * len(boxes)).flatten(1)
        return F.normalize(self.project(pooled).float(), dim=1)


class Detector(nn.Module):
    """A detector over named classes.

    Args:
        settings: The network.
        labels: Class names; label numbers are 1, 2, ... in this order, 0 is background.
        training: What its losses look like; without effect on detections.
        pretrained: False leaves the weights random, for a model whose own weights are loaded next.

    Raises:
        ValueError: Unknown backbone, or weights that do not exist for it.
    """

    def __init__(
        self,
        settings: DetectorSettings,
        labels: Sequence[str],
        training: TrainingSettings | None = None,
        pretrained: bool = True,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.labels = tuple(labels)
        self.training_settings = training or TrainingSettings()
        backbone, normalization = build_backbone(settings, self.training_settings.frozen_stages, pretrained)
        if self.training_settings.frozen_depthwise:
            freeze_depthwise(backbone.body)
        self.network = build_network(settings, backbone, normalization, len(self.labels) + 1, self.training_settings)
        self.embedder = BoxEmbedder(backbone.out_channels, settings.embedding_dim)
        self.visible_box = VisibleBoxBranch(backbone.out_channels) if settings.visible_box else None
        backbone.register_forward_hook(self._keep_features)
        self._features: dict[str, Tensor] = {}
        self._embeds = True
        if pretrained and settings.weights == "coco":
            load_coco(self.network, settings)

    @property
    def body(self) -> nn.Module:
        """The pretrained part, below the feature pyramid."""
        body: nn.Module = self.network.backbone.body
        return body

    def set_progress(self, progress: float) -> None:
        """Tell which share of a run is over, 0 to 1; scheduled drop path goes by it."""
        set_progress(self.body, progress)

    def replace_backbone(self, backbone: nn.Module) -> None:
        """Compute the pyramid by another module, which gives the same levels."""
        backbone.register_forward_hook(self._keep_features)
        self.network.backbone = backbone

    @contextmanager
    def for_canvases(self) -> Iterator[None]:
        """Report as many detections as a canvas may hold, without embeddings, which nobody asks for there."""
        reporting = self.network.reporting
        most, self._embeds = reporting.detections_per_img, False
        reporting.detections_per_img = CANVAS_DETECTIONS
        try:
            yield
        finally:
            reporting.detections_per_img, self._embeds = most, True

    def _keep_features(self, _module: nn.Module, _inputs: Any, features: dict[str, Tensor]) -> None:
        self._features = features

    def losses(self, images: Tensor, targets: list[Target]) -> dict[str, Tensor]:
        """Training losses of a batch.

        Args:
            images (Tensor[B, 3, H, W]): uint8 RGB.
            targets: `boxes`, `labels`, `weights` and `ignore` of each image, and with a visible box branch `visible`.

        Returns:
            Named scalars whose sum is minimised.
        """
        losses: dict[str, Tensor] = self.network(images, targets)
        size = (images.shape[-2], images.shape[-1])
        if self.training_settings.triplet.enabled:
            losses = {**losses, "triplet": self._triplet_loss(targets, size)}
        if self.visible_box is not None:
            background = self.network.hard_background or [target["boxes"][:0] for target in targets]
            examples = [examples_of(*pair, size) for pair in zip(targets, background, strict=True)]
            losses = {**losses, "visible_box": self.visible_box.loss(self._features, examples, size)}
        self._features = {}
        return losses

    def _triplet_loss(self, targets: list[Target], size: tuple[int, int]) -> Tensor:
        settings = self.training_settings.triplet
        counts = [target["weights"] > 0 for target in targets]
        labels = torch.cat([t["labels"][counted] for t, counted in zip(targets, counts, strict=True)])
        boxes = [t["boxes"][counted] for t, counted in zip(targets, counts, strict=True)]
        if settings.classes or settings.boxes_per_class:
            chosen = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
            chosen[sample_boxes(labels, settings)] = True
            parts = torch.split(chosen, [len(of_image) for of_image in boxes])
            boxes, labels = [of_image[part] for of_image, part in zip(boxes, parts, strict=True)], labels[chosen]
        embeddings = self.embedder(self._features, boxes, size)
        background = self.network.hard_background
        if background:
            embeddings = torch.cat([embeddings, self.embedder(self._features, list(background), size)])
            labels = torch.cat([labels, torch.arange(len(labels), len(embeddings), device=labels.device).neg()])
        return settings.weight * triplet_loss(embeddings, labels, settings)

    def forward(self, images: Tensor, targets: list[Target] | None = None) -> Any:
        """Losses while training (see `losses`), else detections.

        Args:
            images (Tensor[B, 3, H, W]): uint8 RGB.
            targets: Only while training.

        Returns:
            In evaluation a dict per image: `boxes` Tensor[N, 4] in input pixels, `scores` Tensor[N] descending,
            `labels` Tensor[N] int64 from 1, `embeddings` Tensor[N, D], or Tensor[N, 0] for canvases; with a visible box
            branch also `visible_share` Tensor[N], not for canvases.
        """
        if self.training:
            return self.losses(images, targets or [])
        detections: list[Target] = self.network(images)
        boxes = [of_image["boxes"] for of_image in detections]
        counts = list(map(len, boxes))
        if self._embeds and self.visible_box is not None:
            shares = visible_share(self.visible_box(self._features, boxes, images.shape[-2:]))
            for of_image, share in zip(detections, torch.split(shares, counts), strict=True):
                of_image["visible_share"] = share
        if self._embeds:
            embeddings = self.embedder(self._features, boxes, images.shape[-2:])
        else:
            embeddings = torch.zeros(sum(counts), 0)
        self._features = {}
        for of_image, vectors in zip(detections, embeddings.split(counts), strict=True):
            of_image["embeddings"] = vectors
        return detections


def build_detector(
    settings: DetectorSettings, labels: Sequence[str], training: TrainingSettings | None = None, seed: int = 0
) -> Detector:
    """Build a detector to fine-tune, its new layers drawn from a seed.

    Args:
        settings: The network.
        labels: Class names.
        training: What its losses look like.
        seed: Drives the layers that no weights are loaded into.

    Returns:
        The detector, in training mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "build"))
        return Detector(settings, labels, training)
