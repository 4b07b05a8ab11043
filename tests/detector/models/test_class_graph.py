from __future__ import annotations

import math

import pytest
import torch

from pipeline.dataset.merging.label_map import LabelMap
from pipeline.detector.models.class_graph import class_graph, propagate
from pipeline.errors import DataError
from tests.detector.small import ARCHITECTURES, detector, weights_of

THERE = ("bolt", "nut", "gear")
HERE = ("screw", "nut", "washer")
CLASS_LAYERS = {
    "retinanet": {"network.head.classification_head.cls_logits": (9, 1)},
    "fcos": {"network.head.classification_head.cls_logits": (1, 1)},
    "faster_rcnn": {
        "network.roi_heads.box_predictor.cls_score": (1, 1),
        "network.roi_heads.box_predictor.bbox_pred": (1, 4),
    },
}
"""Anchors, and values of each class."""


def rows(weights, layer, kind, classes):
    """Tensor[anchors, classes, values, ...]: the layer, one block per class."""
    anchors, values = layer[1]
    tensor = weights[f"{layer[0]}.{kind}"]
    assert len(tensor) == anchors * classes * values
    blocks = [
        [
            tensor[anchor * classes * values + number * values : anchor * classes * values + (number + 1) * values]
            for number in range(classes)
        ]
        for anchor in range(anchors)
    ]
    return torch.stack([torch.stack(of_anchor) for of_anchor in blocks])


def test_edges_written_out():
    similarity = torch.tensor([[9.0, 0.0, 0.0], [0.0, -9.0, 9.0], [0.0, math.log(2), math.log(5)]])
    graph = class_graph(LabelMap(HERE, {"bolt": "screw"}), THERE, similarity)
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 1 / 8, 2 / 8, 5 / 8]]
    torch.testing.assert_close(graph, torch.tensor(expected))


def test_counterparts_share_and_a_class_without_boxes_resembles_all():
    graph = class_graph(LabelMap(("part", "hole"), dict.fromkeys(THERE[:2], "part")), THERE, torch.zeros(2, 3))
    third = 1 / 3
    torch.testing.assert_close(graph, torch.tensor([[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, third, third, third]]))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_of_the_class_layer(architecture):
    source = weights_of(detector(architecture, labels=THERE))
    similarity = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.5, -1.0, 2.0]])
    graph = class_graph(LabelMap(HERE, {"bolt": "screw"}), THERE, similarity)
    new = propagate(source, graph)
    powers = [math.exp(value) for value in (0.5, -1.0, 2.0)]
    shares = [power / sum(powers) for power in powers]
    for layer in CLASS_LAYERS[architecture].items():
        for kind in ("weight", "bias"):
            before, after = (rows(weights, layer, kind, 4) for weights in (source, new))
            assert torch.equal(after[:, :3], before[:, :3]), "background, bolt as screw, nut"
            mixture = sum(share * before[:, 1 + number] for number, share in enumerate(shares))
            torch.testing.assert_close(after[:, 3], mixture)
    others = [name for name in source if name.rpartition(".")[0] not in CLASS_LAYERS[architecture]]
    assert len(others) == len(source) - 2 * len(CLASS_LAYERS[architecture])
    assert all(torch.equal(new[name], source[name]) for name in others)


@pytest.mark.parametrize(("there", "here"), [(("bolt",), HERE), (THERE, ("nut",))])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "cascade"])
def test_there_may_be_more_classes_or_fewer(architecture, there, here):
    values = (
        {"architecture": "faster_rcnn", "box_stages": 3}
        if architecture == "cascade"
        else {"architecture": architecture}
    )
    source, target = detector(labels=there, **values), detector(labels=here, **values)
    graph = class_graph(LabelMap(here), there, torch.zeros(len(here), len(there)))
    target.load_state_dict(propagate(source.state_dict(), graph))


def test_renamings_of_classes_that_are_not_are_refused():
    with pytest.raises(DataError, match=r"^training\.label_map: expected classes among nut, got washer\."):
        LabelMap(("nut",), {"bolt": "washer"}, "training.label_map")
    classes = LabelMap(("nut",), {"screw": "nut"}, "training.label_map")
    with pytest.raises(DataError, match=r"^training\.label_map: expected classes of the source \(bolt\), got screw\."):
        classes.require_renamed(["bolt"])
