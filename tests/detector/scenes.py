"""Made-up evaluations: detections beside the truth without a detector."""

from __future__ import annotations

import numpy as np

from pipeline.detector.evaluation.labeled_detections import LabeledDetections

LABELS = ("bolt", "nut", "gear")


def labeled_detections(*images, labels=LABELS) -> LabeledDetections:
    """From images `(true boxes, ignore regions, detections)`: `(corners, class)`, corners, `(corners, score, class)`.

    Numbers of classes are from 1.
    """
    true = [(n, *box) for n, (boxes, _, _) in enumerate(images) for box in boxes]
    regions = [(n, region) for n, (_, regions, _) in enumerate(images) for region in regions]
    answers = [(n, *box) for n, (_, _, answers) in enumerate(images) for box in sorted(answers, key=lambda a: -a[1])]
    return LabeledDetections(
        labels=labels,
        image_ids=tuple(f"image {n}" for n in range(len(images))),
        sizes=np.full((len(images), 2), 200),
        image=np.array([n for n, *_ in answers], dtype=np.int64),
        boxes=corners([box for _, box, _, _ in answers]),
        scores=np.array([score for _, _, score, _ in answers], dtype=np.float64),
        classes=np.array([number for *_, number in answers], dtype=np.int64),
        true_image=np.array([n for n, *_ in true], dtype=np.int64),
        true_boxes=corners([box for _, box, _ in true]),
        true_classes=np.array([number for *_, number in true], dtype=np.int64),
        region_image=np.array([n for n, _ in regions], dtype=np.int64),
        regions=corners([region for _, region in regions]),
    )


def corners(rows):
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def random_detections(seed, images=12, labels=LABELS) -> LabeledDetections:
    """Images as a fair detector might have seen them, with some ignore regions and equal scores."""
    return labeled_detections(*random_images(seed, images, len(labels)), labels=labels)


def random_images(seed, images=12, classes=3):
    random = np.random.default_rng(seed)

    def place(low=10, high=60):
        x, y = random.integers(0, 140, 2)
        width, height = random.integers(low, high, 2)
        return (x, y, x + width, y + height)

    rows = []
    for _ in range(images):
        true = [(place(), int(random.integers(1, classes + 1))) for _ in range(random.integers(0, 5))]
        regions = [place(40, 90) for _ in range(random.random() < 0.3)]
        answers = []
        for box, number in true:
            for _ in range(random.integers(0, 3)):
                moved = tuple(np.array(box) + random.integers(-6, 7, 4) * (random.random() < 0.7))
                wrong = random.random() < 0.2
                label = int(random.integers(1, classes + 1)) if wrong else number
                answers.append((moved, round(float(random.random()), 1), label))
        answers += [(place(), round(float(random.random()), 1), int(random.integers(1, classes + 1))) for _ in range(3)]
        rows.append((true, regions, answers))
    return rows
