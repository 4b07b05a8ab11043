"""What saved detectors find in labelled images, each in its own, some batches at a time and by any process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

from pipeline.detector.evaluation.labeled_detections import (
    Found,
    LabeledDetections,
    beside_truth,
    detect_into,
)
from pipeline.detector.inference.predictor import Predictor
from pipeline.detector.inference.stream import Fault
from pipeline.detector.models.registry import load_card
from pipeline.detector.models.saved import load_model
from pipeline.detector.training.fit import labeled_predictor
from pipeline.folder import Folder
from pipeline.progress import Progress, silent
from pipeline.records import Sample
from pipeline.runners import ALONE, Runner, Work
from pipeline.runners.work import Prepare
from pipeline.selection.cross_fitting import Committee
from pipeline.settings import Settings
from pipeline.workspace import Workspace

BATCHES = 4
"""So many are one item of work: always the same, so that who works does not decide what shares a batch."""


@dataclass(frozen=True)
class Judge:
    """A saved detector and the labelled images that it is judged by.

    Attributes:
        models: Where it is saved.
        model_id: Its id there.
        samples: The images; may be none.
    """

    models: Folder
    model_id: str
    samples: Sequence[Sample]


@dataclass(frozen=True)
class Helpers:
    """Who detects, and who is told how far that is."""

    runner: Runner = ALONE
    progress: Progress = silent


def judges_out_of_fold(workspace: Workspace, committee: Committee, samples: Iterable[Sample]) -> list[Judge]:
    """The members of a committee, each with the images that it has not learnt from people.

    Args:
        workspace: Where they are saved.
        committee: The members.
        samples: Labelled images.
    """
    shares = zip(committee.run.members, committee.folds.shares(samples), strict=True)
    return [Judge(workspace.members, member.model_id, own) for member, own in shares]


def detect_saved(settings: Settings, judges: Sequence[Judge], helpers: Helpers | None = None) -> LabeledDetections:
    """Let each of several saved detectors detect in labelled images of its own.

    Args:
        settings: The project.
        judges: Detectors that know the same labels, at least one, and the images of each; no image twice.
        helpers: Who works; this process by default.

    Returns:
        What all of them found, as if one detector had; images in the order of their ids where there are several.

    Raises:
        ArtefactError: There is no such model.
    """
    helpers, work = helpers or Helpers(), DetectingImages.of(settings, judges)
    helpers.runner.run(work, helpers.progress)
    found = [work.found[batches] for batches in work.items]
    samples = [sample for judge in judges for sample in judge.samples]
    if len(judges) > 1:
        samples.sort(key=lambda sample: sample.image_id)
    by_image = {image_id: one for own in found for image_id, one in own.by_image.items()}
    known = load_card(judges[0].models, judges[0].model_id).labels
    return beside_truth(known, samples, by_image, [fault for own in found for fault in own.faults])


@dataclass(frozen=True)
class Batches:
    """Some images for one detector.

    Attributes:
        models: URI of the folder that it is saved in.
        model_id: Its id there.
        number: Among all, from 0.
        samples: The images.
    """

    models: str
    model_id: str
    number: int
    samples: Sequence[Sample] = field(compare=False)


@dataclass(frozen=True)
class FoundInBatches:
    """What is in them: detections by image, and images that could not be read."""

    by_image: Mapping[str, Found]
    faults: Sequence[Fault]


Detecting = Callable[[Batches], FoundInBatches]


@dataclass(frozen=True)
class DetectingImages(Work[Batches, FoundInBatches]):
    """Labelled images in which detectors detect.

    Attributes:
        settings: The project.
        batches: The images.
        detect: Detects here.
        found: What came of it so far.
    """

    NAME = "evaluating"
    UNIT = "parts of the labelled images"
    RELIEF = "lower mining.batch_size"

    settings: Settings
    batches: Sequence[Batches]
    detect: Detecting
    found: dict[Batches, FoundInBatches] = field(default_factory=dict)

    @staticmethod
    def of(settings: Settings, judges: Sequence[Judge]) -> DetectingImages:
        """Divide images into items of work."""
        parts = enumerate(_parts(judges, BATCHES * settings.mining.batch_size))
        batches = [Batches(judge.models.uri, judge.model_id, number, own) for number, (judge, own) in parts]
        return DetectingImages(settings, batches, _detecting(settings))

    @property
    def items(self) -> Sequence[Batches]:
        """All batches."""
        return self.batches

    @property
    def place(self) -> str:
        """Where the detectors are."""
        return self.settings.workspace

    @property
    def elsewhere(self) -> Prepare[Batches, FoundInBatches]:
        """Loads detectors there, as they are asked for."""
        return partial(_detecting, self.settings)

    def here(self, batches: Batches) -> FoundInBatches:
        """Detect in this process."""
        return self.detect(batches)

    def is_done(self, batches: Batches) -> bool:
        """Tell whether it is known what is in them."""
        return batches in self.found

    def keep(self, batches: Batches, found: FoundInBatches) -> None:
        """Remember what is in them."""
        self.found[batches] = found

    def size(self, batches: Batches) -> int:
        """Images."""
        return len(batches.samples)


def _parts(judges: Sequence[Judge], images: int) -> Iterator[tuple[Judge, Sequence[Sample]]]:
    for judge in judges:
        for start in range(0, len(judge.samples), images):
            yield judge, judge.samples[start : start + images]


def _detecting(settings: Settings) -> Detecting:
    """What detects; it holds one detector at a time."""

    @lru_cache(maxsize=1)
    def predictor(models: str, model_id: str) -> Predictor:
        return labeled_predictor(settings, load_model(Folder(models), model_id))

    def detect(batches: Batches) -> FoundInBatches:
        by_image: dict[str, Found] = {}
        faults = detect_into(by_image, predictor(batches.models, batches.model_id), batches.samples)
        return FoundInBatches(by_image, faults)

    return detect
