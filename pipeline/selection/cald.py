"""CALD (arXiv 2103.10374): ask where predictions are unstable under augmentation, balanced by class.

What differs from the paper: images are mirrored and made smaller, not rotated or cut out; classes are scored one by
one, so that scores of two boxes are compared by the score of the class and what is left of it, see
`mining.view_consistency`.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from pipeline.selection.pool import Pool, Values

CANDIDATES = 1.2
"""Images among which the classes decide, per image that is asked about."""


def cald(pool: Pool) -> Values:
    """Of the images nearest to the least stable agreement, those whose classes differ most from what is labelled.

    Raises:
        ValueError: The pool cannot make more views.
    """
    values = np.zeros(len(pool.image_ids))
    if pool.on_demand is None:
        raise ValueError("Expected a pool that can look at images again, which CALD needs.")
    if not len(values):
        return values
    seen = pool.on_demand.views(pool.image_ids)
    candidates = np.argsort(seen.distance, kind="stable")[: round(CANDIDATES * pool.budget)]
    labelled = softmax(np.array(list(pool.drawn.values()), dtype=np.float64))
    unlike = np.array([_divergence(softmax(classes), labelled) for classes in seen.classes[candidates]])
    unlike[seen.classes[candidates].sum(1) == 0] = np.inf  # images in which nothing is found come first
    chosen = candidates[np.argsort(-unlike, kind="stable")][: pool.budget]
    values[chosen] = np.arange(len(chosen), 0, -1)
    return values


def _divergence(first: Values, second: Values) -> float:
    return float(jensenshannon(first, second) ** 2)
