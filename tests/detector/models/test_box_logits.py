from __future__ import annotations

import pytest
import torch
from torchvision.ops import box_iou

from pipeline.boxes import as_boxes
from pipeline.detector.models.box_logits import box_logits
from tests.detector.small import ARCHITECTURES, LEFT, RIGHT, detector, noise


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_logit_of_each_class_for_each_box(architecture):
    model = detector(architecture).eval()
    logits = box_logits(model, noise(), as_boxes([LEFT, RIGHT]))
    assert logits.shape == (2, 2)
    assert logits.isfinite().all()
    torch.testing.assert_close(box_logits(model, noise(), as_boxes([RIGHT])), logits[1:])
    assert box_logits(model, noise(), as_boxes([])).shape == (0, 2)


@pytest.mark.parametrize("architecture", ARCHITECTURES[:2])
def test_the_box_that_fits_best_answers(architecture):
    model = detector(architecture, score_floor=0.0, nms_iou=1.0, max_detections=1000).eval()
    (found,) = model(noise())
    best = box_iou(as_boxes([RIGHT]), found["boxes"]).argmax()
    label, box = found["labels"][best], found["boxes"][best]
    logit = box_logits(model, noise(), box[None])[0, label - 1]
    if architecture == "retinanet":  # FCOS also weighs by centerness
        torch.testing.assert_close(logit.sigmoid(), found["scores"][best])
    else:
        assert logit.sigmoid() > 0
