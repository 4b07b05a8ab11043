"""`crosscheck models --bench`: what each method of the catalogue costs, and what it finds after a short training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

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

MAPS = ("map", "map_converged", "map_from_scratch")
"""The kinds of mAP that a row has, each as a mean and by seed."""


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
        map: On split test after the training that the command asked for, mean over seeds; None where there was none.
        map_by_seed: Each of them.
        map_converged: Likewise, after a training that held-back images ended.
        map_converged_by_seed: Each of them.
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
    map_converged: float | None = None
    map_converged_by_seed: Mapping[int, float] = field(default_factory=dict)
    map_from_scratch: float | None = None
    map_from_scratch_by_seed: Mapping[int, float] = field(default_factory=dict)

    @property
    def maps(self) -> dict[str, Mapping[int, float]]:
        """Each kind of mAP, by seed."""
        return {name: getattr(self, f"{name}_by_seed") for name in MAPS}

    def with_maps(self, maps: Mapping[str, Mapping[int, float]]) -> CatalogueRow:
        """The row with other mAP by seed, under the names of `MAPS`."""
        changed: dict[str, Any] = {}
        for name, by_seed in maps.items():
            changed[name] = round(fmean(by_seed.values()), 4) if by_seed else None
            changed[f"{name}_by_seed"] = dict(sorted(by_seed.items()))
        return replace(self, **changed)


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
        trained: Trained as well, some of them until they converge (`Entry.converged`) or from scratch
            (`Entry.from_scratch`).
        starts: What the training starts from, one project with several seeds; at least one.
        progress: Called after every cell.

    Returns:
        A row per entry, with mAP for every seed with which it was trained now or before.

    Raises:
        SettingsError: What is to converge has a fixed length.
    """
    _refuse_fixed_lengths(trained, starts[0])
    folder = starts[0].root / "catalogue"
    rows = Grid(folder / "structure", CatalogueRow).run(
        [StructureCell(entry, starts[0].config) for entry in entries], progress
    )
    maps = Grid(folder / "map", MapResult)
    maps.run([TrainedCell(entry, start) for start in starts for entry in trained], progress)
    known = maps.results()
    return [_with_maps(row, entry, starts, known) for row, entry in zip(rows, entries, strict=True)]


def _refuse_fixed_lengths(trained: Sequence[Entry], start: Scenario) -> None:
    for entry in trained:
        if entry == entry.converged and not start.settings(*entry.setting).training.plateau.enabled:
            raise SettingsError(
                f"{entry.name}: expected a training that held-back images end, for --converge, got "
                "training.plateau.enabled=false. Measure short trainings in another run."
            )


def _with_maps(
    row: CatalogueRow, entry: Entry, starts: Sequence[Scenario], known: Mapping[str, MapResult]
) -> CatalogueRow:
    forms = dict(zip(MAPS, (entry, entry.converged, entry.from_scratch), strict=True))
    return row.with_maps({name: _by_seed(form, starts, known) for name, form in forms.items()})


def _by_seed(entry: Entry, starts: Sequence[Scenario], known: Mapping[str, MapResult]) -> dict[int, float]:
    names = {start.seed: TrainedCell(entry, start).name for start in starts}
    return {seed: round(known[name].map, 4) for seed, name in names.items() if name in known}


def _file_name(entry: Entry, start: str) -> str:
    plain = "".join(letter if letter.isalnum() else "-" for letter in entry.name.lower())
    return f"{entry.kind}-{plain}-{short_hash([entry.setting, start])}"
