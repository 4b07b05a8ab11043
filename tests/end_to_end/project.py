"""A tiny project that turns a whole cycle in seconds, and ways to run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml
from PIL import Image
from pydantic import SecretStr

from pipeline.artefacts import CycleEnd
from pipeline.dataset.store import SampleStore
from pipeline.labeling.annotators import labeling_backend
from pipeline.loop import Surroundings, run_cycle
from pipeline.settings import Settings, load_settings
from pipeline.workspace import Workspace

LABELS = ("red", "blue")
COLORS = ((210, 40, 40), (40, 70, 210))
COUNTS = {"labeled": 8, "pool": 12, "val": 10, "test": 4}
SELECTED = ("proposals.parquet", "checks.parquet", "selection.parquet", "queue.parquet", "certificates.json")


def generate(folder: Path) -> Path:
    """Write a set that a detector learns in seconds: red and blue blocks on a mottled ground, one to three an image."""
    random = np.random.default_rng(3)
    for name, count in COUNTS.items():
        images, annotations = [], []
        (folder / name).mkdir(parents=True)
        for number in range(1, count + 1):
            pixels, boxes = _image(random)
            images.append({"id": number, "file_name": f"{number:02}.png", "width": 128, "height": 96})
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
            for label, bbox in boxes:
                annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": label + 1,
                                    "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0})  # fmt: skip
        categories = [{"id": at + 1, "name": label} for at, label in enumerate(LABELS)]
        path = folder / ("hidden.json" if name == "pool" else f"{name}.json")
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return folder


def _image(random: np.random.Generator) -> tuple[npt.NDArray[np.uint8], list[tuple[int, list[int]]]]:
    mottled = random.integers(90, 170, (6, 8, 1)).repeat(16, 0).repeat(16, 1).repeat(3, 2)
    pixels = (mottled + random.integers(-12, 13, (96, 128, 3))).astype(np.uint8)
    boxes = []
    columns = random.permutation(3)[: random.integers(1, 4)]
    for label, column in zip(random.integers(0, 2, 3), columns, strict=False):
        width, height = (int(side) for side in random.integers(22, 36, 2))
        x = int(column) * 42 + int(random.integers(0, 42 - width))
        y = int(random.integers(0, 96 - height))
        pixels[y : y + height, x : x + width] = COLORS[label] + random.integers(-20, 21, (height, width, 3))
        boxes.append((int(label), [x, y, width, height]))
    return pixels, boxes


def write_config(folder: Path, images: Path, **sections: Any) -> Path:
    """Write settings for a project on the tiny set whose workspace is `folder/workspace`.

    Thirty steps are too few to learn pasted objects as well.
    """
    values: dict[str, Any] = {
        "name": "tiny",
        "seed": 5,
        "workspace": str(folder / "workspace"),
        "data": {"labels": list(LABELS), "sources": labeled_sources(images)},
        "detector": {"image_size_px": 128, "fpn_channels": 16, "embedding_dim": 8, "score_floor": 0.01},
        "training": {"steps": 30, "batch_size": 4, "checkpoint_every_steps": 6, "learning_rate": 0.003,
                     "warmup_steps": 3, "burn_in_steps": 6, "accelerator": "cpu", "gate_tolerance": 1.0,
                     "precision": "fp32", "copy_paste": {"enabled": False}},
        "runner": {},
        "report": {"gallery_images": 2},
        "mining": {"proposal_score": 0.02, "hit_score": 0.01, "hit_iou": 0.3, "proposals_per_image": 5, "hosts": 2,
                   "batch_size": 4, "chunk_images": 5, "precision": "fp32",
                   "engine": "torch"},
        "selection": {"target_precision": 0.5, "confidence": 0.8, "min_class_boxes": 5, "query": {"images": 3}},
        "labeling": {
            "backend": "simulated",
            "simulated": {"annotations": str(images / "hidden.json"), "images": str(images / "pool")},
        },
    }  # fmt: skip
    for name, changes in sections.items():
        values[name] = {**values[name], **changes} if isinstance(changes, dict) else changes
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def labeled_sources(images: Path) -> list[dict[str, str]]:
    """The tiny set's labelled images; those of the pool are brought by whoever knows their boxes."""
    return [
        {
            "split": split,
            "format": "coco",
            "images": str(images / name),
            "annotations": str(images / f"{name}.json"),
        }
        for split, name in (("train", "labeled"), ("val", "val"), ("test", "test"))
    ]


def pool_source(images: Path) -> dict[str, str]:
    """The pool's images as a project has them that asks people."""
    return {"split": "pool", "format": "images", "images": str(images / "pool")}


def run_cycles(config: Path, cycles: int = 1, token: SecretStr | None = None) -> Settings:
    """Run whole cycles without Prefect until so many are finished."""
    settings = load_settings(config)
    workspace = Workspace(settings.workspace)
    around = Surroundings(lambda project: labeling_backend(project, token))
    while sum(workspace.cycle(number).exists(CycleEnd.FILE) for number in workspace.cycles()) < cycles:
        run_cycle(settings, around)
    return settings


def run_in_child(config: str, cycles: int) -> None:
    """`run_cycles` for a process that is about to be killed; its output is not wanted."""
    run_cycles(Path(config), cycles)


def versions(settings: Settings) -> list[tuple[str, pa.Table]]:
    """Every dataset version: why it was made, and its rows without the moment they were written."""
    store = SampleStore(Workspace(settings.workspace).samples_uri)
    return [(one.reason, without_moments(store.table(one.number))) for one in store.history()]


def without_moments(table: pa.Table) -> list[dict[str, Any]]:
    """Rows whose boxes have no `created_at`."""
    rows = table.to_pylist()
    return [{**row, "boxes": [{**box, "created_at": None} for box in row["boxes"]]} for row in rows]


def selected(settings: Settings, cycle: int) -> dict[str, bytes]:
    """The bytes of everything that a cycle selected."""
    folder = Workspace(settings.workspace).cycle(cycle)
    return {name: folder.read_bytes(name) for name in SELECTED}
