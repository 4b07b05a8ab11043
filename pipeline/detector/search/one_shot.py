"""A search from its beginning to its end: a supernet is trained once, and paths are judged by its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from pipeline.detector.evaluation.metrics import map_on
from pipeline.detector.models.bodies.paths import kept_channels, rank_channels, take_path
from pipeline.detector.models.detector import Detector, build_detector
from pipeline.detector.models.saved import take_weights, weights_of
from pipeline.detector.models.statistics import Moments, bring_to, folded_moments
from pipeline.detector.search.evolution import Evolution, Measure, evolve, random_within
from pipeline.detector.search.latency import LatencyTable, latency_table, relative_latencies
from pipeline.detector.search.space import WHOLE
from pipeline.detector.search.supernet import elastic
from pipeline.detector.training.fit import TrainingJob, fit, labeled_predictor
from pipeline.folder import Folder
from pipeline.progress import Progress
from pipeline.records import Sample
from pipeline.seeds import derive_seed, draw, numpy_generator
from pipeline.settings import PathSettings, Settings

CALIBRATION_IMAGES = 32
"""Training images that the statistics of a path are estimated on."""
NEAR = 0.95
"""Random paths to compare with take at least this share of what the found one does."""
_LATENCIES = "latencies.json"
Origin = Literal["whole", "found", "random"]


@dataclass(frozen=True)
class PathResult:
    """What is known of a path.

    Attributes:
        origin: The whole body, the path that was found, or a random one that takes as long.
        path: Its depths and widths.
        table_latency: Its latency by the table of blocks, relative to the whole body.
        latency: The same, measured as a whole.
        shared_map: mAP on val with the weights of the supernet.
        trained_map: mAP on test, trained alone from ImageNet weights; None where it was not.
    """

    origin: Origin
    path: PathSettings
    table_latency: float
    latency: float
    shared_map: float
    trained_map: float | None = None


class SharedWeights:
    """Paths of a trained supernet, as they detect without training.

    Normalisation is folded, so that a path has no batch statistics to recompute. Instead, the outputs of each
    convolution are brought to the mean and deviation that they have in the whole body, on training images; recomputed
    statistics would bring them to the same, if those of the whole body are right.

    Args:
        detector: The supernet, trained.
        ranked: Which channels its paths keep.
        settings: The project.
        train: Images that statistics are estimated on.
        val: Held-back images.

    Attributes:
        images: Batches that statistics are estimated on, Tensor[B, 3, H, W] uint8.
    """

    def __init__(
        self,
        detector: Detector,
        ranked: dict[str, Tensor],
        settings: Settings,
        train: Sequence[Sample],
        val: Sequence[Sample],
    ) -> None:
        self._whole = labeled_predictor(settings, detector)
        self._ranked, self._settings, self._val = ranked, settings, val
        seen = draw(train, CALIBRATION_IMAGES, settings.seed, "path statistics")
        self.images = list(self._whole.inputs(sample.ref for sample in seen))
        self._moments = folded_moments(detector, self.images)

    def take(self, path: PathSettings) -> Detector:
        """A path with the supernet's weights, its statistics recomputed."""
        detector: Detector = deepcopy(self._whole.detector)
        take_path(detector.body, path, self._ranked)
        bring_to(detector, self._wanted(detector, path), self.images)
        return detector

    def map(self, path: PathSettings) -> float:
        """Mean average precision on the held-back images."""
        return map_on(labeled_predictor(self._settings, self.take(path)), self._val) or 0.0

    def _wanted(self, detector: Detector, path: PathSettings) -> dict[str, Moments]:
        """Moments of the whole body's channels that the path keeps."""
        stays, wanted = {name for name, _ in detector.body.named_modules()}, dict[str, Moments]()
        for name, moments in self._moments.items():
            block, _, layer = name.rpartition(".")
            if name in stays and layer in ("conv_pw", "conv_dw") and block in self._ranked:
                kept = kept_channels(self._ranked[block], path.widths[int(block.split(".")[1]) - 1])
                wanted[name] = (moments[0][kept], moments[1][kept])
            elif name in stays:
                wanted[name] = moments
        return wanted


@dataclass(frozen=True)
class SharedMap:
    """What a path finds with the weights of the supernet: mAP on val."""

    map: float


@dataclass(frozen=True)
class Search:
    """A search in a project.

    Attributes:
        job: How the supernet is trained; paths that are compared are trained as long.
        val: Held-back images, by which paths are judged.
        evolution: How paths are searched for.
    """

    job: TrainingJob
    val: Sequence[Sample]
    evolution: Evolution


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        paths: The whole body, the found path, then random ones.
        judged: How many paths were looked at.
    """

    paths: tuple[PathResult, ...]
    judged: int


def search(plan: Search, compare: int, progress: Progress) -> Outcome:
    """Train a supernet and search its paths.

    Latencies, the paths that were judged and what was trained are kept beside the checkpoints, so that a search that
    was killed goes on.

    Args:
        plan: The search.
        compare: How many random paths, about as fast as the found one, are judged as well.
        progress: Called after every step and path.

    Raises:
        SettingsError: No path is within the limit.
    """
    settings = plan.job.settings
    detector = _build(settings, WHOLE)
    ranked = rank_channels(detector.body)
    with elastic(detector):
        _fit(detector, plan.job, "supernet", progress)
    shared = SharedWeights(detector, ranked, settings, plan.job.samples, plan.val)
    kept = plan.job.checkpoints.folder(f"judged-{_digest(plan.job)}")
    table = _kept_table(kept, settings)
    judged = evolve(_kept_maps(kept, shared.map), table.share, plan.evolution, settings.seed, progress)
    found = next(iter(judged))
    share = table.share(found)
    rng = numpy_generator(settings.seed, "paths to compare with")
    others = random_within(table.share, (NEAR * share, plan.evolution.limit), compare, rng)
    origins: list[tuple[Origin, PathSettings]] = [("whole", WHOLE), ("found", found)]
    origins += [("random", path) for path in others if path != found]
    return Outcome(_measured(settings, origins, table, shared), len(judged))


def train_alone(plan: Search, path: PathSettings, test: Sequence[Sample], progress: Progress) -> float:
    """Train a path from ImageNet weights, as long as the supernet was.

    Returns:
        Its mAP on test.
    """
    detector = _build(plan.job.settings, path)
    _fit(detector, plan.job, _name(path), progress)
    return map_on(labeled_predictor(plan.job.settings, detector), test) or 0.0


def _kept_table(kept: Folder, settings: Settings) -> LatencyTable:
    """Latencies as they were measured first: others would lead to other paths."""
    if not kept.exists(_LATENCIES):
        table = latency_table(_build(settings, WHOLE).eval().body, settings.detector.image_size_px)
        kept.write_record(_LATENCIES, table)
    return kept.read_record(_LATENCIES, LatencyTable)


def _kept_maps(kept: Folder, measure: Measure) -> Measure:
    def once(path: PathSettings) -> float:
        name = f"{_name(path)}.json"
        if not kept.exists(name):
            kept.write_record(name, SharedMap(measure(path)))
        return kept.read_record(name, SharedMap).map

    return once


def _name(path: PathSettings) -> str:
    return f"path-{'-'.join(map(str, (*path.depths, *path.widths)))}"


def _fit(detector: Detector, job: TrainingJob, name: str, progress: Progress) -> None:
    """Train a detector, unless it was before the search was killed: what it learnt stays beside the checkpoint."""
    runs, trained = job.checkpoints.folder(name), f"{_digest(job)}.safetensors"
    if runs.exists(trained):
        take_weights(detector, runs.read_bytes(trained), runs.path(trained))
        return
    fit(detector, replace(job, identity=f"{job.identity} {name}", checkpoints=runs), progress)
    runs.write_bytes(trained, weights_of(detector))


def _digest(job: TrainingJob) -> str:
    return hashlib.sha256(job.identity.encode()).hexdigest()[:12]


def _measured(
    settings: Settings, origins: Sequence[tuple[Origin, PathSettings]], table: LatencyTable, shared: SharedWeights
) -> tuple[PathResult, ...]:
    bodies = [_build(settings, path).eval().body for _, path in origins]
    latencies = relative_latencies(bodies, bodies[0], settings.detector.image_size_px)
    return tuple(
        PathResult(origin, path, round(table.share(path), 4), round(latency, 4), round(shared.map(path), 4))
        for (origin, path), latency in zip(origins, latencies, strict=True)
    )


def _build(settings: Settings, path: PathSettings) -> Detector:
    network = settings.detector.model_copy(update={"path": path})
    seed = derive_seed(settings.seed, "search")
    return build_detector(network, settings.data.labels, settings.training, seed)
