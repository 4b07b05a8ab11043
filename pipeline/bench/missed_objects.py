"""`crosscheck bench misses`: objects that no proposal finds, and how many of them training takes for background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from scipy.stats import rankdata

from pipeline.artefacts import Recall
from pipeline.bench.decided_pool import PseudoLabeling, decide_pool
from pipeline.bench.labeled_mining import LabeledMining
from pipeline.bench.measures import correlation
from pipeline.bench.scenario import ScenarioCell, ScenarioResult
from pipeline.progress import Progress
from pipeline.selection.calibration import certify
from pipeline.selection.missed_objects import recall_by_class_and_size

NO_REGIONS = 1.0
"""p(correct) from which dropped boxes are ignore regions: none is."""


@dataclass(frozen=True)
class MissedObjectsResult(ScenarioResult):
    """What is missed in one scenario; the test split plays the pool.

    Attributes:
        images: Of the pool.
        objects: True boxes in them.
        never_proposed: Objects that no proposal finds.
        expected_never_proposed: What the model of missed objects expects.
        rank_correlation: Of expected and actual misses, over images; None where either does not vary.
        certified: Classes with a certificate.
        recall: On val, one row per class and size.
        before: Every image with a sure box is pseudo-labelled.
        weak_regions: Dropped boxes that may be something are ignore regions as well.
        half: Only the half of the images with fewest expected objects in the background is pseudo-labelled.
        background_at_random: `half.background` if as many images were left out at random.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench misses"

    images: int
    objects: int
    never_proposed: int
    expected_never_proposed: float
    rank_correlation: float | None
    certified: tuple[str, ...]
    recall: tuple[Recall, ...]
    before: PseudoLabeling
    weak_regions: PseudoLabeling
    half: PseudoLabeling
    background_at_random: float

    @property
    def ways(self) -> Mapping[str, PseudoLabeling]:
        """The ways to pseudo-label by name, the safest last."""
        return {"before": self.before, "weak regions": self.weak_regions, "half": self.half}


@dataclass(frozen=True)
class MissedObjectsCell(ScenarioCell):
    """A scenario in which missed objects are counted.

    Attributes:
        target: Promised precision. A class without a certificate is written from this p(correct) on, so that there is
            something to compare.
    """

    target: float

    @property
    def changes(self) -> tuple[str, ...]:
        """The promised precision."""
        return (f"selection.target_precision={self.target}",)

    def measure(self, progress: Progress) -> MissedObjectsResult:
        """Fit on val, apply to test as to a pool."""
        settings = self.settings
        mining = LabeledMining.trained(settings, progress)
        applied = mining.applied(progress=progress)
        held_back = applied.held_back
        certificates = certify(held_back, applied.out_of_fold, settings, mining.model_id).classes
        pool = decide_pool(applied, certificates, settings)
        expected, unseen = pool.expected_never_proposed(applied.p_correct), pool.never_proposed()
        ignore_from = settings.selection.ignore_from
        weak_regions, half = pool.pseudo_label(ignore_from, share=1.0), pool.pseudo_label(ignore_from, share=0.5)
        return MissedObjectsResult(
            **vars(self.identity),
            images=len(pool.boxes.samples),
            objects=sum(len(sample.boxes) for sample in pool.boxes.samples),
            never_proposed=int(unseen.sum()),
            expected_never_proposed=float(expected.sum()),
            rank_correlation=correlation(rankdata(expected), rankdata(unseen)),
            certified=tuple(sorted(label for label, certificate in certificates.items() if certificate.certified)),
            recall=tuple(recall_by_class_and_size(held_back.samples, held_back.evidence, held_back.matched)),
            before=pool.pseudo_label(NO_REGIONS, share=1.0),
            weak_regions=weak_regions,
            half=half,
            background_at_random=weak_regions.background * half.images / max(1, weak_regions.images),
        )
