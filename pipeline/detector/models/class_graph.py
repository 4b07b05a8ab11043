"""A graph from the classes of one detector to those of another, after the inter-domain transfer of Universal R-CNN.

Universal R-CNN (Xu et al., AAAI 2020, arXiv 2002.07417) takes the weights of a classifier as prototypes of its classes
and propagates those of one set along a graph to the classes of another. Here the graph is used once, before training:
`W_new = A W_source`. What differs from the paper: there the graph is a layer of the head, learned with it, and
prototypes enhance the features of each proposal, in training and at inference; several sets are trained together; and
a spatial graph relates the classes of one set. Here the propagated weights are where the class layer starts, and they
are fine-tuned as everything else is, so that the detector costs nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pipeline.dataset.merging.label_map import LabelMap

_VALUES_PER_CLASS = {"cls_logits": 1, "cls_score": 1, "bbox_pred": 4}
"""Layers that answer class by class: of the one-stage heads, and of the second stage of Faster R-CNN."""
_WITHOUT_CLASSES = "network.rpn."
"""The proposal network has layers of the same names, and no classes."""


def class_graph(classes: LabelMap, there: Sequence[str], similarity: Tensor) -> Tensor:
    """Edges to the classes here from those of a source.

    A class with counterparts in the source has edges to these alone, all alike. Another has edges to every class of the
    source, by the softmax of their similarity.

    Args:
        classes: Which class of the source is which here.
        there: Class names of the source, in the order of their numbers.
        similarity (Tensor[K, S]): of each class here to each of the source, higher = more alike.

    Returns:
        Tensor[K + 1, S + 1]: float32, 0 to 1, rows sum to 1; background comes first and is background.
    """
    named = torch.tensor([[float(classes.of(other) == own) for other in there] for own in classes.labels])
    counterparts = named.sum(1, keepdim=True)
    graph = torch.zeros(len(classes.labels) + 1, len(there) + 1)
    graph[0, 0] = 1.0
    graph[1:, 1:] = torch.where(counterparts > 0, named / counterparts.clamp(min=1), similarity.softmax(1))
    return graph


def propagate(weights: Mapping[str, Tensor], graph: Tensor) -> dict[str, Tensor]:
    """Weights of a detector of other classes: `W_new = A W_source` in layers with classes, the rest as they are.

    Args:
        weights: Of the source, by the names of its `state_dict`.
        graph (Tensor[K + 1, S + 1]): see `class_graph`.

    Returns:
        The same names.
    """
    return {name: _propagated(tensor, graph, _values_per_class(name)) for name, tensor in weights.items()}


def _propagated(tensor: Tensor, graph: Tensor, values: int) -> Tensor:
    if values == 0:
        return tensor
    # A layer's outputs are ordered by anchor, class and value.
    rows = tensor.reshape(-1, graph.shape[1], values, *tensor.shape[1:])
    return torch.einsum("ts,asv...->atv...", graph, rows).flatten(0, 2)


def _values_per_class(name: str) -> int:
    """Outputs of a layer for each class; 0 for a layer without classes."""
    return 0 if name.startswith(_WITHOUT_CLASSES) else _VALUES_PER_CLASS.get(name.split(".")[-2], 0)
