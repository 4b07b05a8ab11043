"""`crosscheck models --bench`: what each method of the catalogue costs, and what it finds after a short training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.bench.catalogue_entries import ENTRIES, Entry
from pipeline.bench.grid import Grid
from pipeline.bench.scenario import Scenario, short_hash, train
from pipeline.detector.evaluation.exported_form import fastest
from pipeline.detector.models.detector import Detector, build_detector
from pipeline.errors import SettingsError
from pipeline.progress import Progress, silent
from pipeline.runners import runner_of
from pipeline.selection.judging import Helpers
from pipeline.settings import Settings, load_settings
from pipeline.stages.gate import evaluate_model


@dataclass(frozen=True)
class CatalogueRow:
    """What is known of a method.

    Attributes:
        kind: backbone, neck, norm, head or loss.
        name: Of the method.
        setting: What selects it.
        parameters: Of the whole detector.
        multiply_adds: Of one image of `detector.image_size_px` squared, at inference.
        latency_ms: Of that image, on this machine, by torch.
        map: On split test after the short training, mean over seeds; None where it was not trained.
        map_by_seed: Each of them.
        map_from_scratch: Likewise, from random weights.
        map_from_scratch_by_seed: Each of them.
    """

    kind: str
    name: str
    setting: tuple[str, ...]
    parameters: int
    multiply_adds: int
    latency_ms: float
    map: float | None = None
    map_by_seed: Mapping[int, float] = field(default_factory=dict)
    map_from_scratch: float | None = None
    map_from_scratch_by_seed: Mapping[int, float] = field(default_factory=dict)

    def with_maps(self, usual: Mapping[int, float], scratch: Mapping[int, float]) -> CatalogueRow:
        """The row with mAP by seed, usual and from scratch, in place of its own."""
        return replace(
            self,
            map=_mean(usual),
            map_by_seed=dict(sorted(usual.items())),
            map_from_scratch=_mean(scratch),
            map_from_scratch_by_seed=dict(sorted(scratch.items())),
        )


@dataclass(frozen=True)
class MapResult:
    """mAP on split test."""

    map: float


@dataclass(frozen=True)
class StructureCell:
    """A method, built and run once.

    Attributes:
        entry: The method.
        config: Settings that its own are laid over.
    """

    entry: Entry
    config: Path

    @property
    def name(self) -> str:
        """Name of its file."""
        return _file_name(self.entry, self.settings.detector.model_dump_json(exclude_defaults=True))

    @property
    def settings(self) -> Settings:
        """The project's, with the method."""
        return load_settings(self.config, list(self.entry.structure))

    def measure(self, progress: Progress) -> CatalogueRow:
        """Count and time."""
        progress("methods", 0, 1)
        settings = self.settings
        detector = build_detector(settings.detector, settings.data.labels, settings.training).eval()
        side = settings.detector.image_size_px
        image = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return CatalogueRow(
            self.entry.kind,
            self.entry.name,
            self.entry.setting,
            sum(parameter.numel() for parameter in detector.parameters()),
            multiply_adds(detector, image),
            round(1000 * fastest(lambda: detector(image)), 1),
        )


@dataclass(frozen=True)
class TrainedCell:
    """A method, trained as a project's first cycle trains, and measured on split test.

    Attributes:
        entry: The method.
        scenario: A simulated project.
    """

    entry: Entry
    scenario: Scenario

    @property
    def name(self) -> str:
        """Name of its file."""
        return _file_name(self.entry, str(self.scenario))

    def measure(self, progress: Progress) -> MapResult:
        """Train and evaluate."""
        settings = self.scenario.settings(*self.entry.setting)
        train(settings, progress)
        with runner_of(settings.runner) as runner:
            return MapResult(evaluate_model(settings, None, "test", Helpers(runner)).map or 0.0)


def multiply_adds(detector: Detector, image: torch.Tensor) -> int:
    """Those of convolutions and linear layers, for one image."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        detector(image)
    return int(counter.get_total_flops()) // 2


def chosen_entries(names: Sequence[str]) -> list[Entry]:
    """Entries of these names or kinds; all for none.

    Raises:
        SettingsError: Nothing is called so.
    """
    known = {each.name for each in ENTRIES} | {each.kind for each in ENTRIES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingsError(
            f"Expected names or kinds of the catalogue ({', '.join(sorted(known))}), got {unknown[0]!r}"
        )
    return [each for each in ENTRIES if not names or each.name in names or each.kind in names]


def bench_catalogue(
    entries: Sequence[Entry], trained: Sequence[Entry], starts: Sequence[Scenario], progress: Progress = silent
) -> list[CatalogueRow]:
    """Measure methods; what is finished in the scenarios' root is not done again.

    Args:
        entries: Built, counted and timed.
        trained: Trained as well, some of them from scratch (`Entry.from_scratch`).
        starts: What the training starts from, one project with several seeds; at least one.
        progress: Called after every cell.

    Returns:
        A row per entry, with mAP for every seed with which it was trained now or before.
    """
    folder = starts[0].root / "catalogue"
    rows = Grid(folder / "structure", CatalogueRow).run(
        [StructureCell(entry, starts[0].config) for entry in entries], progress
    )
    maps = Grid(folder / "map", MapResult)
    maps.run([TrainedCell(entry, start) for start in starts for entry in trained], progress)
    known = maps.results()
    return [_with_maps(row, entry, starts, known) for row, entry in zip(rows, entries, strict=True)]


def _with_maps(
    row: CatalogueRow, entry: Entry, starts: Sequence[Scenario], known: Mapping[str, MapResult]
) -> CatalogueRow:
    return row.with_maps(_by_seed(entry, starts, known), _by_seed(entry.from_scratch, starts, known))


def _by_seed(entry: Entry, starts: Sequence[Scenario], known: Mapping[str, MapResult]) -> dict[int, float]:
    names = {start.seed: TrainedCell(entry, start).name for start in starts}
    return {seed: round(known[name].map, 4) for seed, name in names.items() if name in known}


def _mean(by_seed: Mapping[int, float]) -> float | None:
    return round(fmean(by_seed.values()), 4) if by_seed else None


def _file_name(entry: Entry, start: str) -> str:
    plain = "".join(letter if letter.isalnum() else "-" for letter in entry.name.lower())
    return f"{entry.kind}-{plain}-{short_hash([entry.setting, start])}"
