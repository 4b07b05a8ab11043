"""Checks of proposals, one step at a time, as far as a policy finds that they can change what becomes of a box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline.mining.budget import PassBudget
from pipeline.mining.columns import corner_columns, fill_in, table_of
from pipeline.mining.consistency import gather_evidence
from pipeline.mining.crops import Crops
from pipeline.mining.hosts import Hosts
from pipeline.mining.pastes import Pastes, plan_pastes
from pipeline.mining.redetection import Redetections, Redetector
from pipeline.records import CHECK_SCHEMA
from pipeline.seeds import numpy_generator
from pipeline.settings import MiningSettings

CLASS_FREE_IMAGE, CLASS_FREE_REGION = "class_free_image", "class_free_region"

Flags = NDArray[np.bool_]


class CheckPolicy(Protocol):
    """Tells which proposals are worth what another check costs."""

    @property
    def budget(self) -> float | None:
        """What checks may cost an image on average, in detection passes; None: no limit."""

    def advances(self, evidence: pa.Table) -> Flags:
        """Which of them the next check may still change the fate of.

        Args:
            evidence: Columns of `PROPOSAL_SCHEMA` and `EVIDENCE_FIELDS`. Those without `tta_score` would get an
                augmented view next, those without `closeup_score` a close-up, the others another round of pastes.

        Returns:
            bool[N].
        """


class CheckEverything:
    """A policy that has every proposal checked in full, whatever it costs."""

    budget = None

    def advances(self, evidence: pa.Table) -> Flags:
        """All of them."""
        return np.ones(len(evidence), dtype=np.bool_)


@dataclass(frozen=True)
class PendingChecks:
    """Proposals, some of which wait for checks.

    Attributes:
        proposals: Columns of `PROPOSAL_SCHEMA`; those of one image side by side.
        checks: Columns of `CHECK_SCHEMA`, what is known of them already.
        chosen: bool[N], which of them wait.
        crops: Of those that wait, in order.
        prices: float64[N, 1 + rounds], of showing each proposal closer and of its pastes in each round, in detection
            passes over its image.
    """

    proposals: pa.Table
    checks: pa.Table
    chosen: Flags
    crops: Crops
    prices: NDArray[np.float64]

    @staticmethod
    def join(parts: list[PendingChecks]) -> PendingChecks:
        """Several in one, in order; at least one."""
        return PendingChecks(
            pa.concat_tables([part.proposals for part in parts]),
            pa.concat_tables([part.checks for part in parts]),
            np.concatenate([part.chosen for part in parts]),
            Crops.join(part.crops for part in parts),
            np.concatenate([part.prices for part in parts]),
        )


class Checker:
    """Shows proposals enlarged, then pastes them.

    Args:
        redetector: Shows windows to the detector.
        hosts: Labelled images.
        settings: How proposals are pasted.
        seed: What is drawn for an image depends on it, on the image's id and on which of its proposals wait.
    """

    def __init__(self, redetector: Redetector, hosts: Hosts, settings: MiningSettings, seed: int) -> None:
        self._redetector = redetector
        self._hosts = hosts
        self._settings = settings
        self._seed = seed

    def check(self, pending: PendingChecks, policy: CheckPolicy, budget: PassBudget) -> tuple[pa.Table, pa.Table]:
        """Check proposals until none of them advances, or nothing more can be paid for.

        Args:
            pending: The proposals.
            policy: Asked after every step.
            budget: Every step is taken from it.

        Returns:
            The proposals, with `closeup_score` where they were shown enlarged, and all checks of them.
        """
        proposals, checks, advancing = pending.proposals, pending.checks, pending.chosen
        evidence = gather_evidence(proposals, checks)
        pastes: Pastes | None = None
        while (advancing := budget.spend(advancing, self._prices(pending, evidence))).any():
            unseen = advancing & _not_shown(evidence)
            pasted = advancing & ~unseen
            if unseen.any():
                seen = self._redetector.closeups(pending.crops.take(_places(unseen, pending)))
                proposals = fill_in(proposals, unseen, {"closeup_score": seen.score, "closeup_iou": seen.iou})
            if pasted.any():
                pastes, done = pastes or self._plan(pending), evidence["checks"].to_numpy()
                checks = pa.concat_tables([checks, self._paste(pastes, pending, pasted, done)])
            evidence = gather_evidence(proposals, checks)
            unfinished = evidence["checks"].to_numpy() < self._settings.hosts
            advancing = pending.chosen & unfinished & policy.advances(evidence)
        return proposals, checks

    def _prices(self, pending: PendingChecks, evidence: pa.Table) -> NDArray[np.float64]:
        """Of the next step of each proposal."""
        number = self._round(evidence["checks"].to_numpy())
        step = np.where(_not_shown(evidence), 0, 1 + number)
        return np.take_along_axis(pending.prices, step[:, None], axis=1)[:, 0]

    def _round(self, done: NDArray[np.int32]) -> NDArray[np.intp]:
        """Which round comes next after so many pastes."""
        return np.searchsorted(self._settings.rounds[:-1], done, side="right")

    def _plan(self, pending: PendingChecks) -> Pastes:
        """All pastes of all that wait, image by image."""
        images = pending.proposals["image_id"].filter(pa.array(pending.chosen)).to_numpy(zero_copy_only=False)
        starts = np.flatnonzero(np.r_[True, images[1:] != images[:-1]])
        parts = [
            plan_pastes(
                pending.crops.take(torch.arange(start, end)),
                self._hosts,
                self._settings,
                numpy_generator(self._seed, "paste", images[start]),
                first_proposal=start,
            )
            for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(images)], strict=True)
        ]
        return Pastes.join(parts)

    def _paste(self, pastes: Pastes, pending: PendingChecks, pasted: Flags, done: NDArray[np.int32]) -> pa.Table:
        """The next round of pastes of some proposals."""
        until = np.array(self._settings.rounds)[self._round(done)]
        row = np.flatnonzero(pending.chosen)[pastes.proposal.numpy()]
        number = pastes.number.numpy()
        due = pastes[torch.from_numpy(pasted[row] & (done[row] <= number) & (number < until[row]))]
        seen = self._redetector.pastes(due, pending.crops, self._hosts)
        ids = pending.proposals["proposal_id"].to_numpy(zero_copy_only=False)[pending.chosen]
        return self._rows(due, seen, ids[due.proposal.numpy()])

    def _rows(self, pastes: Pastes, seen: Redetections, ids: NDArray[np.str_]) -> pa.Table:
        factors = self._hosts.to_original[pastes.host].repeat(1, 2)
        columns = {
            "proposal_id": ids,
            "number": pastes.number.numpy(),
            "host_id": np.array(self._hosts.image_ids)[pastes.host.numpy()],
            "host_kind": np.where(pastes.class_free.numpy(), CLASS_FREE_IMAGE, CLASS_FREE_REGION),
            **corner_columns(pastes.object * factors, "paste_"),
            "margin": np.full(len(pastes), self._settings.margin, dtype=np.float32),
            "scale": pastes.scale.numpy(),
            "hit": seen.hit.numpy(),
            "score": seen.score.numpy(),
            "iou": seen.iou.numpy(),
            **corner_columns(seen.boxes * factors),
        }
        return table_of(columns, CHECK_SCHEMA, len(pastes))


def _not_shown(evidence: pa.Table) -> Flags:
    unseen: Flags = evidence["closeup_score"].is_null().to_numpy(zero_copy_only=False)
    return unseen


def _places(rows: Flags, pending: PendingChecks) -> torch.Tensor:
    """Numbers of the crops of some proposals that wait."""
    return torch.from_numpy(np.flatnonzero(rows[pending.chosen]))
