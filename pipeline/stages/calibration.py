"""p(correct) and its certificates, from held-back images that the model was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline.boxes import as_boxes
from pipeline.errors import ArtefactError
from pipeline.matching import mark_right
from pipeline.mining.consistency import gather_evidence
from pipeline.mining.validate import prices
from pipeline.records import Sample, Split
from pipeline.selection.certify import Certificate, certify_class
from pipeline.selection.ladder import Ladder, fit_ladder, out_of_fold
from pipeline.selection.quality import measure
from pipeline.settings import MiningSettings, Settings
from pipeline.stages.cycle import Cycle
from pipeline.stages.finetune import labeled_samples

LADDER = "calibration.json"


@dataclass(frozen=True)
class HeldBack:
    """Proposals whose truth is known.

    Attributes:
        rounds: Proposals of held-back images with their evidence after each round of pastes.
        right: bool[N].
        samples: The held-back images.
    """

    rounds: tuple[pa.Table, ...]
    right: NDArray[np.bool_]
    samples: list[Sample]

    @staticmethod
    def of(proposals: pa.Table, checks: pa.Table, samples: list[Sample], settings: Settings) -> HeldBack:
        """Put the truth beside what was mined.

        Args:
            proposals: Columns of `PROPOSAL_SCHEMA`, of labelled images.
            checks: Columns of `CHECK_SCHEMA`, all of these proposals.
            samples: The images.
            settings: Rounds of pastes, and what a right box is.
        """
        rounds = tuple(gather_evidence(proposals, checks, pastes) for pastes in settings.mining.rounds)
        return HeldBack(rounds, mark_right(proposals, samples, settings.selection.match_iou), samples)

    @property
    def evidence(self) -> pa.Table:
        """The proposals with all their evidence."""
        return self.rounds[-1]

    def prices(self, settings: MiningSettings) -> NDArray[np.float64]:
        """What each check of each proposal costs, see `pipeline.mining.validate.prices`."""
        size = {sample.image_id: (sample.width, sample.height) for sample in self.samples}
        sizes = torch.tensor([size[image_id] for image_id in self.evidence["image_id"].to_pylist()]).reshape(-1, 2)
        corners = [self.evidence[name].to_numpy() for name in ("x1", "y1", "x2", "y2")]
        return prices(as_boxes(np.stack(corners, axis=1)), sizes, settings).double().numpy()

    @property
    def misses_without_proposals(self) -> float:
        """True boxes in an image in which nothing was proposed; the mean number missed where there is no such image."""
        proposed = set(self.evidence["image_id"].to_pylist())
        silent = [len(sample.boxes) for sample in self.samples if sample.image_id not in proposed]
        if silent:
            return float(np.mean(silent))
        missed = sum(len(sample.boxes) for sample in self.samples) - int(self.right.sum())
        return missed / max(1, len(self.samples))


def held_back(cycle: Cycle) -> HeldBack:
    """Read the held-back proposals of a cycle and mark the right ones."""
    proposals, checks = (cycle.folder.read_table(f"held_back_{name}.parquet") for name in ("proposals", "checks"))
    return HeldBack.of(proposals, checks, labeled_samples(cycle.store, Split.VAL), cycle.settings)


def calibrate(cycle: Cycle, model_id: str) -> Ladder:
    """Fit p(correct) on the held-back proposals, measure it out of fold, and certify thresholds.

    Writes `calibration.json` and `certificates.json`, and keeps the ladder with the model.

    Args:
        cycle: The cycle; its held-back images are mined.
        model_id: The detector that they were mined with.

    Returns:
        What gives the pool's proposals their p(correct), and tells which of them are checked.
    """
    settings, known = cycle.settings.selection, held_back(cycle)
    mining = cycle.settings.mining
    given = (known.rounds, known.right, known.prices(mining), settings)
    common: dict[str, Any] = {"rounds": mining.rounds, "budget": mining.budget, "model_id": model_id}
    p_correct, with_all = out_of_fold(*given, **common)
    ladder = fit_ladder(*given, **common)
    labels = known.evidence["label"].to_numpy(zero_copy_only=False)
    certificates = {
        label: certify_class(
            label,
            p_correct[labels == label],
            known.right[labels == label],
            target=settings.target_precision,
            confidence=settings.confidence,
        )
        for label in cycle.settings.data.labels
    }
    cycle.workspace.models.folder(model_id).write_json(LADDER, ladder.to_json())
    cycle.folder.write_json("calibration.json", _measures(cycle, known, p_correct, with_all))
    cycle.folder.write_json("certificates.json", _promises(cycle, certificates, model_id))
    return ladder


def load_calibration(cycle: Cycle) -> tuple[Ladder, dict[str, Certificate]]:
    """Read what `calibrate` wrote for the model that this cycle mined with.

    Returns:
        The ladder and the certificates by class name.

    Raises:
        ArtefactError: Nothing was calibrated, or the certificates are another model's.
    """
    model_id, promised = str(cycle.artefact("mining")["model_id"]), cycle.folder.read_json("certificates.json")
    if promised["model_id"] != model_id:
        raise ArtefactError(
            f"Expected certificates for model {model_id} in cycle {cycle.number}, got those of "
            f"{promised['model_id']}. Calibrate again: drop the cycle with `crosscheck cycle --discard`."
        )
    certificates = {label: Certificate(**one) for label, one in promised["classes"].items()}
    return Ladder.from_json(cycle.workspace.models.folder(model_id).read_json(LADDER)), certificates


def _measures(
    cycle: Cycle, known: HeldBack, p_correct: NDArray[np.float64], with_all: NDArray[np.float64]
) -> dict[str, Any]:
    """Every score beside ours, on the same boxes."""
    if len(p_correct) == 0:
        return {"boxes": 0, "evidence": {}, "reliability": {}}
    confidence, consistency, agreement = (
        np.nan_to_num(known.evidence[name].to_numpy(zero_copy_only=False).astype(np.float64))
        for name in ("score", "consistency", "agreement")
    )
    scores = {
        "confidence": confidence,
        "consistency": consistency,
        "product": confidence * consistency,
        "agreement": agreement,
        "all evidence": with_all,
        "crosscheck": p_correct,
    }
    images = known.evidence["image_id"].to_numpy(zero_copy_only=False)
    true_boxes = sum(len(sample.boxes) for sample in known.samples)
    measured = {
        name: asdict(measure(score, known.right, images, true_boxes, cycle.settings.seed))
        for name, score in scores.items()
    }
    reliability = {name: one.pop("reliability") for name, one in measured.items()}
    return {"boxes": len(p_correct), "evidence": measured, "reliability": reliability}


def _promises(cycle: Cycle, certificates: Mapping[str, Certificate], model_id: str) -> dict[str, Any]:
    settings = cycle.settings.selection
    classes = {label: one.to_json() for label, one in certificates.items()}
    return {
        "model_id": model_id,
        "target": settings.target_precision,
        "confidence": settings.confidence,
        "classes": classes,
    }
