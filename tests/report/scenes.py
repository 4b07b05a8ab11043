"""Made-up images of workshop parts, and the tables that a cycle would make of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, QUEUE_SCHEMA, SAMPLE_SCHEMA, SELECTION_SCHEMA

LABELS = ("bolt", "nut", "washer", "gear", "key")
WIDTH, HEIGHT = 320, 240
MARGIN = 0.25
_COLORS = ((60, 60, 70), (120, 90, 40), (90, 100, 110), (50, 80, 60), (130, 60, 50))
_CORNERS = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Scene:
    """An image and what is truly on it."""

    image_id: str
    uri: str
    width: int
    height: int
    boxes: tuple[tuple[str, tuple[float, float, float, float]], ...]


def scenes(number: int = 40, seed: int = 0) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [_scene(index, rng) for index in range(number)]


def _scene(index: int, rng: np.random.Generator) -> Scene:
    boxes = []
    for _ in range(int(rng.integers(1, 6))):
        across, down = rng.uniform(24, 80, 2)
        left, top = rng.uniform(2, WIDTH - across - 2), rng.uniform(2, HEIGHT - down - 2)
        boxes.append((str(rng.choice(LABELS)), (left, top, left + across, top + down)))
    uri = f"/images/workshop_{index:03d}.jpg"
    return Scene(hashlib.sha256(uri.encode()).hexdigest(), uri, WIDTH, HEIGHT, tuple(boxes))


def labels_of(images: list[Scene]) -> tuple[str, ...]:
    return tuple(sorted({label for scene in images for label, _ in scene.boxes}))


def draw(scene: Scene) -> np.ndarray:
    """An image of coloured shapes on a noisy ground."""
    rng = np.random.default_rng(int(scene.image_id[:8], 16))
    ground = rng.integers(150, 190, (scene.height, scene.width, 3)).astype(np.uint8)
    image = Image.fromarray(ground)
    pen = ImageDraw.Draw(image)
    for label, corners in scene.boxes:
        place = LABELS.index(label)
        shape = pen.ellipse if place % 2 else pen.rectangle
        shape(corners, fill=_COLORS[place])
    return np.asarray(image)


def reader(images: list[Scene]):
    """Read images of scenes; an image that does not exist is an OSError."""
    by_uri = {scene.uri: scene for scene in images}

    def read(uri: str, longest_side_px: int) -> np.ndarray:
        if uri not in by_uri:
            raise FileNotFoundError(f"no such file: {uri}")
        image = Image.fromarray(draw(by_uri[uri]))
        image.thumbnail((longest_side_px, longest_side_px))
        return np.asarray(image)

    return read


def selection_table(images: list[Scene], seed: int = 1) -> pa.Table:
    """Jittered true boxes and some false ones, with scores that follow how right they are."""
    rng, certified = np.random.default_rng(seed), labels_of(images)[:3]
    rows = []
    for scene in images:
        for place, (label, corners) in enumerate([*scene.boxes, *_false_boxes(scene, rng)]):
            right = place < len(scene.boxes)
            score = float(np.clip(rng.normal(0.78 if right else 0.3, 0.15), 0.1, 0.99))
            consistency = float(np.clip(rng.normal(score - 0.05, 0.2), 0, 1))
            p_correct = float(np.clip(0.5 * score + 0.5 * consistency + (0.12 if right else -0.22), 0.01, 0.99))
            fate = "pseudo" if p_correct > 0.85 and label in certified else "ask"
            fate = "drop" if p_correct < 0.15 else fate
            jittered = np.clip(np.array(corners) + rng.normal(0, 2.5, 4), 0, [scene.width, scene.height] * 2)
            rows.append(
                {
                    "proposal_id": f"{scene.image_id[:8]}-{place}",
                    "image_id": scene.image_id,
                    **dict(zip(_CORNERS, map(float, jittered), strict=True)),
                    "label": label,
                    "score": score,
                    "entropy": 0.4,
                    "closeup_score": 0.8,
                    "model_id": "02c0ffee1234567890",
                    "consistency": consistency,
                    "hit_fraction": 0.75,
                    "mean_iou": 0.8,
                    "spread": 0.1,
                    "checks": 4,
                    "p_correct": p_correct,
                    "threshold": 0.85 if fate == "pseudo" else None,
                    "fate": fate,
                    "reason": {"pseudo": "above the threshold", "ask": "unsure", "drop": "surely wrong"}[fate],
                }
            )
    return pa.Table.from_pylist(rows, schema=SELECTION_SCHEMA)


def _false_boxes(scene: Scene, rng: np.random.Generator) -> list[tuple[str, tuple[float, float, float, float]]]:
    boxes = []
    for _ in range(int(rng.integers(1, 3))):
        side = float(rng.uniform(0.1, 0.3)) * min(scene.width, scene.height)
        left, top = rng.uniform(0, scene.width - side), rng.uniform(0, scene.height - side)
        boxes.append((scene.boxes[0][0], (left, top, left + side, top + side)))
    return boxes


def proposal_table(selection: pa.Table) -> pa.Table:
    """Where the detector put the boxes: here, just where the selection has them."""
    names = [name for name in PROPOSAL_SCHEMA.names if name in selection.column_names]
    return selection.select(names)


def check_table(selection: pa.Table, images: list[Scene], pastes: int = 4, seed: int = 2) -> pa.Table:
    """Pastes that fit into their hosts with their margin."""
    rng = np.random.default_rng(seed)
    rows = []
    for proposal in selection.to_pylist():
        for number in range(pastes):
            host = images[int(rng.integers(len(images)))]
            across, down = proposal["x2"] - proposal["x1"], proposal["y2"] - proposal["y1"]
            left = float(rng.uniform(MARGIN * across + 2, host.width - (1 + MARGIN) * across - 3))
            top = float(rng.uniform(MARGIN * down + 2, host.height - (1 + MARGIN) * down - 3))
            hit = bool(rng.random() < proposal["consistency"])
            redetection = (left + 2, top - 1, left + across - 1, top + down + 2) if hit else (None,) * 4
            pasted = (left, top, left + across, top + down)
            rows.append(
                {
                    "proposal_id": proposal["proposal_id"],
                    "number": number,
                    "shown_id": proposal["proposal_id"],
                    "host_id": host.image_id,
                    "host_kind": "class_free_image",
                    **{f"paste_{name}": value for name, value in zip(_CORNERS, pasted, strict=True)},
                    "margin": MARGIN,
                    "scale": 1.0,
                    "hit": hit,
                    "score": float(rng.uniform(0.4, 0.95)) if hit else 0.0,
                    "iou": 0.87 if hit else 0.0,
                    **dict(zip(_CORNERS, redetection, strict=True)),
                }
            )
    return pa.Table.from_pylist(rows, schema=CHECK_SCHEMA)


def queue_table(images: list[Scene], number: int = 10) -> pa.Table:
    rows = [
        {
            "image_id": scene.image_id,
            "rank": rank,
            "value": 0.9 - 0.05 * rank,
            "expected_corrections": 1.8 - 0.1 * rank,
            "expected_missed": 0.4,
            "boxes": len(scene.boxes),
            "kind": "audit" if rank == 4 else "ask",
            "reason": "3 unsure boxes, most of them gear" if rank != 4 else "audit of pseudo-labels, boxes hidden",
        }
        for rank, scene in enumerate(images[:number])
    ]
    return pa.Table.from_pylist(rows, schema=QUEUE_SCHEMA)


def sample_table(images: list[Scene], selection: pa.Table) -> pa.Table:
    """Rows of the scenes; unsure boxes of an image are its ignore regions, its true boxes were drawn by people."""
    unsure: dict[str, list[dict[str, Any]]] = {}
    for row in selection.to_pylist():
        if row["fate"] == "ask":
            corners = {name: row[name] for name in _CORNERS}
            unsure.setdefault(row["image_id"], []).append({**corners, "reason": "unsure"})
    rows = [
        {
            "image_id": scene.image_id,
            "uri": scene.uri,
            "width": scene.width,
            "height": scene.height,
            "split": "pool",
            "group_id": scene.image_id,
            "state": "pseudo",
            "boxes": [
                {"label": label, "source": ("import", "human", "accepted", "corrected", "pseudo")[place % 5]}
                for place, (label, _) in enumerate(scene.boxes)
            ],
            "ignore": unsure.get(scene.image_id, []),
            "fingerprint": "",
            "note": "",
            "cycle": 2,
        }
        for scene in images
    ]
    return pa.Table.from_pylist(rows, schema=SAMPLE_SCHEMA)
