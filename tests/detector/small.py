"""Detectors, targets and images small enough to train in a test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline.boxes import as_boxes
from pipeline.detector.inference.predictor import Detections
from pipeline.detector.models.detector import Detector, build_detector
from pipeline.detector.models.registry import ModelCard
from pipeline.detector.models.targets import Target
from pipeline.detector.training.data.batches import BatchPlan
from pipeline.detector.training.data.training_images import NOTHING, TrainingImages
from pipeline.records import Box, Sample, State
from pipeline.settings import (
    AugmentSettings,
    CopyPasteSettings,
    DetectorSettings,
    FocalSettings,
    MixupSettings,
    MosaicSettings,
    MultiscaleSettings,
    RepeatFactorSettings,
    StrongViewSettings,
    TeacherSettings,
    TrainingSettings,
    TripletSettings,
)
from tests.builders import box, sample
from tests.detector.stand_in import StandIn

ARCHITECTURES = ("retinanet", "fcos", "faster_rcnn")
LABELS = ("bolt", "nut")
COLORS = {"bolt": (220, 60, 40), "nut": (40, 90, 220)}
SIZE = 64


def network(architecture: str = "retinanet", **values: Any) -> DetectorSettings:
    """The smallest network that has every part."""
    small: dict[str, Any] = {
        "architecture": architecture,
        "backbone": "test_efficientnet",
        "weights": "none",
        "image_size_px": SIZE,
        "fpn_channels": 64 if architecture == "fcos" else 16,
        "head_convs": 1,
        "embedding_dim": 8,
        "anchor_scale": 2.0,
        "anchors_per_place": 9,
        "head_norm": "none",
        "head_shared": False,
    }
    return DetectorSettings(**{**small, **values})


def training(**values: Any) -> TrainingSettings:
    """A short run on the CPU with everything switched off that can be."""
    plain: dict[str, Any] = {
        "steps": 4,
        "batch_size": 2,
        "accelerator": "cpu",
        "frozen_stages": 0,
        "warmup_steps": 0,
        "burn_in_steps": 0,
        "ema_decay": 0.0,
        "mixup": MixupSettings(enabled=False),
        "triplet": TripletSettings(enabled=False),
        "copy_paste": CopyPasteSettings(enabled=False),
        "augment": AugmentSettings(enabled=False),
        "multiscale": MultiscaleSettings(enabled=False),
        "classification": "focal",
        "label_smoothing": 0.0,
        "assigner": "iou",
        "box_loss": "l1",
        "box_weight": 1.0,
        "frozen_depthwise": False,
        "precision": "fp32",
    }
    return TrainingSettings(**{**plain, **values})


ALL_ON = {
    "ema_decay": 0.9,
    "label_smoothing": 0.1,
    "focal": FocalSettings(),
    "mixup": MixupSettings(start=0.0, end=1.0),
    "triplet": TripletSettings(boxes_per_class=4, background_negatives=2),
    "augment": AugmentSettings(rotate_deg=5.0, strong=StrongViewSettings(enabled=True, labeled_too=True)),
    "mosaic": MosaicSettings(enabled=True, end=1.0),
    "copy_paste": CopyPasteSettings(enabled=True),
    "repeat_factor": RepeatFactorSettings(enabled=True, threshold=1.0),
    "teacher": TeacherSettings(enabled=True, ignore_score=0.05, box_score=0.06),
    "burn_in_steps": 1,
    "multiscale": MultiscaleSettings(enabled=True, smallest=0.5),
}


def detector(architecture: str = "retinanet", labels=LABELS, settings: TrainingSettings | None = None, **values: Any):
    return build_detector(network(architecture, **values), labels, settings or training())


def card(architecture: str = "retinanet", **values: Any) -> ModelCard:
    fields: dict[str, Any] = {
        "labels": LABELS,
        "detector": network(architecture),
        "training": training(learning_rate=0.1),
        "dataset_version": 7,
        "parent_id": None,
        "cycle": 1,
        "seed": 3,
    }
    return ModelCard(**{**fields, **values})


def target(boxes=(), labels=None, weights=None, ignore=()) -> Target:
    return {
        "boxes": as_boxes(boxes),
        "labels": torch.tensor([1] * len(boxes) if labels is None else labels, dtype=torch.int64),
        "weights": torch.ones(len(boxes)) if weights is None else torch.tensor(weights, dtype=torch.float32),
        "ignore": as_boxes(ignore),
    }


LEFT, RIGHT = (8.0, 8.0, 28.0, 30.0), (34.0, 30.0, 60.0, 58.0)
EVERYWHERE = (0.0, 0.0, 64.0, 64.0)
TARGETS = {
    "nothing": target(),
    "one": target([LEFT], [1]),
    "two": target([LEFT, RIGHT], [2, 1]),
    "overlapping": target([LEFT, (10, 8, 30, 30), RIGHT], [2, 1, 1]),
}


def noise(count: int = 1, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    """Tensor[count, 3, size, size] uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def paint(path: Path, boxes: tuple[Box, ...] = (), size: tuple[int, int] = (SIZE, SIZE), seed: int = 0) -> str:
    """Save a grainy image with a coloured rectangle a box."""
    pixels = np.random.default_rng(seed).integers(90, 140, (size[1], size[0], 3), dtype=np.uint8)
    for one in boxes:
        pixels[int(one.y1) : int(one.y2), int(one.x1) : int(one.x2)] = COLORS[one.label]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return str(path)


def painted(folder: Path, name: str, *boxes: Box, size: tuple[int, int] = (SIZE, SIZE), **fields: Any) -> Sample:
    uri = paint(folder / f"{name}.png", boxes, size, seed=len(name) + sum(map(ord, name)))
    return sample(name, *boxes, uri=uri, width=size[0], height=size[1], **fields)


def scenes(folder: Path, count: int = 6, state: State = State.LABELED, prefix: str = "scene") -> list[Sample]:
    """Images with a bolt and a nut each, at random places."""
    random = np.random.default_rng(count)
    samples = []
    for index in range(count):
        (x, y), (u, v) = random.integers(0, 12, (2, 2)).tolist()
        boxes = (box(x, y, x + 18, y + 18, "bolt"), box(30 + u, 30 + v, 50 + u, 50 + v, "nut"))
        samples.append(painted(folder, f"{prefix}{index}", *boxes, state=state))
    return samples


def images_of(samples: list[Sample], cache_mb: int = 64, labels=LABELS, beside_boxes=NOTHING) -> TrainingImages:
    return TrainingImages(samples, labels, SIZE, 10_000_000, cache_mb, beside_boxes)


def plan(
    samples: list[Sample],
    settings: TrainingSettings,
    seed: int = 0,
    cache_mb: int = 64,
    errors: Mapping[str, float] | None = None,
) -> BatchPlan:
    return BatchPlan(images_of(samples, cache_mb), settings, seed, errors)


def weights_of(model: Detector) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def differing(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    """Names of the tensors that are not the same bit for bit."""
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]


class Scripted(StandIn):
    """Gives its answers one after the other, one per image, whatever the image shows."""

    def __init__(
        self, answers: list[Detections], labels=LABELS, image_size_px: int = SIZE, batch_size: int = 4
    ) -> None:
        super().__init__(labels, image_size_px, batch_size)
        self._answers = iter(answers)

    def __call__(self, images: torch.Tensor) -> list[Detections]:
        return [next(self._answers) for _ in images]


def said(*rows: tuple[tuple[float, float, float, float], float, int]) -> Detections:
    """Detections from `(corners, score, label number)`; the embedding repeats the score."""
    scores = torch.tensor([score for _, score, _ in rows], dtype=torch.float32)
    numbers = torch.tensor([number for *_, number in rows], dtype=torch.int64)
    return Detections(as_boxes([corners for corners, *_ in rows]), scores, numbers, scores[:, None].expand(-1, 8))
