"""A small made-up project whose numbers hang together, for the tests of the pages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from pipeline.detector.evaluation.error_types import ERROR_TYPES
from pipeline.records import CHECK_SCHEMA, QUEUE_SCHEMA, SAMPLE_SCHEMA, SELECTION_SCHEMA, ImportIssue
from pipeline.report import CycleContents, Turn, read_artefact
from pipeline.report.artefacts import Harvest, MiningCost, Opening, Push, Selected, Version
from pipeline.report.data_tables import count_boxes
from pipeline.report.measures import AuditCount, Calibration, Certificates, Gate, Training

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LABELS = ("bolt", "nut", "washer", "gear", "key")
WIDTH, HEIGHT = 320, 240


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


def draw(scene: Scene) -> np.ndarray:
    """An image of coloured shapes on a noisy ground."""
    rng = np.random.default_rng(int(scene.image_id[:8], 16))
    ground = rng.integers(150, 190, (scene.height, scene.width, 3)).astype(np.uint8)
    image = Image.fromarray(ground)
    pen = ImageDraw.Draw(image)
    for label, corners in scene.boxes:
        place = LABELS.index(label) if label in LABELS else 0
        color = [(60, 60, 70), (120, 90, 40), (90, 100, 110), (50, 80, 60), (130, 60, 50)][place]
        shape = pen.ellipse if place % 2 else pen.rectangle
        shape(corners, fill=color)
    return np.asarray(image)


def reader(known: list[Scene]):
    """Read images of scenes; an image that does not exist is an OSError."""
    by_uri = {scene.uri: scene for scene in known}

    def read(uri: str, longest_side_px: int) -> np.ndarray:
        if uri not in by_uri:
            raise FileNotFoundError(f"no such file: {uri}")
        image = Image.fromarray(draw(by_uri[uri]))
        image.thumbnail((longest_side_px, longest_side_px))
        return np.asarray(image)

    return read


def metrics(level: float, labels=LABELS, images: int = 80) -> dict[str, Any]:
    """`M` of `metrics.json`: every class a little apart, mean at `level`."""
    spread = np.linspace(-0.1, 0.1, len(labels))
    per_class = {
        label: {
            "ap": round(level + float(off), 4),
            "ap50": round(level + 0.25 + float(off), 4),
            "n": 40 + 7 * place,
            "ap_small": -1,
            "ap_medium": round(level + float(off), 4),
            "ap_large": round(level + 0.1 + float(off), 4),
            "interval": [round(level + float(off) - 0.05, 4), round(level + float(off) + 0.05, 4)],
        }
        for place, (label, off) in enumerate(zip(labels, spread, strict=True))
    }
    return {
        "map": level,
        "map50": round(level + 0.25, 4),
        "map75": round(level - 0.05, 4),
        "map_small": None,
        "map_medium": level,
        "map_large": round(level + 0.1, 4),
        "per_class": per_class,
        "images": images,
        "boxes": sum(one["n"] for one in per_class.values()),
        "interval": [round(level - 0.03, 4), round(level + 0.03, 4)],
        "errors": {
            kind: {"count": 10 * place, "ap50": round(0.02 * place, 4)} for place, kind in enumerate(ERROR_TYPES)
        },
        "curves": {
            "precision_recall": {label: np.linspace(1, 0, 21).round(4).tolist() for label in labels},
            "reliability": [[0.15, 0.1, 60], [0.95, 0.9, 20]],
        },
    }


def gate(cycle: int, level: float, promoted: bool = True, labels=LABELS, **values: Any) -> Gate:
    fields = {
        "candidate": f"{cycle:02d}c0ffee1234567890",
        "champion": f"{cycle - 1:02d}c0ffee1234567890" if cycle else None,
        "promoted": promoted,
        "why": "not worse on val than the champion" if promoted else "val mAP 0.310 is below the champion's 0.342",
        "val": metrics(round(level + 0.01, 4), labels, 40),
        "test": metrics(level, labels, 80),
        "champion_val": metrics(round(level - 0.02, 4), labels, 40) if cycle else None,
    }
    if cycle:
        fields["gap"] = [-0.01, 0.05]
        fields["forgotten"] = [{"label": labels[0], "before": 0.5, "after": 0.41, "interval": [-0.16, -0.02]}]
    return read_artefact(Gate, {**fields, **values}, "metrics.json")


def turns(number: int = 3, labels=LABELS) -> tuple[Turn, ...]:
    levels = 0.361 + 0.0256 * np.arange(number)
    return tuple(
        Turn(
            cycle=cycle,
            opened_at=MOMENT + timedelta(days=cycle),
            gate=gate(cycle, round(float(level), 4), labels=labels),
            labeled_images=24 + 10 * cycle,
            labeled_boxes=140 + 61 * cycle,
            asked_images=10,
            asked_boxes=43,
            answered_images=10 if cycle else 0,
            answered_boxes=61 if cycle else 0,
            hours=0.7 if cycle else None,
            pseudo_images=30 * cycle,
            pseudo_boxes=156 * cycle,
            certified=min(cycle, 2) + (cycle > 0),
            classes=len(labels),
        )
        for cycle, level in enumerate(levels)
    )


def versions(number: int = 5) -> tuple[Version, ...]:
    reasons = ("import", "pseudo-labels and queue", "harvest", "pseudo-labels and queue", "harvest")
    return tuple(
        read_artefact(
            Version,
            {
                "number": place,
                "parent": place - 1 if place else None,
                "timestamp": (MOMENT + timedelta(hours=12 * place)).isoformat(),
                "reason": reasons[place % len(reasons)],
                "cycle": (place + 1) // 2,
                "model_id": f"{place:02d}c0ffee1234567890" if place % 2 else None,
                "counts": {
                    "images": {
                        "pool": 240 - 40 * place,
                        "queued": 10,
                        "labeled": 144 + 5 * place,
                        "pseudo": 30 * place,
                    },
                    "splits": {"train": 24, "val": 40, "test": 80, "pool": 240},
                    "boxes": {"import": 900, "human": 40 * place, "pseudo": 150 * place},
                    "labels": dict.fromkeys(LABELS, 200),
                },
                "change": {
                    "images": {"pool->queued": 10, "pool->pseudo": 30},
                    "added": {"human": 40, "pseudo": 150},
                    "removed": {"pseudo": 12},
                    "added_labels": {"bolt": 120, "nut": 70},
                    "removed_labels": {"bolt": 12},
                }
                if place
                else None,
            },
            "history",
        )
        for place in range(number)
    )


def calibration() -> Calibration:
    evidence = {
        "confidence": {"auroc": 0.917, "ap": 0.881, "ece": 0.083, "brier": 0.121, "recall_at_p95": 0.356},
        "consistency": {"auroc": 0.903, "ap": 0.852, "ece": None, "brier": None, "recall_at_p95": 0.301},
        "closeup_score": {"auroc": 0.936, "ap": 0.901, "ece": None, "brier": None, "recall_at_p95": 0.344},
        "product": {"auroc": 0.939, "ap": 0.907, "ece": None, "brier": None, "recall_at_p95": 0.388},
        "crosscheck": {
            "auroc": 0.944,
            "ap": 0.915,
            "ece": 0.021,
            "brier": 0.086,
            "recall_at_p95": 0.441,
            "auroc_interval": [0.931, 0.957],
        },
    }
    middle = np.linspace(0.05, 0.95, 10)
    sizes = (310, 120, 64, 41, 33, 30, 36, 52, 88, 226)
    reliability = {
        "crosscheck": [[float(p), float(np.clip(p + 0.015, 0, 1)), n] for p, n in zip(middle, sizes, strict=True)],
        "confidence": [[float(p), float(p**1.7), n] for p, n in zip(middle, sizes, strict=True)],
    }
    recall = [
        {"label": "bolt", "size": "medium", "objects": 212, "found": 204, "lower": 0.927, "upper": 0.984},
        {"label": "bolt", "size": "small", "objects": 31, "found": 17, "lower": 0.360, "upper": 0.727},
        {"label": "gear", "size": "large", "objects": 88, "found": 88, "lower": 0.959, "upper": 1.0},
    ]
    values = {"boxes": 1000, "evidence": evidence, "reliability": reliability, "recall": recall}
    return read_artefact(Calibration, values, "calibration.json")


def certificates(labels=LABELS) -> Certificates:
    known = {
        label: {"certified": True, "threshold": 0.83 + 0.02 * place, "boxes": 140, "right": 139, "lower_bound": 0.961}
        if place < 3
        else {
            "certified": False,
            "threshold": None,
            "boxes": 31,
            "right": 29,
            "lower_bound": None,
            "needed": "about 28 more held-back boxes at this precision",
        }
        for place, label in enumerate(labels)
    }
    return read_artefact(Certificates, {"target": 0.95, "confidence": 0.95, "classes": known}, "certificates.json")


ISSUES = (
    ImportIssue("/images/zero.jpg", "unreadable", "expected an image, got a file of 0 bytes", "quarantined"),
    ImportIssue("/images/half.jpg", "unreadable", "the file ends after 40 % of the image", "quarantined"),
    ImportIssue("/images/cmyk.jpg", "converted", "CMYK colours were turned into RGB", "converted"),
    ImportIssue("/images/twin.jpg", "near_duplicate", "near-duplicate of /images/one.jpg in val", "moved_to_train"),
)


def selection_table(known: list[Scene], seed: int = 1) -> pa.Table:
    """Jittered true boxes and some false ones, with scores that follow how right they are."""
    rng = np.random.default_rng(seed)
    rows = []
    for scene in known:
        for place, (label, corners) in enumerate([*scene.boxes, *_false_boxes(scene, rng)]):
            right = place < len(scene.boxes)
            score = float(np.clip(rng.normal(0.78 if right else 0.3, 0.15), 0.1, 0.99))
            consistency = float(np.clip(rng.normal(score - 0.05, 0.2), 0, 1))
            p_correct = float(np.clip(0.5 * score + 0.5 * consistency + (0.12 if right else -0.22), 0.01, 0.99))
            fate = "pseudo" if p_correct > 0.85 and label in known_labels(known)[:3] else "ask"
            fate = "drop" if p_correct < 0.15 else fate
            jittered = np.clip(np.array(corners) + rng.normal(0, 2.5, 4), 0, [scene.width, scene.height] * 2)
            rows.append(
                {
                    "proposal_id": f"{scene.image_id[:8]}-{place}",
                    "image_id": scene.image_id,
                    **dict(zip(("x1", "y1", "x2", "y2"), map(float, jittered), strict=True)),
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


def known_labels(known: list[Scene]) -> tuple[str, ...]:
    return tuple(sorted({label for scene in known for label, _ in scene.boxes}))


def _false_boxes(scene: Scene, rng: np.random.Generator) -> list[tuple[str, tuple[float, float, float, float]]]:
    found = []
    for _ in range(int(rng.integers(1, 3))):
        side = float(rng.uniform(0.1, 0.3)) * min(scene.width, scene.height)
        left, top = rng.uniform(0, scene.width - side), rng.uniform(0, scene.height - side)
        label = scene.boxes[0][0] if scene.boxes else "bolt"
        found.append((label, (left, top, left + side, top + side)))
    return found


def check_table(selection: pa.Table, known: list[Scene], pastes: int = 4, seed: int = 2) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = []
    for proposal in selection.to_pylist():
        for _ in range(pastes):
            host = known[int(rng.integers(len(known)))]
            across, down = proposal["x2"] - proposal["x1"], proposal["y2"] - proposal["y1"]
            left = float(rng.uniform(0, max(host.width - across, 1)))
            top = float(rng.uniform(0, max(host.height - down, 1)))
            hit = bool(rng.random() < proposal["consistency"])
            found = [left + 2, top - 1, left + across - 1, top + down + 2] if hit else [None] * 4
            rows.append(
                {
                    "proposal_id": proposal["proposal_id"],
                    "host_id": host.image_id,
                    "host_kind": "class_free",
                    **dict(
                        zip(
                            ("paste_x1", "paste_y1", "paste_x2", "paste_y2"),
                            (left, top, left + across, top + down),
                            strict=True,
                        )
                    ),
                    "margin": 0.25,
                    "scale": 1.0,
                    "hit": hit,
                    "score": float(rng.uniform(0.4, 0.95)) if hit else 0.0,
                    "iou": 0.87 if hit else 0.0,
                    **dict(zip(("x1", "y1", "x2", "y2"), found, strict=True)),
                }
            )
    return pa.Table.from_pylist(rows, schema=CHECK_SCHEMA)


def queue_table(known: list[Scene], number: int = 10) -> pa.Table:
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
        for rank, scene in enumerate(known[:number])
    ]
    return pa.Table.from_pylist(rows, schema=QUEUE_SCHEMA)


def sample_table(known: list[Scene], selection: pa.Table) -> pa.Table:
    """Rows of the scenes; unsure boxes of an image are its ignore regions, its true boxes were drawn by people."""
    unsure: dict[str, list[dict[str, Any]]] = {}
    for row in selection.to_pylist():
        if row["fate"] == "ask":
            corners = {name: row[name] for name in ("x1", "y1", "x2", "y2")}
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
        for scene in known
    ]
    return pa.Table.from_pylist(rows, schema=SAMPLE_SCHEMA)


def opening(cycle: int = 2, name: str = "workshop parts") -> Opening:
    values = {"cycle": cycle, "opened_at": (MOMENT + timedelta(days=cycle)).isoformat(), "name": name}
    return read_artefact(Opening, {**values, "settings_digest": "a1b2c3d4e5f6", "seed": 7}, "cycle.json")


def cycle_contents(known: list[Scene] | None = None, **fields: Any) -> CycleContents:
    """The third cycle of a project where everything happened."""
    known = scenes() if known is None else known
    labels = known_labels(known) or LABELS
    selection = selection_table(known)
    samples = sample_table(known, selection)
    curve = [
        {"step": step, "loss": 1.4 / (1 + step / 60) + 0.2, "parts": {"box": 0.2}, "lr": 1e-3}
        for step in range(0, 300, 10)
    ]
    fates = selection["fate"].to_pylist()
    pseudo_boxes = fates.count("pseudo")
    pseudo_images = len({row["image_id"] for row in selection.to_pylist() if row["fate"] == "pseudo"})
    *earlier, last = turns(labels=labels)
    values: dict[str, Any] = {
        "opening": opening(),
        "turns": (*earlier, replace(last, pseudo_boxes=pseudo_boxes, pseudo_images=pseudo_images)),
        "versions": versions(),
        "class_sources": count_boxes(samples),
        "harvest": read_artefact(
            Harvest,
            {
                "answered": 10,
                "skipped": 1,
                "empty": 2,
                "boxes": {"human": 21, "accepted": 30, "corrected": 10},
                "hours": 0.7,
                "annotators": {"ana": 6, "ben": 4},
                "notes": [["task 17", "a box was rotated by 12 degrees: its hull was taken"]],
            },
            "harvest.json",
        ),
        "training": read_artefact(
            Training, {"steps": 300, "seconds": 96.4, "images_per_s": 24.9, "curve": curve}, "training.json"
        ),
        "calibration": calibration(),
        "certificates": certificates(labels),
        "selected": Selected(
            version=4, pseudo_images=pseudo_images, pseudo_boxes=pseudo_boxes, queued=10, dropped=fates.count("drop")
        ),
        "audit": {label: AuditCount(22 + place, 21 + place) for place, label in enumerate(labels[:3])},
        "push": read_artefact(Push, {"created": 10, "existing": 0}, "push.json"),
        "issues": ISSUES,
        "stage_seconds": {"harvest": 1.2, "finetune": 96.4, "mine": 41.8, "select": 2.2, "push": 0.8},
        "mining": MiningCost(2900, 410, 640, 1160, 210, 91, {"decode": 1.2, "detect": 11.0, "paste": 4.1}),
        "samples": samples,
        "selection": selection,
        "queue": queue_table(known),
        "checks": check_table(selection, known),
        "settings_yaml": "name: workshop parts\nseed: 7\n",
        "commands": ("crosscheck cycle --config configs/demo.yaml",),
    }
    return CycleContents(**{**values, **fields})


def first_cycle(**fields: Any) -> CycleContents:
    """A cycle that has made nothing yet."""
    return CycleContents(opening=opening(0), turns=(Turn(cycle=0, opened_at=MOMENT),), **fields)


def with_metrics(contents: CycleContents, **fields: Any) -> CycleContents:
    """The same cycle with another gate."""
    *earlier, last = contents.turns
    assert last.gate is not None
    return replace(contents, turns=(*earlier, replace(last, gate=replace(last.gate, **fields))))
