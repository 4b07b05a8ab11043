"""Mining: proposals of a stream of images, the doubtful ones checked in other images, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from pipeline.boxes import as_boxes
from pipeline.detector.inference.box_fusion import detect_fused
from pipeline.detector.inference.predictor import Detections, Predictor, detect_batch
from pipeline.detector.inference.stream import Fault, ImageBatch, stream_images
from pipeline.mining.augmented_view import AugmentedViewEvidence, compare_augmented_view
from pipeline.mining.budget import PassBudget
from pipeline.mining.checker import Checker, CheckEverything, CheckPolicy, Flags, PendingChecks
from pipeline.mining.columns import CORNERS, corner_columns, fill_in, table_of
from pipeline.mining.consistency import gather_evidence
from pipeline.mining.crops import Crops, crop_proposals
from pipeline.mining.hosts import Hosts
from pipeline.mining.proposals import Neighbours, class_scores, compare_neighbours
from pipeline.mining.redetection import Cost, prices
from pipeline.records import CHECK_SCHEMA, NEIGHBOUR_FIELDS, PROPOSAL_SCHEMA, TTA_FIELDS, ImageRef, of_images
from pipeline.settings import MiningSettings

FULL_BATCHES = 2
"""Checks wait until crops would fill so many batches of canvases."""


@dataclass
class Mined:
    """What was found in some images.

    Attributes:
        proposals: Columns of `PROPOSAL_SCHEMA`.
        checks: Columns of `CHECK_SCHEMA`.
        faults: Images that could not be read.
        cost: Windows, canvases and passes of the checks, and where time went.
    """

    proposals: pa.Table = field(default_factory=PROPOSAL_SCHEMA.empty_table)
    checks: pa.Table = field(default_factory=CHECK_SCHEMA.empty_table)
    faults: list[Fault] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)


class Miner:
    """CheckEverything that mining needs but the images.

    Args:
        predictor: The detector, in the precision of the settings.
        hosts: Labelled images.
        model_id: Written to every proposal.
        settings: How proposals are chosen and checked.
        max_pixels: A larger image is refused.
        seed: The settings' seed; what is drawn for an image depends on it, on the image's id and on which of its
            proposals are checked.
    """

    def __init__(
        self, predictor: Predictor, hosts: Hosts, *, model_id: str, settings: MiningSettings, max_pixels: int, seed: int
    ) -> None:
        self._predictor = predictor
        self._checker = Checker(predictor, hosts, settings, seed)
        self._model_id = model_id
        self._settings = settings
        self._max_pixels = max_pixels
        self._context = max(settings.margin, settings.closeup_margin)
        self._detect: Callable[[Tensor], list[Detections]] = predictor
        if settings.fusion.enabled:
            self._detect = partial(detect_fused, predictor, settings=settings.fusion)

    def mine(self, refs: Iterable[ImageRef], policy: CheckPolicy | None = None, known: Mined | None = None) -> Mined:
        """Propose and check.

        Args:
            refs: Images; those of one shape are put side by side, which wastes no padding.
            policy: Tells which proposals are worth an augmented view at their image and, of these, which are shown closer
                and pasted, as far as its budget reaches; every one without it.
            known: What the same detector found before. Its images are not detected again, and are read again only
                where the policy wants more checks than they had.

        Returns:
            Proposals and checks; an image without proposals has no row.
        """
        mined, policy, known = Mined(), policy or CheckEverything(), known or Mined()
        budget = PassBudget(policy.budget)
        ordered = sorted(refs, key=lambda ref: (ref.height / ref.width, ref.image_id))
        before = set(known.proposals["image_id"].to_pylist())
        ready = self._ready(known, [ref for ref in ordered if ref.image_id in before], policy, budget, mined)
        found = self._found([ref for ref in ordered if ref.image_id not in before], policy, budget, mined)
        proposals, checks = [mined.proposals], [mined.checks]
        for pending in self._in_loads(part for parts in (ready, found) for part in parts):
            checked = self._checker.check(pending, policy, budget, mined.cost)
            for table, rows in zip((proposals, checks), checked, strict=True):
                table.append(rows)
        mined.proposals, mined.checks = pa.concat_tables(proposals), pa.concat_tables(checks)
        return mined

    def _found(
        self, refs: list[ImageRef], policy: CheckPolicy, budget: PassBudget, mined: Mined
    ) -> Iterator[PendingChecks]:
        """Detect in images, and cut out what is worth a check."""
        for batch in self._batches(refs, mined):
            with mined.cost.time("detect"):
                detections = detect_batch(self._detect, batch)
            with mined.cost.time("propose"):
                kept = [self._kept(one) for one in detections]
                table = self._proposal_table(batch, kept)
            yield self._pending(batch, kept, table, CHECK_SCHEMA.empty_table(), policy, budget, mined.cost)

    def _ready(
        self, known: Mined, refs: list[ImageRef], policy: CheckPolicy, budget: PassBudget, mined: Mined
    ) -> Iterator[PendingChecks]:
        """Take up what was found before, and cut out what is worth another check."""
        advancing = self._advancing(known.proposals, known.checks, policy)
        doubtful = set(known.proposals["image_id"].filter(pa.array(advancing)).to_pylist())
        idle = known.proposals.filter(of_images({ref.image_id for ref in refs} - doubtful))
        budget.add_images(len(refs) - len(doubtful))
        none, free = np.zeros(len(idle), dtype=np.bool_), np.zeros((len(idle), 1 + len(self._settings.rounds)))
        yield PendingChecks(idle, _checks_of(known, idle), none, Crops.join([]), free)
        for batch in self._batches([ref for ref in refs if ref.image_id in doubtful], mined):
            with mined.cost.time("propose"):
                parts = [known.proposals.filter(pc.field("image_id") == ref.image_id) for ref in batch.refs]
                kept = [self._detections(batch, index, part) for index, part in enumerate(parts)]
                table = pa.concat_tables(parts)
            yield self._pending(batch, kept, table, _checks_of(known, table), policy, budget, mined.cost)

    def _advancing(self, proposals: pa.Table, checks: pa.Table, policy: CheckPolicy) -> Flags:
        """Which proposals are worth another check and have not had all of them."""
        evidence = gather_evidence(proposals, checks)
        unfinished: Flags = evidence["checks"].to_numpy() < self._settings.hosts
        return policy.advances(evidence) & unfinished

    def _pending(
        self,
        batch: ImageBatch,
        kept: list[Detections],
        proposals: pa.Table,
        checks: pa.Table,
        policy: CheckPolicy,
        budget: PassBudget,
        cost: Cost,
    ) -> PendingChecks:
        """Look again at images where it matters, then cut out what is worth more."""
        sizes = [len(one) for one in kept]
        unlooked = proposals["tta_score"].is_null().to_numpy(zero_copy_only=False)
        advancing = self._advancing(proposals, checks, policy)
        doubtful = np.array([bool(flags.any()) for flags in _split(advancing & unlooked, sizes)])
        budget.add_images(len(sizes))
        looked_at = budget.spend(doubtful, np.full(len(sizes), self._settings.tta_scale**2))
        if looked_at.any():
            proposals = self._look_again(batch, kept, proposals, looked_at, cost)
            advancing = self._advancing(proposals, checks, policy)
        advancing &= proposals["tta_score"].is_valid().to_numpy(zero_copy_only=False)
        with cost.time("propose"):
            parts = zip(_split(advancing, sizes), kept, batch.unpadded(), strict=True)
            crops = Crops.join(crop_proposals(one[rows], source, self._context) for rows, one, source in parts)
            each = [
                prices(one.boxes, torch.tensor([(width, height)]), self._settings)
                for one, (height, width) in zip(kept, batch.sizes, strict=True)
            ]
        return PendingChecks(proposals, checks, advancing, crops, torch.cat(each)[:, 1:].double().numpy())

    def _look_again(
        self, batch: ImageBatch, kept: list[Detections], proposals: pa.Table, looked_at: Flags, cost: Cost
    ) -> pa.Table:
        """Fill in what an augmented view at some images shows."""
        chosen = np.flatnonzero(looked_at)
        with cost.time("detect"):
            images, own = batch.images[torch.from_numpy(chosen)], [kept[index] for index in chosen]
            seen = AugmentedViewEvidence.join(
                compare_augmented_view(self._predictor, images, own, self._settings.tta_scale)
            )
        cost.looks += len(chosen)
        rows = np.repeat(looked_at, [len(one) for one in kept])
        return fill_in(
            proposals, rows, {f"tta_{one.name}": getattr(seen, one.name) for one in fields(AugmentedViewEvidence)}
        )

    def _batches(self, refs: list[ImageRef], mined: Mined) -> Iterator[ImageBatch]:
        stream = stream_images(
            refs,
            image_size_px=self._predictor.detector.settings.image_size_px,
            max_pixels=self._max_pixels,
            batch_size=self._predictor.batch_size,
            threads=self._settings.decode_threads,
            faults=mined.faults,
        )
        while True:
            with mined.cost.time("decode"):
                batch = next(stream, None)
            if batch is None:
                return
            yield batch

    def _in_loads(self, parts: Iterable[PendingChecks]) -> Iterator[PendingChecks]:
        """Put together what fills some batches of canvases, so that few of them go out half empty."""
        side = self._predictor.detector.settings.image_size_px
        enough = FULL_BATCHES * self._predictor.batch_size * side * side
        load: list[PendingChecks] = []
        for part in parts:
            load.append(part)
            if sum(one.crops.pixels for one in load) >= enough:
                yield PendingChecks.join(load)
                load = []
        if load:
            yield PendingChecks.join(load)

    def _kept(self, found: Detections) -> Detections:
        return found[found.scores >= self._settings.proposal_score][: self._settings.proposals_per_image]

    def _detections(self, batch: ImageBatch, index: int, proposals: pa.Table) -> Detections:
        """Proposals of an image as they were detected."""
        corners = as_boxes(np.stack([proposals[name].to_numpy() for name in CORNERS], axis=1))
        labels = pc.index_in(proposals["label"], value_set=pa.array(self._predictor.detector.labels))
        return Detections(
            batch.to_input(index, corners),
            torch.from_numpy(proposals["score"].to_numpy().copy()),
            torch.from_numpy(labels.to_numpy().astype(np.int64)) + 1,
            torch.zeros(len(proposals), 0),
        )

    def _proposal_table(self, batch: ImageBatch, found: list[Detections]) -> pa.Table:
        labels = self._predictor.detector.labels
        scores = [class_scores(one, len(labels)) for one in found]
        neighbours = Neighbours.join([compare_neighbours(one) for one in found])
        boxes = torch.cat([batch.to_original(index, one.boxes) for index, one in enumerate(found)])
        embeddings = torch.cat([one.embeddings for one in found])
        columns = {
            "proposal_id": _proposal_ids(batch, found),
            "image_id": [ref.image_id for ref, one in zip(batch.refs, found, strict=True) for _ in range(len(one))],
            **corner_columns(boxes),
            "label": [labels[number - 1] for one in found for number in one.labels.tolist()],
            "score": torch.cat([one.scores for one in found]).numpy(),
            "entropy": torch.cat([one.entropy for one in scores]).numpy(),
            "runner_up": torch.cat([one.runner_up for one in scores]).numpy(),
            **{name: getattr(neighbours, name).numpy() for name, _ in NEIGHBOUR_FIELDS},
            **dict.fromkeys((name for name, _ in TTA_FIELDS)),
            "closeup_score": None,
            "closeup_iou": None,
            "embedding": pa.FixedSizeListArray.from_arrays(embeddings.numpy().ravel(), embeddings.shape[1]),
            "model_id": [self._model_id] * len(boxes),
        }
        return table_of(columns, PROPOSAL_SCHEMA, len(boxes))


def _checks_of(known: Mined, proposals: pa.Table) -> pa.Table:
    return known.checks.filter(
        pc.is_in(known.checks["proposal_id"], value_set=proposals["proposal_id"].combine_chunks())
    )


def _split(rows: Flags, sizes: list[int]) -> tuple[torch.Tensor, ...]:
    """Cut flags that go through all images into those of each."""
    return torch.split(torch.from_numpy(rows), sizes)


def _proposal_ids(batch: ImageBatch, found: list[Detections]) -> list[str]:
    pairs = zip(batch.refs, found, strict=True)
    return [f"{ref.image_id[:20]}.{rank:03d}" for ref, one in pairs for rank in range(len(one))]
