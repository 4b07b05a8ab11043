"""A small made-up project whose numbers hang together, for the tests of the pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from pipeline.artefacts import (
    ERROR_TYPES,
    AuditCount,
    Calibration,
    Certificate,
    Certificates,
    ClassMetrics,
    Curves,
    CycleHarvest,
    ErrorCost,
    ForgottenClass,
    GateOutcome,
    Metrics,
    MiningCost,
    MiningRun,
    Opening,
    PastedBoxes,
    PushRun,
    Recall,
    ScoreQuality,
    SelectionRun,
    TrainingRun,
    TrainingStep,
    TrainingSummary,
)
from pipeline.dataset.diff import ChangeCounts
from pipeline.dataset.versions import Version
from pipeline.records import ImportIssue
from pipeline.report import CycleContents, Turn
from pipeline.report.data_tables import count_boxes
from tests.report.scenes import (
    LABELS,
    Scene,
    check_table,
    labels_of,
    proposal_table,
    queue_table,
    sample_table,
    scenes,
    selection_table,
)

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOT_MEASURED = Metrics(map=None, map50=None, map75=None)
"""Of a split without true boxes."""
CHANGE = ChangeCounts(
    images={"pool->queued": 10, "pool->pseudo": 30},
    added={"human": 40, "pseudo": 150},
    removed={"pseudo": 12},
    added_labels={"bolt": 120, "nut": 70},
    removed_labels={"bolt": 12},
)
ISSUES = (
    ImportIssue("/images/zero.jpg", "unreadable", "expected an image, got a file of 0 bytes", "quarantined"),
    ImportIssue("/images/half.jpg", "unreadable", "the file ends after 40 % of the image", "quarantined"),
    ImportIssue("/images/cmyk.jpg", "converted", "CMYK colours were turned into RGB", "converted"),
    ImportIssue("/images/twin.jpg", "near_duplicate", "near-duplicate of /images/one.jpg in val", "moved_to_train"),
)


def metrics(level: float, labels=LABELS, images: int = 80) -> Metrics:
    """Every class a little apart, mean at `level`."""
    per_class = {
        label: ClassMetrics(
            ap=round(level + off, 4),
            ap50=round(level + 0.25 + off, 4),
            ap_small=None,
            ap_medium=round(level + off, 4),
            ap_large=round(level + 0.1 + off, 4),
            boxes=40 + 7 * place,
            interval=(round(level + off - 0.05, 4), round(level + off + 0.05, 4)),
        )
        for place, (label, off) in enumerate(zip(labels, np.linspace(-0.1, 0.1, len(labels)).tolist(), strict=True))
    }
    return Metrics(
        map=level,
        map50=round(level + 0.25, 4),
        map75=round(level - 0.05, 4),
        map_small=None,
        map_medium=level,
        map_large=round(level + 0.1, 4),
        images=images,
        boxes=sum(own.boxes for own in per_class.values()),
        per_class=per_class,
        interval=(round(level - 0.03, 4), round(level + 0.03, 4)),
        errors={kind: ErrorCost(10 * place, round(0.02 * place, 4)) for place, kind in enumerate(ERROR_TYPES)},
        curves=Curves(
            precision_recall={label: tuple(np.linspace(1, 0, 21).round(4).tolist()) for label in labels},
            reliability=((0.15, 0.1, 60), (0.95, 0.9, 20)),
        ),
    )


def gate(cycle: int, level: float, promoted: bool = True, labels=LABELS, **fields: Any) -> GateOutcome:
    outcome = GateOutcome(
        candidate=f"{cycle:02d}c0ffee1234567890",
        champion=f"{cycle - 1:02d}c0ffee1234567890" if cycle else None,
        promoted=promoted,
        why="not worse on val than the champion" if promoted else "val mAP 0.310 is below the champion's 0.342",
        val=metrics(round(level + 0.01, 4), labels, 40),
        test=metrics(level, labels, 80),
        champion_val=metrics(round(level - 0.02, 4), labels, 40) if cycle else None,
        gap=(-0.01, 0.05) if cycle else None,
        forgotten=(ForgottenClass(labels[0], 0.5, 0.41, (-0.16, -0.02)),) if cycle else (),
    )
    return replace(outcome, **fields)


def turns(number: int = 3, labels=LABELS) -> tuple[Turn, ...]:
    levels = 0.361 + 0.0256 * np.arange(number)
    return tuple(
        Turn(
            cycle=cycle,
            opened_at=MOMENT + timedelta(days=cycle),
            gate=gate(cycle, round(float(level), 4), labels=labels),
            labeled_images=24 + 10 * cycle,
            taught_images=24 + 10 * cycle,
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
        Version(
            number=place,
            parent=place - 1 if place else None,
            timestamp=MOMENT + timedelta(hours=12 * place),
            reason=reasons[place % len(reasons)],
            cycle=(place + 1) // 2,
            model_id=f"{place:02d}c0ffee1234567890" if place % 2 else "",
            counts={
                "images": {"pool": 240 - 40 * place, "queued": 10, "labeled": 144 + 5 * place, "pseudo": 30 * place},
                "splits": {"train": 24, "val": 40, "test": 80, "pool": 240},
                "boxes": {"import": 900, "human": 40 * place, "pseudo": 150 * place},
                "labels": dict.fromkeys(LABELS, 200),
            },
        )
        for place in range(number)
    )


def changes(number: int = 5) -> dict[int, ChangeCounts]:
    """Of `versions`."""
    return dict.fromkeys(range(1, number), CHANGE)


def calibration() -> Calibration:
    middle = np.linspace(0.05, 0.95, 10)
    sizes = (310, 120, 64, 41, 33, 30, 36, 52, 88, 226)
    raw = tuple((float(p), float(p**1.7), size) for p, size in zip(middle, sizes, strict=True))
    fused = tuple((float(p), float(np.clip(p + 0.015, 0, 1)), size) for p, size in zip(middle, sizes, strict=True))
    return Calibration(
        boxes=1000,
        scores={
            "confidence": ScoreQuality(0.917, None, 0.881, 0.083, 0.121, 0.356, raw),
            "consistency": ScoreQuality(0.903, ap=0.852, recall_at_p95=0.301),
            "close-up": ScoreQuality(0.936, ap=0.901, recall_at_p95=0.344),
            "augmented view": ScoreQuality(0.931, ap=0.899, recall_at_p95=0.351),
            "product": ScoreQuality(0.939, ap=0.907, recall_at_p95=0.388),
            "crosscheck": ScoreQuality(0.944, (0.931, 0.957), 0.915, 0.021, 0.086, 0.441, fused),
        },
        recall=(
            Recall("bolt", "medium", 212, 204, 0.927, 0.984),
            Recall("bolt", "small", 31, 17, 0.360, 0.727),
            Recall("gear", "large", 88, 88, 0.959, 1.0),
        ),
    )


def certificate(label: str = "bolt", certified: bool = True, **fields: Any) -> Certificate:
    if certified:
        own = Certificate(label, True, threshold=0.83, boxes=140, right=139, lower_bound=0.961)
    else:
        needed = "about 28 more held-back boxes at this precision"
        own = Certificate(label, False, threshold=None, boxes=31, right=29, lower_bound=None, needed=needed)
    return replace(own, **fields)


def certificates(*classes: Certificate) -> Certificates:
    return Certificates(
        model_id="02c0ffee1234567890",
        calibration_set="a1b2c3d4e5f6",
        target=0.95,
        confidence=0.95,
        correlation=0.1,
        classes={own.label: own for own in classes},
    )


def opening(cycle: int = 2, name: str = "workshop parts") -> Opening:
    return Opening(cycle, MOMENT + timedelta(days=cycle), settings_digest="a1b2c3d4e5f6", seed=7, name=name)


def training(**fields: Any) -> TrainingRun:
    curve = tuple(TrainingStep(step, 1.4 / (1 + step / 60) + 0.2, {"box": 0.2}, 1e-3) for step in range(0, 300, 10))
    run = TrainingSummary(steps=300, train_seconds=96.4, images_per_s=24.9, curve=curve)
    return TrainingRun(
        candidate="02c0ffee1234567890", parent=None, dataset_version=3, run=replace(run, **fields), seconds=99.0
    )


def mining() -> MiningRun:
    return MiningRun(
        model_id="02c0ffee1234567890",
        images=240,
        held_back_images=40,
        cost=MiningCost(2900, 410, 640, 1160, 210, 91, 900, 870, 2610, {"decode": 1.2, "detect": 11.0, "paste": 4.1}),
        held_back_cost=MiningCost(480, 40, 480, 1920, 260, 17, 480, 480, 1920, {"decode": 0.2, "detect": 9.0}),
    )


def cycle_contents(images: list[Scene] | None = None, **fields: Any) -> CycleContents:
    """The third cycle of a project where everything happened."""
    images = scenes() if images is None else images
    labels = labels_of(images)
    selection = selection_table(images)
    samples = sample_table(images, selection)
    fates = selection["fate"].to_pylist()
    pseudo_boxes = fates.count("pseudo")
    pseudo_images = len({row["image_id"] for row in selection.to_pylist() if row["fate"] == "pseudo"})
    *earlier, last = turns(labels=labels)
    promises = [
        certificate(label, place < 3, **({"threshold": 0.83 + 0.02 * place} if place < 3 else {}))
        for place, label in enumerate(labels)
    ]
    values: dict[str, Any] = {
        "opening": opening(),
        "turns": (*earlier, replace(last, pseudo_boxes=pseudo_boxes, pseudo_images=pseudo_images)),
        "versions": versions(),
        "changes": changes(),
        "class_sources": count_boxes(samples),
        "harvest": CycleHarvest(
            answered=10,
            skipped=1,
            empty=2,
            boxes={"human": 21, "accepted": 30, "corrected": 10},
            hours=0.7,
            annotators={"ana": 6, "ben": 4},
            notes=(("task 17", "a box was rotated by 12 degrees: its hull was taken"),),
        ),
        "training": training(),
        "calibration": calibration(),
        "certificates": certificates(*promises),
        "selected": SelectionRun(
            version=4,
            pseudo_images=pseudo_images,
            pseudo_boxes=pseudo_boxes,
            queued=10,
            dropped=fates.count("drop"),
            pasted={"pseudo": PastedBoxes(50, 50, 110, 99), "soft": PastedBoxes(40, 30, 60, 30)},
        ),
        "audit": {label: AuditCount(22 + place, 21 + place) for place, label in enumerate(labels[:3])},
        "push": PushRun(created=10),
        "issues": ISSUES,
        "stage_seconds": {"harvest": 1.2, "finetune": 96.4, "mine": 41.8, "select": 2.2, "push": 0.8},
        "mining": mining(),
        "samples": samples,
        "selection": selection,
        "proposals": proposal_table(selection),
        "queue": queue_table(images),
        "checks": check_table(selection, images),
        "settings_yaml": "name: workshop parts\nseed: 7\n",
        "commands": ("crosscheck cycle --config configs/demo.yaml",),
    }
    return CycleContents(**{**values, **fields})


def first_cycle(**fields: Any) -> CycleContents:
    """A cycle that has made nothing yet."""
    return CycleContents(opening=opening(0), turns=(Turn(cycle=0, opened_at=MOMENT),), **fields)
