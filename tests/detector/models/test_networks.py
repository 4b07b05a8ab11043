from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from pipeline.detector.models.networks import BatchNormalize
from tests.detector.small import ARCHITECTURES, detector, noise


def test_pixels_are_normalised_and_nothing_is_resized():
    transform = BatchNormalize(1, 1, [0.5, 0.25, 0.0], [0.5, 0.25, 1.0])
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 32, 64)
    pixels, targets = transform(images, [{"boxes": torch.zeros(0, 4)}] * 2)
    assert pixels.tensors.shape == (2, 3, 32, 64)
    assert pixels.tensors[0, :, 0, 0].tolist() == pytest.approx([-1.0, 3.0, 0.2])
    assert pixels.image_sizes == [(32, 64)] * 2
    assert len(targets) == 2
    found = [{"boxes": torch.ones(1, 4)}]
    assert transform.postprocess(found, [(32, 64)], [(64, 128)]) is found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_settings_reach_the_network(architecture):
    few = detector(architecture, score_floor=0.0, max_detections=7, nms_iou=1.0).eval()
    with torch.no_grad():
        (found,) = few(noise(1))
    assert len(found["boxes"]) == 7
    none = detector(architecture, score_floor=1.0).eval()
    with torch.no_grad():
        (found,) = none(noise(1))
    assert found["boxes"].shape == (0, 4)
    assert found["embeddings"].shape == (0, 8)


@pytest.mark.parametrize(("scale", "expected"), [(2.0, 16.0), (4.0, 32.0)])
@pytest.mark.parametrize("architecture", ["retinanet", "faster_rcnn"])
def test_the_smallest_anchor_is_so_many_strides_wide(architecture, scale, expected):
    model = detector(architecture, anchor_scale=scale).network
    generator = model.anchor_generator if architecture == "retinanet" else model.rpn.anchor_generator
    levels = [torch.zeros(1, 1, 64 // stride or 1, 64 // stride or 1) for stride in (8, 16, 32, 64, 128)]
    anchors = generator(ImageList(torch.zeros(1, 3, 64, 64), [(64, 64)]), levels)[0]
    sides = (anchors[:, 2:] - anchors[:, :2]).prod(1).sqrt()
    assert sides.min().item() == pytest.approx(expected, rel=0.05)
    assert sides.max().item() >= expected * 16 * 0.95  # the same number of strides at the last level


@pytest.mark.parametrize("architecture", ["retinanet", "fcos"])
@pytest.mark.parametrize("convolutions", [1, 3])
def test_a_head_has_so_many_convolutions(architecture, convolutions):
    head = detector(architecture, head_convs=convolutions).network.head
    for part in (head.classification_head, head.regression_head):
        found = [module for module in part.conv.modules() if isinstance(module, torch.nn.Conv2d)]
        assert len(found) == convolutions


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_half_precision_ends_where_boxes_begin(architecture):
    """bfloat16 tells neighbours 2 pixels apart at 300; anchors, scores and coordinates are float32."""
    model = detector(architecture, image_size_px=320, score_floor=0.0, nms_iou=1.0, max_detections=1000).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (found,) = model(noise(1, size=320))
    assert found["boxes"].dtype == found["scores"].dtype == found["embeddings"].dtype == torch.float32
    inside = ((found["boxes"] > 1) & (found["boxes"] < 319)).all(1)
    corners = found["boxes"][inside]
    assert inside.sum() > 50
    assert (corners != corners.bfloat16().float()).float().mean() > 0.5
    assert (found["embeddings"].norm(dim=1) - 1).abs().max() < 1e-5
