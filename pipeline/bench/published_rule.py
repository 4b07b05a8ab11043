"""The published rule, to compare the engine with: one paste, one whole host and one forward pass at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline.boxes import as_boxes, outward
from pipeline.detector.inference.predictor import Detections, Predictor
from pipeline.detector.inference.stream import stack_images
from pipeline.mining.hosts import Hosts
from pipeline.mining.reference import HOSTS, cross_validate, random_place
from pipeline.progress import Progress, silent
from pipeline.records import Sample
from pipeline.seeds import numpy_generator
from pipeline.selection.localisation_bias import xyxy_of


@dataclass(frozen=True)
class PublishedRule:
    """Checks proposals with a detector and hosts."""

    predictor: Predictor
    hosts: Hosts

    def consistency(
        self, proposals: pa.Table, samples: Sequence[Sample], seed: int, progress: Progress = silent
    ) -> NDArray[np.float64]:
        """Check proposals.

        Args:
            proposals: N rows with the columns `proposal_id`, `image_id`, `label` and `x1` to `y2`.
            samples: Their images.
            seed: Of hosts and places.
            progress: Called after every image.

        Returns:
            float[N].
        """
        images = proposals["image_id"].to_numpy(zero_copy_only=False)
        ids, names = proposals["proposal_id"].to_pylist(), proposals["label"].to_pylist()
        labels, corners, scores, done = self.predictor.labels, xyxy_of(proposals), np.zeros(len(proposals)), 0
        for batch in self.predictor.stream(sample.ref for sample in samples):
            for index, (ref, pixels) in enumerate(zip(batch.refs, batch.unpadded(), strict=True)):
                rows = np.flatnonzero(images == ref.image_id)
                # Every input pixel that a box touches.
                edges = outward(batch.to_input(index, as_boxes(corners[rows]))).tolist()
                for row, (x1, y1, x2, y2) in zip(rows, edges, strict=True):
                    random, label = numpy_generator(seed, "published", ids[row]), labels.index(names[row]) + 1
                    scores[row] = self._check(pixels[y1:y2, x1:x2], label, random)
                done += len(rows)
                progress("the published rule", done, len(proposals))
        return scores

    def _check(self, crop: NDArray[np.uint8], label: int, random: np.random.Generator) -> float:
        # Hosts that lack the class come first; where every image holds it, the others must do.
        keys = torch.from_numpy(random.random(len(self.hosts))) + self.hosts.holds[:, label]
        hosts = [self.hosts.images[number] for number in torch.argsort(keys)[:HOSTS].tolist()]
        places = [random_place(host, crop, random) for host in hosts]
        fitting = [(host, place) for host, place in zip(hosts, places, strict=True) if place is not None]
        verdict = cross_validate(self._detect, crop, label, [host for host, _ in fitting], [at for _, at in fitting])
        return verdict.consistency

    def _detect(self, pixels: NDArray[np.uint8]) -> Detections:
        return self.predictor(stack_images([pixels]))[0]
