"""The sparse object prior of BiDet (CVPR 2020, arXiv 2003.03961): scores gather on few detections of a class.

BiDet's objective is an information bottleneck, I(X; F) - beta I(F; C, L), for images X, features F, classes C and
places L. The losses of a detector already raise the second part. Of the rest this is the term that is to remove false
positives: the entropy of what is detected of a class, which falls as the likelier detections gain and the others lose.

Left out are the limit on I(X; F), for which the authors' code takes the mean square of feature maps, and boxes drawn
from a learnt normal distribution. Otherwise as that code, but here the gradient goes through the sum of the scores as
well, as that of an entropy does, and the term does not wait until the learning rate falls: before scores exceed
`SCORE`, it is 0. Where a class has several objects, entropy is least if only one of them is found; dividing by their
number makes that weaker and does not remove it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.ops import nms

from pipeline.detector.models.targets import Target

SCORE, IOU, MOST = 0.03, 0.45, 200
"""What counts as detected while training: from this score on, by this suppression, so many per class at first."""


def sparse_prior(
    scores: Tensor, counts: Tensor, targets: list[Target], decode: Callable[[int, Tensor], Tensor]
) -> Tensor:
    """The term of a batch.

    Args:
        scores: Tensor[B, A, K], 0 to 1; column 0 stands for nothing.
        counts: Tensor[B, A] bool; false for anchors that cost nothing, such as those in ignore regions.
        targets: One per image.
        decode: From the number of an image and the indices of M anchors to their boxes, Tensor[M, 4].

    Returns:
        Tensor[]: the mean over images and the classes of their objects; 0 where no more is detected than there is.
    """
    costs = []
    for image, target in enumerate(targets):
        for label, objects in Counter(target["labels"].tolist()).items():
            likeliest = (scores[image, :, label] * counts[image]).topk(min(MOST, scores.shape[1]))
            taken = likeliest.values > SCORE
            likely, boxes = likeliest.values[taken], decode(image, likeliest.indices[taken]).detach()
            detected = likely[nms(boxes, likely.detach(), IOU)]
            if len(detected) > objects:
                costs.append(entropy(detected) / objects)
    return torch.stack(costs).mean() if costs else scores.new_zeros(())


def entropy(scores: Tensor) -> Tensor:
    """Of scores divided by their sum.

    Args:
        scores: Tensor[N], above 0.

    Returns:
        Tensor[]: 0 where one score has all, the logarithm of N where all are the same.
    """
    total: Tensor = torch.special.entr(scores / scores.sum()).sum()
    return total
