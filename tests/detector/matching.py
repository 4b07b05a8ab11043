"""The rule for "this box is right" as a plain loop."""

from __future__ import annotations

from torchvision.ops import box_iou

from pipeline.boxes import as_boxes


def match_in_a_loop(answers, true, iou):
    """COCO's greedy matching of one image, box by box.

    Args:
        answers: `(corners, label, score)` each.
        true: `(corners, label)` each.
        iou: Least overlap; boxes that do not touch never match.

    Returns:
        For each answer the number of its true box, -1 for none.
    """
    matched, free = [-1] * len(answers), set(range(len(true)))
    for index in sorted(range(len(answers)), key=lambda i: -answers[i][2]):
        corners, label, _ = answers[index]
        best, most = -1, 0.0
        for number in sorted(free):
            overlap = overlap_of(corners, true[number][0]) if label == true[number][1] else 0.0
            if overlap > 0 and overlap >= min(iou, 1 - 1e-10) and overlap >= most:  # of equals the last
                best, most = number, overlap
        if best >= 0:
            matched[index] = best
            free.discard(best)
    return matched


def overlap_of(corners, others):
    return float(box_iou(as_boxes([corners]).double(), as_boxes([others]).double()))
