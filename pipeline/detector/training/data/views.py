"""What is seen of an image: pasted objects, a mosaic, another geometry, and then the weak and the strong view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.detector.training.data.augment import Augmenter
from pipeline.detector.training.data.copy_paste import CopyPaste, Load
from pipeline.detector.training.data.labeled_image import LabeledPixels
from pipeline.detector.training.data.mixup import is_on
from pipeline.detector.training.data.mosaic import TILES, mosaic
from pipeline.records import Sample, State
from pipeline.seeds import derive_seed, numpy_generator
from pipeline.settings import TrainingSettings


@dataclass(frozen=True)
class Slot:
    """A place in a batch.

    Attributes:
        step: The training step.
        number: Which place, from 0.
        is_pseudo: Whether the machine labelled its image.
        burning_in: Whether only people's labels may be learnt.
        progress: Share of the steps done, 0 to 1.
    """

    step: int
    number: int
    is_pseudo: bool
    burning_in: bool
    progress: float


class WeakStrongViews:
    """Makes both views of an image, each a pure function of the seed and the slot.

    Args:
        samples: Images to learn from.
        settings: What may happen to them.
        seed: The settings' seed.
    """

    def __init__(self, samples: Sequence[Sample], settings: TrainingSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._augment = Augmenter(settings.augment) if settings.augment.enabled else None
        self._copy_paste = CopyPaste(samples, settings.copy_paste) if settings.copy_paste.enabled else None
        # A mosaic has one kind of images, so that a teacher's say ends where people have had theirs.
        self._members = {
            kind: [index for index, sample in enumerate(samples) if (sample.state is State.PSEUDO) == kind]
            for kind in (False, True)
        }

    def make(self, item: LabeledPixels, slot: Slot, load: Load) -> tuple[LabeledPixels, LabeledPixels]:
        """Make the views of one image.

        Args:
            item: The image at the input's size; left as it is.
            slot: Where it is shown.
            load: Reads others.

        Returns:
            The weak view and the strong view; what lies where is the same in both.
        """
        item = self._with_pastes(self._in_mosaic(item, slot, load), slot, load)
        if self._augment is None:
            return item, item
        seed = derive_seed(self._seed, "augment", slot.step, slot.number)
        weak = self._augment.weak(item, seed)
        return weak, self._augment.strong(weak, seed, slot.is_pseudo)

    def _in_mosaic(self, item: LabeledPixels, slot: Slot, load: Load) -> LabeledPixels:
        settings = self._settings.mosaic
        random = numpy_generator(self._seed, "mosaic", slot.step, slot.number)
        if not is_on(settings, slot.progress) or random.random() >= settings.probability:
            return item
        members = self._members[slot.is_pseudo]
        others = [load(members[index]) for index in random.integers(len(members), size=TILES - 1)]
        return mosaic([item, *(other or item for other in others)], settings, random)

    def _with_pastes(self, item: LabeledPixels, slot: Slot, load: Load) -> LabeledPixels:
        random = numpy_generator(self._seed, "paste", slot.step, slot.number)
        if self._copy_paste is None or random.random() >= self._settings.copy_paste.probability:
            return item
        # Shown in their own images, boxes of the machine teach more where they are not pasted as well.
        return self._copy_paste(item, load, random, pseudo=not slot.burning_in and not self._settings.pseudo_share)
