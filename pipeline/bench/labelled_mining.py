"""Proposals whose truth is known, for benchmarks: mined from labelled splits that the detector never learnt from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipeline.detector.inference.predictor import Predictor
from pipeline.detector.models.registry import champion_id
from pipeline.errors import ArtefactError
from pipeline.mining.checker import CheckPolicy
from pipeline.mining.hosts import Hosts
from pipeline.mining.miner import Mined, Miner
from pipeline.records import Sample, Split, of_images
from pipeline.selection.cascade import Cascade, fit_cascade, out_of_fold
from pipeline.selection.localisation_bias import LocalisationBias
from pipeline.settings.detector import Precision
from pipeline.stages.calibration import HeldBack
from pipeline.stages.cycle import Cycle, Progress, silent
from pipeline.stages.finetune import labeled_samples
from pipeline.stages.mine import mining_hosts, mining_predictor


@dataclass(frozen=True)
class Applied:
    """What held-back images teach, and what it says of a pool whose truth is known.

    Attributes:
        held_back: Proposals of val.
        out_of_fold: float[N], p(correct) of each, from cascades that have not seen its image.
        cascade: Fitted on all of them.
        pool: Proposals of test.
        p_correct: float[M] of each, checked as far as the cascade has it.
    """

    held_back: HeldBack
    out_of_fold: NDArray[np.float64]
    cascade: Cascade
    pool: HeldBack
    p_correct: NDArray[np.float64]


@dataclass(frozen=True)
class Bench:
    """A trained cell and what mining with it needs.

    Attributes:
        cycle: The cell.
        model_id: Its detector.
        hosts: Its labelled training images.
    """

    cycle: Cycle
    model_id: str
    hosts: Hosts

    @staticmethod
    def of(cycle: Cycle) -> Bench:
        """Prepare a trained cell.

        Raises:
            ArtefactError: It has no trained detector.
        """
        model_id = champion_id(cycle.workspace.models)
        if model_id is None:
            raise ArtefactError(f"Expected a trained detector in {cycle.workspace.uri}, found none.")
        return Bench(cycle, model_id, mining_hosts(cycle, cycle.settings.seed, faults=[]))

    def predictor(self, precision: Precision | None = None) -> Predictor:
        """The detector, in the precision of the settings unless another is named."""
        return mining_predictor(self.cycle, self.model_id, precision)

    def samples(self, split: Split, most: int | None = None) -> list[Sample]:
        """Labelled images of a split, at most so many, in the order of their ids."""
        return sorted(labeled_samples(self.cycle.store, split), key=lambda sample: sample.image_id)[:most]

    def mine(self, predictor: Predictor, samples: list[Sample], policy: CheckPolicy | None = None) -> Mined:
        """Mine labelled images as the pool is mined; their labels are not looked at."""
        settings = self.cycle.settings
        miner = Miner(
            predictor,
            self.hosts,
            model_id=self.model_id,
            settings=settings.mining,
            max_pixels=settings.data.max_image_pixels,
            seed=settings.seed,
        )
        return miner.mine([sample.ref for sample in samples], policy)

    def known(self, mined: Mined, samples: list[Sample], bias: LocalisationBias | None = None) -> HeldBack:
        """Put the truth beside what was mined, placed as other images tell, or as these tell of each other."""
        return HeldBack.of(mined.proposals, mined.checks, samples, self.cycle.settings, bias)

    def checked(
        self, predictor: Predictor, split: Split, bias: LocalisationBias | None = None, most: int | None = None
    ) -> HeldBack:
        """A split, or at most so many images of it, with every proposal checked.

        What was mined is kept in the cell, so that one benchmark's mining serves the others.
        """
        samples, folder = self.samples(split), self.cycle.folder.folder("bench")
        settings = self.cycle.settings.model_dump_json(include={"mining": True, "detector": True})
        name = f"{split}-{self.model_id}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
        tables = [f"{name}.{table}.parquet" for table in ("proposals", "checks")]
        if not all(folder.exists(table) for table in tables):
            mined = self.mine(predictor, samples)
            for table, rows in zip(tables, (mined.proposals, mined.checks), strict=True):
                folder.write_table(table, rows)
        samples = samples[:most]
        proposals = folder.read_table(tables[0], rows=of_images(sample.image_id for sample in samples))
        of_these = pc.field("proposal_id").isin(proposals["proposal_id"].combine_chunks())
        return self.known(Mined(proposals, folder.read_table(tables[1], rows=of_these)), samples, bias)

    def cascade_inputs(self, known: HeldBack) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What `fit_cascade` and `out_of_fold` take."""
        settings = self.cycle.settings
        given = (known.rounds, known.right, known.objects, known.prices(settings.mining), settings.selection)
        return given, {"rounds": settings.mining.rounds, "budget": settings.mining.budget, "model_id": self.model_id}

    def cascade(self, predictor: Predictor) -> Cascade:
        """What the held-back images teach."""
        given, options = self.cascade_inputs(self.checked(predictor, Split.VAL))
        return fit_cascade(*given, **options)

    def applied(self, predictor: Predictor, most: int | None = None, progress: Progress = silent) -> Applied:
        """Fit on val, or on at most so many images of it, and apply to test as to a pool."""
        progress("mining", 0, 2)
        held_back = self.checked(predictor, Split.VAL, most=most)
        progress("mining", 1, 2)
        pool = self.checked(predictor, Split.TEST, held_back.bias)
        progress("mining", 2, 2)
        given, options = self.cascade_inputs(held_back)
        cascade, (gated, _) = fit_cascade(*given, **options), out_of_fold(*given, **options)
        return Applied(held_back, gated, cascade, pool, cascade.replay(pool.rounds))


def column(known: HeldBack, name: str) -> NDArray[np.float64]:
    """Evidence as numbers, 0 where it was not measured."""
    return np.asarray(np.nan_to_num(known.evidence[name].to_numpy(zero_copy_only=False).astype(np.float64)))


def auroc(right: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """Chance that a right box scores above a wrong one; None where all are right, or all wrong."""
    return float(roc_auc_score(right, score)) if 0 < right.sum() < len(right) else None
