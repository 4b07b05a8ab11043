"""Mining: proposals of a stream of pictures, each checked in other pictures, in parts of bounded size."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.detector.predict import Detections, Predictor, detect_pictures
from pipeline.detector.stream import Fault, PictureBatch
from pipeline.mining.hosts import Hosts
from pipeline.mining.paste import Pastes, draw_pastes
from pipeline.mining.proposals import class_scores, view_agreement
from pipeline.mining.validate import Cost, Redetections, redetect
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, ImageRef
from pipeline.seeds import numpy_generator
from pipeline.settings import MiningSettings

CLASS_FREE_IMAGE, CLASS_FREE_REGION = "class_free_image", "class_free_region"


@dataclass
class Mined:
    """What was found in some pictures.

    Attributes:
        proposals: Columns of `PROPOSAL_SCHEMA`.
        checks: Columns of `CHECK_SCHEMA`.
        faults: Pictures that could not be read.
        cost: Pastes, canvases and passes of the checks.
        seconds: By stage: `detect`, `views`, `check`.
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
        seed: The settings' seed; what is drawn for a picture depends on it and on the picture's id alone.
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

    def mine(self, refs: Iterable[ImageRef]) -> Mined:
        """Propose and check.

        Args:
            refs: Pictures; those of one shape are put side by side, which wastes no padding.

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
        for batch, found in stream:
            found = [self._kept(one) for one in found]
            clock.lap("detect")
            agreement = view_agreement(self._predictor, batch.images, found, self._settings.views)
            clock.lap("views")
            proposals.append(self._proposal_table(batch, found, agreement))
            checks.append(self._check_table(batch, found, mined.cost))
            clock.lap("check")
        mined.proposals, mined.checks = pa.concat_tables(proposals), pa.concat_tables(checks)
        return mined

    def _kept(self, found: Detections) -> Detections:
        return found[found.scores >= self._settings.proposal_score][: self._settings.proposals_per_image]

    def _proposal_table(self, batch: PictureBatch, found: list[Detections], agreement: list[Tensor]) -> pa.Table:
        labels = self._predictor.detector.labels
        scores = [class_scores(one, len(labels)) for one in found]
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
            "agreement": torch.cat(agreement).numpy() if self._settings.views else None,
            "embedding": pa.FixedSizeListArray.from_arrays(embeddings.numpy().ravel(), embeddings.shape[1]),
            "model_id": [self._model_id] * len(boxes),
        }
        return _table(columns, PROPOSAL_SCHEMA, len(boxes))

    def _check_table(self, batch: PictureBatch, found: list[Detections], cost: Cost) -> pa.Table:
        pastes = self._draw(batch, found)
        if pastes is None:
            return CHECK_SCHEMA.empty_table()
        seen = redetect(self._predictor, pastes, _pictures(batch), self._hosts, self._settings, cost)
        return self._rows(pastes, seen, np.array(_proposal_ids(batch, found)))

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


def _pictures(batch: PictureBatch) -> list[NDArray[np.uint8]]:
    """Each picture without its padding, uint8[H, W, 3]."""
    cut = zip(batch.images, batch.sizes, strict=True)
    return [np.ascontiguousarray(image[:, :height, :width].permute(1, 2, 0).numpy()) for image, (height, width) in cut]


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
