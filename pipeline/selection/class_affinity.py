"""Class affinity: does a proposal resemble the held-back objects of its class, or those of another class?

A detector's confidence says little about the class of an object where it learnt from few images. The embeddings of its
boxes, compared with objects that it did not learn from, say more and cost nothing: every proposal has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pipeline.selection.calibrator import Floats, Fold

NOTHING = ""
"""In place of a class where a proposal shows no object."""
AFFINITY = ("affinity_own", "affinity_other")
"""Features: how likely the object is of the class of its proposal, in logits, and how much likelier than of any other
class, as the logarithm of the ratio. Null for a class that no other image shows."""
STRENGTH = 0.1
"""Inverse strength of the ridge penalty."""
_EDGE = 1e-3

MEMBER = "member"
"""Column of proposals: the number of their detector, which has embeddings of its own; without it there is but one."""

Names = NDArray[np.str_]


@dataclass(frozen=True)
class ClassAffinity:
    """A multinomial logistic model of the class of an object, by the embedding of its proposal.

    Attributes:
        classes: K classes it knows, `NOTHING` among them; none where there was nothing to learn.
        weights: K x D.
        intercepts: K.
    """

    classes: tuple[str, ...] = ()
    weights: tuple[tuple[float, ...], ...] = ()
    intercepts: tuple[float, ...] = ()

    def measure(self, proposals: pa.Table) -> Floats:
        """What the features are.

        Args:
            proposals: Columns `label` and `embedding`.

        Returns:
            float[N, 2], by `AFFINITY`; NaN for classes that it does not know.
        """
        affinity = np.full((len(proposals), len(AFFINITY)), np.nan)
        if len(proposals) == 0 or not self.classes:
            return affinity
        likely = softmax(_embeddings(proposals) @ np.array(self.weights).T + np.array(self.intercepts), axis=1)
        likely = likely.clip(_EDGE, 1 - _EDGE)
        number = pc.index_in(proposals["label"], value_set=pa.array(self.classes))
        known = np.flatnonzero(number.is_valid())
        own = number.drop_null().to_numpy()
        rivals = likely[known] * (np.array(self.classes) != NOTHING)
        rivals[np.arange(len(own)), own] = _EDGE
        of_own = likely[known, own]
        affinity[known] = np.stack([logit(of_own), np.log(of_own / rivals.max(1))], axis=1)
        return affinity


def measure_affinity(proposals: pa.Table, affinities: Sequence[ClassAffinity]) -> Floats:
    """The features of proposals, each by the model of its detector.

    Args:
        proposals: As for `ClassAffinity.measure`, with `MEMBER` where there are several detectors.
        affinities: By number of the detector.

    Returns:
        float[N, 2], by `AFFINITY`; NaN for unknown.
    """
    members, affinity = _members(proposals), np.full((len(proposals), len(AFFINITY)), np.nan)
    for number, own in enumerate(affinities):
        rows = np.flatnonzero(members == number)
        affinity[rows] = own.measure(proposals.take(rows))
    return affinity


def fit_affinities(proposals: pa.Table, objects: Names, members: int) -> tuple[ClassAffinity, ...]:
    """Learn what objects look like to each of several detectors, see `fit_class_affinity`."""
    of, parts = _members(proposals), []
    for number in range(members):
        rows = np.flatnonzero(of == number)
        parts.append(fit_class_affinity(proposals.take(rows), objects[rows]))
    return tuple(parts)


def fit_class_affinity(proposals: pa.Table, objects: Names) -> ClassAffinity:
    """Learn what objects look like.

    Args:
        proposals: Column `embedding`, in labelled images that the detector was not trained on.
        objects: str[N], the class of the object that each shows, `NOTHING` for none.

    Returns:
        The model; an empty one where all objects or all embeddings are the same.
    """
    if len(np.unique(objects)) < 2:
        return ClassAffinity()
    embeddings = _embeddings(proposals)
    if not np.ptp(embeddings, axis=0).any():
        return ClassAffinity()
    scaler = StandardScaler().fit(embeddings)
    model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(scaler.transform(embeddings), objects)
    scaled, intercepts = model.coef_ / scaler.scale_, model.intercept_ - model.coef_ @ (scaler.mean_ / scaler.scale_)
    if len(model.classes_) == 2:
        # scikit-learn keeps a single row, the odds of the second class.
        scaled, intercepts = (np.concatenate([0 * part, part]) for part in (scaled, intercepts))
    return ClassAffinity(
        tuple(model.classes_.tolist()), tuple(tuple(row) for row in scaled.tolist()), tuple(intercepts.tolist())
    )


def affinity_out_of_fold(proposals: pa.Table, objects: Names, folds: Iterable[Fold], members: int = 1) -> Floats:
    """The features of proposals by models that have not seen their images.

    Args:
        proposals: As for `fit_class_affinity`, with `label`.
        objects: As for `fit_class_affinity`.
        folds: Rows to fit on and rows that are left out.
        members: How many detectors there are.

    Returns:
        float[N, 2], by `AFFINITY`; NaN for what no fold leaves out.
    """
    affinity = np.full((len(proposals), len(AFFINITY)), np.nan)
    for fitted, left_out in folds:
        known = fit_affinities(proposals.take(fitted), objects[fitted], members)
        affinity[left_out] = measure_affinity(proposals.take(left_out), known)
    return affinity


def with_affinity(proposals: pa.Table, affinity: Floats) -> pa.Table:
    """Add the features to a table of proposals.

    Args:
        proposals: N rows.
        affinity: float[N, 2], by `AFFINITY`, NaN for unknown.
    """
    for name, values in zip(AFFINITY, affinity.T, strict=True):
        proposals = proposals.append_column(name, pa.array(values, pa.float64(), from_pandas=True))
    return proposals


def _members(proposals: pa.Table) -> NDArray[np.int64]:
    if MEMBER not in proposals.column_names:
        return np.zeros(len(proposals), dtype=np.int64)
    return np.asarray(proposals[MEMBER].to_numpy(), dtype=np.int64)


def _embeddings(proposals: pa.Table) -> Floats:
    """float64[N, D]; N at least 1."""
    flat = pc.list_flatten(proposals["embedding"]).to_numpy().astype(np.float64)
    return np.asarray(flat.reshape(len(proposals), -1))
