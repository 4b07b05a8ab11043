"""Mining of labelled images that the detector never learnt from: every proposal is known to be right or wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.artefacts import GateOutcome
from pipeline.bench.grid import claim
from pipeline.bench.scenario import short_hash, train
from pipeline.cycle import Cycle
from pipeline.detector.inference.predictor import Predictor
from pipeline.detector.models.saved import load_model
from pipeline.detector.training.fit import labeled_predictor
from pipeline.mining.checker import CheckPolicy
from pipeline.mining.miner import Mined, Miner
from pipeline.mining.preparation import prepare_miner
from pipeline.progress import Progress, silent
from pipeline.records import Sample, Split, of_images
from pipeline.selection.cascade import Cascade
from pipeline.selection.cascade_fitting import fit_cascade, out_of_fold
from pipeline.selection.held_back import HeldBack, cascade_plan, hold_back
from pipeline.selection.localisation_bias import LocalisationBias
from pipeline.settings import Settings


@dataclass(frozen=True)
class Applied:
    """A cascade fitted on held-back images and applied to a pool whose truth is known.

    Attributes:
        held_back: Proposals of val.
        out_of_fold: float[N], p(correct) of each, from cascades that have not seen its image.
        cascade: Fitted on all of them.
        pool: Proposals of test.
        p_correct: float[M] of each, with as many checks as the cascade has paid for.
    """

    held_back: HeldBack
    out_of_fold: NDArray[np.float64]
    cascade: Cascade
    pool: HeldBack
    p_correct: NDArray[np.float64]


@dataclass(frozen=True)
class LabeledMining:
    """The cycle in which a scenario's detector was trained, and what mines with it."""

    cycle: Cycle
    miner: Miner

    @staticmethod
    def trained(settings: Settings, progress: Progress = silent) -> LabeledMining:
        """Train a scenario's detector, unless that was done before, and prepare mining with it.

        Raises:
            Taken: Another process works in the workspace.
        """
        cycle = train(settings, progress)
        return LabeledMining(cycle, prepare_miner(cycle, cycle.read(GateOutcome).candidate))

    @property
    def settings(self) -> Settings:
        """Those of the scenario."""
        return self.cycle.settings

    @property
    def model_id(self) -> str:
        """The detector."""
        return self.miner.model_id

    def full_precision(self) -> Predictor:
        """The detector in float32."""
        return labeled_predictor(self.settings, load_model(self.cycle.workspace.models, self.model_id))

    def samples(self, split: Split, most: int | None = None) -> list[Sample]:
        """At most so many labelled images of a split, in the order of their ids."""
        return self.cycle.store.labeled(split)[:most]

    def mine(self, samples: list[Sample], policy: CheckPolicy | None = None) -> Mined:
        """Mine labelled images as the pool is mined, ignoring their labels."""
        return self.miner.mine([sample.ref for sample in samples], policy)

    def with_truth(self, mined: Mined, samples: list[Sample], bias: LocalisationBias | None = None) -> HeldBack:
        """Put the truth beside what was mined; see `hold_back` for `bias`."""
        return hold_back(mined, samples, self.settings, bias)

    def fully_checked(self, split: Split, bias: LocalisationBias | None = None, most: int | None = None) -> HeldBack:
        """A split, or at most so many of its images, with every proposal checked; mined once for all benchmarks.

        Raises:
            Taken: Another process mines it.
        """
        samples, mined = self.samples(split, most), self._mined(split)
        proposals = mined.proposals.filter(of_images(sample.image_id for sample in samples))
        return self.with_truth(Mined(proposals, mined.of(proposals)), samples, bias)

    def cascade(self) -> Cascade:
        """What the held-back images of val teach."""
        held_back = self.fully_checked(Split.VAL)
        return fit_cascade(held_back.known_boxes(self.settings), cascade_plan(self.settings, self.model_id))

    def applied(self, most: int | None = None, progress: Progress = silent) -> Applied:
        """Fit on val, or on at most so many of its images, and apply to test as to a pool."""
        progress("mining", 0, 2)
        held_back = self.fully_checked(Split.VAL, most=most)
        progress("mining", 1, 2)
        pool = self.fully_checked(Split.TEST, held_back.bias)
        progress("mining", 2, 2)
        boxes, plan = held_back.known_boxes(self.settings), cascade_plan(self.settings, self.model_id)
        cascade, (as_in_pool, _) = fit_cascade(boxes, plan), out_of_fold(boxes, plan)
        return Applied(held_back, as_in_pool, cascade, pool, cascade.replay(pool.evidence))

    def _mined(self, split: Split) -> Mined:
        """All proposals of a split with all their checks, read if they were mined before."""
        folder = self.cycle.folder.folder("bench")
        settings = self.settings.model_dump(mode="json", include={"mining", "detector"})
        name = f"{split}-{self.model_id}-{short_hash([settings, self.miner.seed])}"
        tables = [f"{name}.{table}.parquet" for table in ("proposals", "checks")]
        with claim(Path(folder.uri) / f"{name}.lock"):
            if not all(folder.exists(table) for table in tables):
                mined = self.mine(self.samples(split))
                for table, rows in zip(tables, (mined.proposals, mined.checks), strict=True):
                    folder.write_table(table, rows)
        return Mined(*(folder.read_table(table) for table in tables))
