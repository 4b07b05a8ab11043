from __future__ import annotations

import pytest

from pipeline.detector.models.unused_settings import unused_settings
from pipeline.settings import DetectorSettings, FocalSettings, TrainingSettings

OTHER = {
    "head_norm": "none" if DetectorSettings().head_norm == "group" else "group",
    "anchors_per_place": 10 - DetectorSettings().anchors_per_place,
}
"""What is not the default."""
TORCHVISION = {"backbone": "torchvision:resnet50", "weights": "none"}


@pytest.mark.parametrize(
    ("detector", "training", "keys"),
    [
        ({}, {}, []),
        ({"head_convs": 4, "anchor_scale": 2.0, "fpn_channels": 64}, {"focal": FocalSettings(gamma=1.0)}, []),
        ({"architecture": "fcos"}, {}, []),
        ({"architecture": "faster_rcnn", "roi_features": 64, "roi_proposals": 99}, {"classification": "ohem"}, []),
        ({"roi_features": 64, "roi_proposals": 99}, {}, ["detector.roi_features", "detector.roi_proposals"]),
        ({}, {"label_map": {"bolt": "nut"}}, ["training.label_map"]),
        ({}, {"label_map": {"bolt": "nut"}, "start_from": "models/0"}, []),
        ({"architecture": "fcos", "anchor_scale": 2.0}, {}, ["detector.anchor_scale"]),
        (
            {"architecture": "fcos", "head_norm": OTHER["head_norm"], "anchors_per_place": OTHER["anchors_per_place"]},
            {"assigner": "atss", "box_weight": 3.0},
            ["detector.head_norm", "detector.anchors_per_place", "training.assigner", "training.box_weight"],
        ),
        ({"head_norm": OTHER["head_norm"]}, {"assigner": "atss", "box_loss": "ciou"}, []),
        ({**TORCHVISION, "head_convs": 4}, {}, []),
        ({**TORCHVISION, "anchor_scale": 2.0, "anchors_per_place": 1}, {}, []),
        (
            {**TORCHVISION, "anchors_per_place": 9, "anchor_scale": 2.0, "fpn_channels": 64},
            {},
            ["detector.anchor_scale", "detector.fpn_channels"],
        ),
        ({"architecture": "faster_rcnn"}, {}, ["training.classification 'quality_focal'"]),
        ({"architecture": "faster_rcnn"}, {"classification": "focal"}, ["training.classification 'focal'"]),
        ({"architecture": "faster_rcnn"}, {"classification": "cross_entropy"}, []),
        ({"architecture": "faster_rcnn"}, {"classification": "ohem"}, []),
        (
            {"architecture": "faster_rcnn", "head_convs": 4, "anchor_scale": 2.0},
            {"focal": FocalSettings(gamma=1.0)},
            ["training.classification 'quality_focal'", "training.focal", "detector.head_convs"],
        ),
    ],
)  # fmt: skip
def test_what_a_network_has_no_use_for(detector, training, keys):
    sentences = unused_settings(DetectorSettings(**detector), TrainingSettings(**training))
    assert [sentence.partition(" has no effect on ")[0] for sentence in sentences] == keys
    assert all(sentence.partition(": ")[2] for sentence in sentences)
