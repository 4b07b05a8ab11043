"""torchvision's reference loop of detection training, in its structure, to measure ours against.

After `references/detection` of torchvision (engine.py, coco_utils.py, presets.py "hflip"): images decoded and turned
into float anew each time they are shown, resized and normalised inside the model, a list of images a batch, losses
read after every step for a log line, SGD with momentum. It has the stock losses, no average of weights, and no
augmentation but a flip. What it lacks of the original (several GPUs, grouping by aspect ratio) makes it no slower.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from timm.layers import freeze_batch_norm_2d  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.transforms.functional import hflip, pil_to_tensor

from pipeline.detector.models.backbones import build_backbone
from pipeline.detector.models.networks import retinanet_anchors
from pipeline.errors import PipelineError, SettingsError
from pipeline.records import Sample
from pipeline.settings import Settings

Target = dict[str, Tensor]


class ReferenceImages(Dataset[tuple[Tensor, Target]]):
    """Labelled images as the reference reads them.

    Args:
        samples: The images, on a local disk.
        labels: Class names.
    """

    def __init__(self, samples: Sequence[Sample], labels: Sequence[str]) -> None:
        self.samples = [sample for sample in samples if sample.boxes]  # the reference leaves the others out too
        self._number = {label: number for number, label in enumerate(labels, 1)}

    def __len__(self) -> int:
        """How many."""
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        """Decode one, flipped at random."""
        sample = self.samples[index]
        with Image.open(sample.uri) as file:
            image = pil_to_tensor(file.convert("RGB"))
        boxes = torch.tensor([box.xyxy for box in sample.boxes])
        if torch.rand(1) < 0.5:
            image = hflip(image)
            boxes = torch.stack([sample.width - boxes[:, 2], boxes[:, 1], sample.width - boxes[:, 0], boxes[:, 3]], 1)
        labels = torch.tensor([self._number[box.label] for box in sample.boxes])
        return image.float() / 255, {"boxes": boxes, "labels": labels}


def reference_model(settings: Settings) -> RetinaNet:
    """Build the stock RetinaNet over our backbone: nine anchors per place and two plain towers, as deep as ours.

    Batch normalisation is fixed, as in ours, and left where it is, as in torchvision's own; ours folds it.

    Raises:
        SettingsError: The settings name another architecture.
    """
    detector = settings.detector
    if detector.architecture != "retinanet":
        raise SettingsError(f"Expected detector.architecture 'retinanet' here, got {detector.architecture!r}")
    learning = detector.model_copy(update={"batch_norm": "synchronised"})
    backbone, normalization = build_backbone(learning, settings.training.frozen_stages)
    if detector.batch_norm == "frozen":
        freeze_batch_norm_2d(backbone.body)  # type: ignore[no-untyped-call]  # as torchvision's have it: not folded
    classes = len(settings.data.labels) + 1
    head: Any = RetinaNetHead(backbone.out_channels, 9, classes)
    for part in (head.classification_head, head.regression_head):
        part.conv = part.conv[: detector.head_convs]
    return RetinaNet(
        backbone,
        classes,
        min_size=detector.image_size_px,
        max_size=detector.image_size_px,
        image_mean=list(normalization.mean),
        image_std=list(normalization.std),
        anchor_generator=retinanet_anchors(detector.model_copy(update={"anchors_per_place": 9})),
        head=head,
    )


def reference_steps(settings: Settings, samples: Sequence[Sample], seed: int) -> Iterator[int]:
    """Train, epoch after epoch.

    Args:
        settings: Network, batch size and workers.
        samples: Labelled images.
        seed: Of the order of images.

    Yields:
        Images shown, after every step.
    """
    model = reference_model(settings).train()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=1e-3, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.001, total_iters=100)
    loader = DataLoader(
        ReferenceImages(samples, settings.data.labels),
        batch_size=settings.training.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=settings.training.workers,
        collate_fn=lambda batch: tuple(zip(*batch, strict=True)),
        generator=torch.Generator().manual_seed(seed),
    )
    log: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=20))
    while True:
        for images, targets in loader:
            _step(model, optimizer, images, targets, log)
            schedule.step()
            yield len(images)


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Sequence[Tensor],
    targets: Sequence[Target],
    log: dict[str, deque[float]],
) -> None:
    """One step as `train_one_epoch` does it, on one process."""
    losses: dict[str, Tensor] = model(list(images), [dict(target) for target in targets])
    total = torch.stack(list(losses.values())).sum()
    value = total.item()
    if not math.isfinite(value):
        raise PipelineError(f"Expected a finite loss of the reference, got {value}")
    optimizer.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    for name, loss in {"loss": total, **losses}.items():
        log[name].append(loss.item())
