"""Mining: proposals of a stream of pictures, the doubtful ones checked in other pictures, in parts of bounded size."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.detector.predict import Detections, Predictor, detect_pictures
from pipeline.detector.stream import Fault, PictureBatch
from pipeline.mining.hosts import Hosts
from pipeline.mining.paste import Pastes, draw_pastes
from pipeline.mining.proposals import Neighbours, class_scores, look_around
from pipeline.mining.validate import Cost, Redetections, redetect, redetect_alone
from pipeline.records import CHECK_SCHEMA, NEIGHBOUR_FIELDS, PROPOSAL_SCHEMA, ImageRef
from pipeline.seeds import numpy_generator
from pipeline.settings import MiningSettings

CLASS_FREE_IMAGE, CLASS_FREE_REGION = "class_free_image", "class_free_region"


class Gate(Protocol):
    """Tells which proposals are worth what another check costs."""

    def climbs(self, proposals: pa.Table) -> NDArray[np.bool_]:
        """Which of them another check may still change the fate of.

        Args:
            proposals: Columns of `PROPOSAL_SCHEMA`; those without `agreement` were not checked yet, the others are
                about to be pasted.

        Returns:
            bool[N].
        """


@dataclass
class Mined:
    """What was found in some pictures.

    Attributes:
        proposals: Columns of `PROPOSAL_SCHEMA`.
        checks: Columns of `CHECK_SCHEMA`.
        faults: Pictures that could not be read.
        cost: Windows, canvases and passes of the checks.
        seconds: By stage: `detect`, `alone`, `paste`.
    """

    proposals: pa.Table
    checks: pa.Table
    faults: list[Fault] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    seconds: dict[str, float] = field(default_factory=dict)


class Miner:
    """Everything that mining needs but the pictures.

    Args:
        predictor: The detector, in the precision of the settings.
        hosts: Labelled pictures.
        model_id: Written to every proposal.
        settings: How proposals are chosen and checked.
        max_pixels: A larger picture is refused.
        seed: The settings' seed; what is drawn for a picture depends on it, on the picture's id and on which of its
            proposals are checked.
    """

    def __init__(
        self, predictor: Predictor, hosts: Hosts, *, model_id: str, settings: MiningSettings, max_pixels: int, seed: int
    ) -> None:
        self._predictor = predictor
        self._hosts = hosts
        self._model_id = model_id
        self._settings = settings
        self._max_pixels = max_pixels
        self._seed = seed

    def mine(self, refs: Iterable[ImageRef], gate: Gate | None = None) -> Mined:
        """Propose and check.

        Args:
            refs: Pictures; those of one shape are put side by side, which wastes no padding.
            gate: Tells which proposals are shown alone and, of these, which are pasted; every one without it.

        Returns:
            Proposals and checks; a picture without proposals has no row.
        """
        mined = Mined(PROPOSAL_SCHEMA.empty_table(), CHECK_SCHEMA.empty_table())
        proposals, checks = [mined.proposals], [mined.checks]
        ordered = sorted(refs, key=lambda ref: (ref.height / ref.width, ref.image_id))
        stream = detect_pictures(
            self._predictor,
            ordered,
            max_pixels=self._max_pixels,
            threads=self._settings.decode_threads,
            faults=mined.faults,
        )
        clock = _Clock(mined.seconds)
        for batch, detections in stream:
            found = [self._kept(one) for one in detections]
            table = self._proposal_table(batch, found)
            clock.lap("detect")
            table, shown = self._look_alone(batch, found, table, gate, mined.cost)
            proposals.append(table)
            clock.lap("alone")
            doubtful = shown if gate is None else shown & gate.climbs(table)
            checks.append(self._paste(batch, found, table, doubtful, mined.cost))
            clock.lap("paste")
        mined.proposals, mined.checks = pa.concat_tables(proposals), pa.concat_tables(checks)
        return mined

    def _kept(self, found: Detections) -> Detections:
        return found[found.scores >= self._settings.proposal_score][: self._settings.proposals_per_image]

    def _proposal_table(self, batch: PictureBatch, found: list[Detections]) -> pa.Table:
        labels = self._predictor.detector.labels
        scores = [class_scores(one, len(labels)) for one in found]
        neighbours = Neighbours.join([look_around(one) for one in found])
        boxes = torch.cat([batch.to_original(index, one.boxes) for index, one in enumerate(found)])
        embeddings = torch.cat([one.embeddings for one in found])
        columns = {
            "proposal_id": _proposal_ids(batch, found),
            "image_id": [ref.image_id for ref, one in zip(batch.refs, found, strict=True) for _ in range(len(one))],
            **_corner_columns(boxes),
            "label": [labels[number - 1] for one in found for number in one.labels.tolist()],
            "score": torch.cat([one.scores for one in found]).numpy(),
            "entropy": torch.cat([one.entropy for one in scores]).numpy(),
            "runner_up": torch.cat([one.runner_up for one in scores]).numpy(),
            **{name: getattr(neighbours, name).numpy() for name, _ in NEIGHBOUR_FIELDS},
            "agreement": None,
            "agreement_iou": None,
            "embedding": pa.FixedSizeListArray.from_arrays(embeddings.numpy().ravel(), embeddings.shape[1]),
            "model_id": [self._model_id] * len(boxes),
        }
        return _table(columns, PROPOSAL_SCHEMA, len(boxes))

    def _look_alone(
        self, batch: PictureBatch, found: list[Detections], proposals: pa.Table, gate: Gate | None, cost: Cost
    ) -> tuple[pa.Table, NDArray[np.bool_]]:
        """Fill in `agreement`, and tell where."""
        shown = np.ones(len(proposals), dtype=np.bool_) if gate is None else gate.climbs(proposals)
        seen = redetect_alone(self._predictor, _chosen(found, shown), batch.pictures(), self._settings, cost)
        for name, values in (("agreement", seen.score), ("agreement_iou", seen.iou)):
            column = np.full(len(proposals), np.nan, dtype=np.float32)
            column[shown] = values.numpy()
            place = proposals.schema.get_field_index(name)
            proposals = proposals.set_column(place, proposals.schema.field(place), pa.array(column, from_pandas=True))
        return proposals, shown

    def _paste(
        self, batch: PictureBatch, found: list[Detections], proposals: pa.Table, chosen: NDArray[np.bool_], cost: Cost
    ) -> pa.Table:
        pastes = self._draw(batch, _chosen(found, chosen))
        if pastes is None:
            return CHECK_SCHEMA.empty_table()
        seen = redetect(self._predictor, pastes, batch.pictures(), self._hosts, self._settings, cost)
        return self._rows(pastes, seen, proposals["proposal_id"].to_numpy(zero_copy_only=False)[chosen])

    def _draw(self, batch: PictureBatch, found: list[Detections]) -> Pastes | None:
        parts, first = [], 0
        for index, (ref, one) in enumerate(zip(batch.refs, found, strict=True)):
            height, width = batch.sizes[index]
            random = numpy_generator(self._seed, "paste", ref.image_id)
            if len(one):
                parts.append(
                    draw_pastes(
                        one.boxes, one.labels, (width, height), self._hosts, self._settings, random,
                        source=index, first_proposal=first,
                    )
                )  # fmt: skip
            first += len(one)
        return Pastes.join(parts) if parts else None

    def _rows(self, pastes: Pastes, seen: Redetections, ids: NDArray[np.str_]) -> pa.Table:
        factors = self._hosts.to_original[pastes.host].repeat(1, 2)
        placed = _corner_columns(pastes.object * factors, "paste_")
        columns = {
            "proposal_id": ids[pastes.proposal.numpy()],
            "host_id": np.array(self._hosts.image_ids)[pastes.host.numpy()],
            "host_kind": np.where(pastes.class_free.numpy(), CLASS_FREE_IMAGE, CLASS_FREE_REGION),
            **placed,
            "margin": np.full(len(pastes), self._settings.margin, dtype=np.float32),
            "scale": pastes.scale.numpy(),
            "hit": seen.hit.numpy(),
            "score": seen.score.numpy(),
            "iou": seen.iou.numpy(),
            **_corner_columns(seen.boxes * factors),
        }
        return _table(columns, CHECK_SCHEMA, len(pastes))


def _chosen(found: list[Detections], chosen: NDArray[np.bool_]) -> list[Detections]:
    """Some of the proposals of each picture; `chosen` goes through all pictures."""
    parts = torch.split(torch.from_numpy(chosen), [len(one) for one in found])
    return [one[part] for one, part in zip(found, parts, strict=True)]


class _Clock:
    """Adds up the seconds between laps."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._last
        self._last = now


def _proposal_ids(batch: PictureBatch, found: list[Detections]) -> list[str]:
    pairs = zip(batch.refs, found, strict=True)
    return [f"{ref.image_id[:20]}.{rank:03d}" for ref, one in pairs for rank in range(len(one))]


def _corner_columns(boxes: Tensor, prefix: str = "") -> dict[str, NDArray[np.float32]]:
    return {f"{prefix}{name}": boxes[:, i].float().numpy() for i, name in enumerate(("x1", "y1", "x2", "y2"))}


def _table(columns: dict[str, object], schema: pa.Schema, count: int) -> pa.Table:
    """A table in the order of a schema; NaN becomes null, a missing column is all null."""
    arrays = [
        pa.nulls(count, field.type)
        if columns[field.name] is None
        else pa.array(columns[field.name], from_pandas=True).cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
