"""Checks of proposals, one step at a time, as far as a policy finds that they can change what becomes of a box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.boxes import shift
from pipeline.mining.budget import Budgets, PassBudget
from pipeline.mining.columns import corner_columns, fill_in, table_of
from pipeline.mining.consistency import gather_evidence
from pipeline.mining.crops import Crops
from pipeline.mining.hosts import Hosts
from pipeline.mining.pastes import Pastes, plan_pastes
from pipeline.mining.redetection import Redetections, Redetector, Sought
from pipeline.mining.sharing import SharedPastes, runs, share_pastes
from pipeline.records import CHECK_SCHEMA
from pipeline.seeds import numpy_generator
from pipeline.settings import MiningSettings

CLASS_FREE_IMAGE, CLASS_FREE_REGION = "class_free_image", "class_free_region"

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


class CheckPolicy(Protocol):
    """Tells which proposals are worth what another check costs."""

    @property
    def budget(self) -> float | None:
        """What pastes may cost an image on average, in detection passes; None: no limit."""

    @property
    def look_budget(self) -> float | None:
        """What augmented views and close-ups may cost an image on average, likewise."""

    def looks(self, evidence: pa.Table) -> Flags:
        """Which of them another look at their own image may still change the fate of.

        Args:
            evidence: Columns of `PROPOSAL_SCHEMA` and `EVIDENCE_FIELDS`. Those without `tta_score` would get an
                augmented view next, those without `closeup_score` a close-up, the others nothing.

        Returns:
            bool[N].
        """

    def worth(self, evidence: pa.Table) -> Floats:
        """Which of them are pasted, and which of these first.

        Args:
            evidence: As for `looks`.

        Returns:
            float[N], the highest first; NaN: not pasted.
        """


class CheckEverything:
    """A policy that has every proposal checked in full, whatever it costs."""

    budget = look_budget = None

    def looks(self, evidence: pa.Table) -> Flags:
        """All of them."""
        return np.ones(len(evidence), dtype=np.bool_)

    def worth(self, evidence: pa.Table) -> Floats:
        """All of them, those first that come first."""
        return np.ones(len(evidence))


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

    def check(self, pending: PendingChecks, policy: CheckPolicy, budgets: Budgets) -> tuple[pa.Table, pa.Table]:
        """Show closer what another look may still change, and paste what is worth it.

        Args:
            pending: The proposals.
            policy: Tells which.
            budgets: Every step is taken from them.

        Returns:
            The proposals, with `closeup_score` where they were shown enlarged, and all checks of them.
        """
        proposals = pending.proposals
        closer = pending.chosen & policy.looks(gather_evidence(proposals, pending.checks)) & can_be_shown(proposals)
        closer = budgets.looks.spend(closer, pending.prices[:, 0])
        if closer.any():
            seen = self._redetector.closeups(pending.crops.take(_places(closer, pending)))
            proposals = fill_in(proposals, closer, {"closeup_score": seen.score, "closeup_iou": seen.iou})
        evidence = gather_evidence(proposals, pending.checks)
        worth = policy.worth(evidence)
        rows = np.flatnonzero(pending.chosen & (evidence["checks"].to_numpy() == 0) & np.isfinite(worth))
        return proposals, pa.concat_tables([pending.checks, *self._paste(pending, rows, worth[rows], budgets.pastes)])

    def _paste(
        self, pending: PendingChecks, rows: NDArray[np.intp], worth: Floats, budget: PassBudget
    ) -> Iterator[pa.Table]:
        """Paste some proposals, round after round, those no more whose pastes agree."""
        if len(rows) == 0:
            return
        due: Flags = np.zeros(len(pending.chosen), dtype=np.bool_)
        due[rows] = True
        crops, images, ids = (
            pending.crops.take(_places(due, pending)),
            *(pending.proposals[name].to_numpy(zero_copy_only=False)[rows] for name in ("image_id", "proposal_id")),
        )
        shared = share_pastes(crops.in_image, crops.label, images)
        planned = _Planned(crops, ids, shared, self._plan(crops, shared, images))
        first = np.full(len(shared.shown), -np.inf)
        np.maximum.at(first, shared.stands.numpy(), worth)
        wanted: Flags = np.ones(len(first), dtype=np.bool_)
        done = 0
        for number, until in enumerate(self._settings.rounds):
            wanted = budget.spend(wanted, pending.prices[rows[shared.shown.numpy()], 1 + number], first)
            counted = torch.from_numpy(wanted)[planned.pastes.proposal]
            pastes = planned.pastes[counted & (planned.pastes.number >= done) & (planned.pastes.number < until)]
            if len(pastes) == 0:
                return
            table, reader, hit = self._read(planned, pastes)
            yield table
            wanted, done = _disagree(shared, reader, hit), until

    def _plan(self, crops: Crops, shared: SharedPastes, images: NDArray[np.str_]) -> Pastes:
        """All pastes of the proposals that are shown, image by image."""
        shown = crops.take(shared.shown)
        classes = shared.classes(crops.label, self._hosts.holds.shape[1])
        parts = []
        for start, end in runs(images[shared.shown.numpy()]):
            random = numpy_generator(self._seed, "paste", images[shared.shown[start]])
            own = shown.take(torch.arange(start, end))
            part = plan_pastes(own, self._hosts, self._settings, random, classes[start:end])
            parts.append(replace(part, proposal=part.proposal + start))
        return Pastes.join(parts)

    def _read(self, planned: _Planned, pastes: Pastes) -> tuple[pa.Table, Tensor, Tensor]:
        """Show pastes, and read for each proposal that shares one what became of it there."""
        paste, reader = planned.shared.readers(pastes.proposal)
        crops, shown = planned.crops, planned.shared.shown[pastes.proposal]
        in_crop = shift(crops.in_image[reader], -crops.origin[shown[paste]])
        sought = Sought(paste, pastes[paste].locate(in_crop), crops.label[reader])
        seen = self._redetector.pastes(replace(pastes, proposal=shown), crops, self._hosts, sought)
        return self._rows(planned, pastes[paste], sought, reader, seen), reader, seen.hit

    def _rows(self, planned: _Planned, pastes: Pastes, sought: Sought, reader: Tensor, seen: Redetections) -> pa.Table:
        factors = self._hosts.to_original[pastes.host].repeat(1, 2)
        free = ~self._hosts.holds[pastes.host, sought.label]
        columns = {
            "proposal_id": planned.ids[reader.numpy()],
            "number": pastes.number.numpy(),
            "shown_id": planned.ids[planned.shared.shown[pastes.proposal].numpy()],
            "host_id": np.array(self._hosts.image_ids)[pastes.host.numpy()],
            "host_kind": np.where(free.numpy(), CLASS_FREE_IMAGE, CLASS_FREE_REGION),
            **corner_columns(sought.box * factors, "paste_"),
            "margin": pastes.margin.numpy(),
            "scale": pastes.scale.numpy(),
            "hit": seen.hit.numpy(),
            "score": seen.score.numpy(),
            "iou": seen.iou.numpy(),
            **corner_columns(seen.boxes * factors),
        }
        return table_of(columns, CHECK_SCHEMA, len(pastes))


@dataclass(frozen=True)
class _Planned:
    """N proposals that wait for pastes.

    Attributes:
        crops: Of each.
        ids: str[N].
        shared: Which of them are pasted for the others.
        pastes: By `SharedPastes.shown`.
    """

    crops: Crops
    ids: NDArray[np.str_]
    shared: SharedPastes
    pastes: Pastes


def can_be_shown(proposals: pa.Table) -> Flags:
    """Which have an augmented view and no close-up: bool[N]."""
    flags: Flags = pc.and_(pc.is_valid(proposals["tta_score"]), pc.is_null(proposals["closeup_score"])).to_numpy(
        zero_copy_only=False
    )
    return flags


def _disagree(shared: SharedPastes, reader: Tensor, hit: Tensor) -> Flags:
    """Of which of the shown proposals some reader was found in some pastes and not in others."""
    seen = torch.bincount(reader, minlength=len(shared.stands))
    hits = torch.bincount(reader, weights=hit.double(), minlength=len(shared.stands))
    torn = torch.zeros(len(shared.shown), dtype=torch.bool)
    torn[shared.stands[(hits > 0) & (hits < seen)]] = True
    return torn.numpy()


def _places(rows: Flags, pending: PendingChecks) -> torch.Tensor:
    """Numbers of the crops of some proposals that wait."""
    return torch.from_numpy(np.flatnonzero(rows[pending.chosen]))
