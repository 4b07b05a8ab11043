"""Mining: proposals of a stream of images, the doubtful ones checked in other images, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from pipeline.artefacts import MiningCost
from pipeline.detector.inference.box_fusion import detect_fused
from pipeline.detector.inference.predictor import Detections, Predictor, detect_batch
from pipeline.detector.inference.stream import Fault, ImageBatch
from pipeline.mining.augmented_view import AugmentedViewEvidence, compare_augmented_view
from pipeline.mining.budget import Budgets
from pipeline.mining.checker import Checker, CheckEverything, CheckPolicy, Flags, PendingChecks, can_be_shown
from pipeline.mining.columns import fill_in
from pipeline.mining.consistency import gather_evidence
from pipeline.mining.cost import CostMeter
from pipeline.mining.crops import Crops, crop_proposals
from pipeline.mining.hosts import Hosts
from pipeline.mining.partner import PartnerEvidence, compare_partner
from pipeline.mining.proposal_rows import ProposalRows
from pipeline.mining.redetection import Redetector, prices
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, ImageRef, of_images, proposal_schema
from pipeline.settings import MiningSettings

FULL_BATCHES = 16
"""Checks wait until crops would fill so many batches of canvases."""


@dataclass(frozen=True)
class Mined:
    """What was found in some images.

    Attributes:
        proposals: Columns of `PROPOSAL_SCHEMA`, or of `Miner.schema`.
        checks: Columns of `CHECK_SCHEMA`.
        faults: Images that could not be read.
        cost: Windows, canvases and passes of the checks, and where time went.
    """

    proposals: pa.Table = field(default_factory=PROPOSAL_SCHEMA.empty_table)
    checks: pa.Table = field(default_factory=CHECK_SCHEMA.empty_table)
    faults: tuple[Fault, ...] = ()
    cost: MiningCost = field(default_factory=MiningCost)

    def of(self, proposals: pa.Table) -> pa.Table:
        """Checks of some of the proposals."""
        return self.checks.filter(
            pc.is_in(self.checks["proposal_id"], value_set=proposals["proposal_id"].combine_chunks())
        )


@dataclass(frozen=True)
class Miner:
    """Everything that mining needs but the images.

    Attributes:
        predictor: The detector.
        hosts: Labelled images.
        settings: How proposals are chosen and checked.
        model_id: Written to every proposal.
        seed: What is drawn for an image depends on it, on the image's id and on which of its proposals are checked.
        partner: A second detector, which is asked about every proposal; None where nobody is.
    """

    predictor: Predictor
    hosts: Hosts
    settings: MiningSettings
    model_id: str
    seed: int
    partner: Predictor | None = None

    @property
    def schema(self) -> pa.Schema:
        """Columns of its proposals."""
        return proposal_schema(visible_share=self.predictor.tells_visible_share)

    def mine(self, refs: Iterable[ImageRef], policy: CheckPolicy | None = None, known: Mined | None = None) -> Mined:
        """Propose and check.

        Args:
            refs: Images; those of one shape are put side by side, which wastes no padding.
            policy: Tells which proposals are worth an augmented view of their image or a close-up, and which are
                pasted, as far as its budgets reach; every one without it.
            known: What the same detector found before. Its images are not detected again, and are read again only
                where the policy wants more checks than they had.

        Returns:
            Proposals and checks; an image without proposals has no row.
        """
        return _Mining(self, policy or CheckEverything(), known or Mined(self.schema.empty_table())).run(refs)


class _Mining:
    """One call of `Miner.mine`.

    Args:
        miner: What it needs.
        policy: Tells which proposals are worth a check.
        known: What the same detector found before.
    """

    def __init__(self, miner: Miner, policy: CheckPolicy, known: Mined) -> None:
        self._miner = miner
        self._settings = miner.settings
        self._rows = ProposalRows(miner.predictor.labels, miner.model_id, miner.schema)
        self._policy = policy
        self._known = known
        self._meter = CostMeter()
        self._budgets = Budgets(policy.budget, policy.look_budget)
        self._faults: list[Fault] = []
        self._detect: Callable[[Tensor], list[Detections]] = miner.predictor
        if self._settings.fusion.enabled:
            self._detect = partial(detect_fused, miner.predictor, settings=self._settings.fusion)

    def run(self, refs: Iterable[ImageRef]) -> Mined:
        ordered = sorted(refs, key=lambda ref: (ref.height / ref.width, ref.image_id))
        before = set(self._known.proposals["image_id"].to_pylist())
        ready = self._taken_up([ref for ref in ordered if ref.image_id in before])
        found = self._found([ref for ref in ordered if ref.image_id not in before])
        redetector = Redetector(self._miner.predictor, self._settings, self._meter)
        checker = Checker(redetector, self._miner.hosts, self._settings, self._miner.seed)
        proposals, checks = [self._miner.schema.empty_table()], [CHECK_SCHEMA.empty_table()]
        for pending in self._in_loads(part for parts in (ready, found) for part in parts):
            checked = checker.check(pending, self._policy, self._budgets)
            self._count_pasted(*checked)
            for table, rows in zip((proposals, checks), checked, strict=True):
                table.append(rows)
        every = pa.concat_tables(proposals)
        self._meter.count(proposals=len(every))
        return Mined(every, pa.concat_tables(checks), tuple(self._faults), self._meter.total())

    def _found(self, refs: list[ImageRef]) -> Iterator[PendingChecks]:
        """Detect in images, and cut out what is worth a check."""
        for batch in self._batches(refs):
            with self._meter.time("detect"):
                detections = detect_batch(self._detect, batch)
            with self._meter.time("propose"):
                kept = [self._best(found) for found in detections]
                table = self._rows.write(batch, kept)
            table = self._ask_partner(batch, kept, table)
            yield self._pending(batch, kept, table, CHECK_SCHEMA.empty_table())

    def _taken_up(self, refs: list[ImageRef]) -> Iterator[PendingChecks]:
        """Take up what was found before, and cut out what is worth another check."""
        known = self._known
        advancing = self._advancing(known.proposals, known.checks)
        doubtful = set(known.proposals["image_id"].filter(pa.array(advancing)).to_pylist())
        idle = known.proposals.filter(of_images({ref.image_id for ref in refs} - doubtful))
        self._budgets.add_images(len(refs) - len(doubtful))
        none, free = np.zeros(len(idle), dtype=np.bool_), np.zeros((len(idle), 1 + len(self._settings.rounds)))
        yield PendingChecks(idle, known.of(idle), none, Crops.join([]), free)
        for batch in self._batches([ref for ref in refs if ref.image_id in doubtful]):
            with self._meter.time("propose"):
                parts = [known.proposals.filter(pc.field("image_id") == ref.image_id) for ref in batch.refs]
                kept = [self._rows.read(batch, index, part) for index, part in enumerate(parts)]
                table = pa.concat_tables(parts)
            yield self._pending(batch, kept, table, known.of(table))

    def _count_pasted(self, proposals: pa.Table, checks: pa.Table) -> None:
        evidence = gather_evidence(proposals, checks)
        pasted = evidence["checks"].to_numpy() > 0
        due = pasted | np.isfinite(self._policy.worth(evidence))
        self._meter.count(due=int(due.sum()), pasted=int(pasted.sum()), readings=len(checks))

    def _advancing(self, proposals: pa.Table, checks: pa.Table) -> Flags:
        """Which proposals are worth another check and have not had it."""
        return self._looking(proposals, checks) | self._due(proposals, checks)

    def _looking(self, proposals: pa.Table, checks: pa.Table) -> Flags:
        """Which proposals are worth another look at their own image."""
        unseen: Flags = pc.is_null(proposals["closeup_score"]).to_numpy(zero_copy_only=False)
        return self._policy.looks(gather_evidence(proposals, checks)) & unseen

    def _due(self, proposals: pa.Table, checks: pa.Table) -> Flags:
        """Which proposals are to be pasted."""
        evidence = gather_evidence(proposals, checks)
        new: Flags = evidence["checks"].to_numpy() == 0
        due: Flags = new & np.isfinite(self._policy.worth(evidence))
        return due

    def _pending(
        self, batch: ImageBatch, kept: list[Detections], proposals: pa.Table, checks: pa.Table
    ) -> PendingChecks:
        """Detect in an augmented view of images where it matters, then cut out what is worth more."""
        sizes = [len(found) for found in kept]
        unseen = proposals["tta_score"].is_null().to_numpy(zero_copy_only=False)
        looking = self._looking(proposals, checks) & unseen
        doubtful = np.array([bool(flags.any()) for flags in _split(looking, sizes)])
        self._budgets.add_images(len(sizes))
        augmented = self._budgets.looks.spend(doubtful, np.full(len(sizes), self._settings.tta_scale**2))
        if augmented.any():
            proposals = self._augment(batch, kept, proposals, augmented)
        closer = self._looking(proposals, checks) & can_be_shown(proposals)
        advancing = closer | self._due(proposals, checks)
        with self._meter.time("propose"):
            parts = zip(_split(advancing, sizes), kept, batch.unpadded(), strict=True)
            crops = Crops.join(
                crop_proposals(found[rows], source, self._settings.crop_margin) for rows, found, source in parts
            )
            each = [
                prices(found.boxes, torch.tensor([(width, height)]), self._settings)
                for found, (height, width) in zip(kept, batch.sizes, strict=True)
            ]
        return PendingChecks(proposals, checks, advancing, crops, torch.cat(each)[:, 1:].double().numpy())

    def _augment(self, batch: ImageBatch, kept: list[Detections], proposals: pa.Table, augmented: Flags) -> pa.Table:
        """Fill in what an augmented view of some images shows."""
        chosen = np.flatnonzero(augmented)
        images, own = batch.images[torch.from_numpy(chosen)], [kept[index] for index in chosen]
        with self._meter.time("detect"):
            seen = compare_augmented_view(self._miner.predictor, images, own, self._settings.tta_scale)
        self._meter.count(augmented_views=len(chosen))
        rows = np.repeat(augmented, [len(found) for found in kept])
        return fill_in(proposals, rows, AugmentedViewEvidence.join(seen).columns())

    def _ask_partner(self, batch: ImageBatch, kept: list[Detections], proposals: pa.Table) -> pa.Table:
        """Fill in what a second detector says of the proposals of a batch."""
        if self._miner.partner is None:
            return proposals
        with self._meter.time("detect"):
            seen = detect_batch(self._miner.partner, batch)
        said = PartnerEvidence.join([compare_partner(*pair) for pair in zip(kept, seen, strict=True)])
        return fill_in(proposals, np.ones(len(said), dtype=np.bool_), said.columns())

    def _batches(self, refs: list[ImageRef]) -> Iterator[ImageBatch]:
        stream = self._miner.predictor.stream(refs)
        batches = iter(stream)
        while True:
            with self._meter.time("decode"):
                batch = next(batches, None)
            if batch is None:
                self._faults += stream.faults
                return
            yield batch

    def _in_loads(self, parts: Iterable[PendingChecks]) -> Iterator[PendingChecks]:
        """Put together what fills some batches of canvases, so that few of them go out half empty."""
        enough = FULL_BATCHES * self._miner.predictor.batch_size * self._miner.predictor.image_size_px**2
        load: list[PendingChecks] = []
        for part in parts:
            load.append(part)
            if sum(pending.crops.pixels for pending in load) >= enough:
                yield PendingChecks.join(load)
                load = []
        if load:
            yield PendingChecks.join(load)

    def _best(self, found: Detections) -> Detections:
        return found[found.scores >= self._settings.proposal_score][: self._settings.proposals_per_image]


def _split(rows: Flags, sizes: list[int]) -> tuple[torch.Tensor, ...]:
    """Cut flags that go through all images into those of each."""
    return torch.split(torch.from_numpy(rows), sizes)
