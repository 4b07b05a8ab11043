"""Cross-fitting: which member of the committee must not learn which image, and so may judge it.

Labelled images and the pool are dealt to as many folds as there are members, near-duplicates together and for ever.
Member k learns the labels of people outside fold k, and of fold k only what it wrote itself: pseudo-labels of its part
of the pool, and of its held-back images as if nobody had labelled them. So what it finds in held-back images is what it
finds in its part of the pool: it has learnt neither from people, and both from itself. No pseudo-label reaches another
member, which would hear of its own fold by way of it.

What all folds share is the calibration: a few dozen numbers that tell which boxes become pseudo-labels at all. Those of
a held-back image follow from a calibration without that image.

Stacking (`selection.stacking`) asks a second member about every box. It must not have learnt the fold either, so that
members come in pairs: both leave out the folds of both, and each judges its own with the other beside it. Pairs are
closed. Were the second member one that shares but this fold with the first, the pseudo-labels that it helps to choose
would tell the first of a fold that only the second has learnt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import pyarrow as pa

from pipeline.artefacts import CommitteeRun
from pipeline.dataset.store import SampleStore
from pipeline.errors import ArtefactError, DataError
from pipeline.records import Sample, Split, State
from pipeline.seeds import derive_seed
from pipeline.settings import SelectionSettings
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Folds:
    """The fold of every image.

    Attributes:
        count: How many there are; with one, every image is in it.
        dealt: The fold of some groups of near-duplicates, dealt so that folds have equally many labelled images; the
            others follow from their id.
        groups: The group of images when a committee was trained, where that counts: later images may have joined two.
        stacked: Whether members come in pairs, of which neither learns a fold of the pair: `selection.stacking`.
    """

    count: int = 1
    dealt: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    stacked: bool = False

    def partner(self, fold: int) -> int:
        """The fold of the other member of a pair: 0 and 1, 2 and 3, ..."""
        return fold ^ 1

    def withheld(self, fold: int) -> frozenset[int]:
        """The folds of which a member learns no label of people: its own, and that of its partner."""
        return frozenset({fold, self.partner(fold)} if self.stacked else {fold})

    def of(self, image_id: str, group_id: str) -> int:
        """The fold of an image by its id and its group."""
        if self.count == 1:
            return 0
        group = self.groups.get(image_id, group_id)
        return self.dealt.get(group, _place(group) % self.count)

    def of_sample(self, sample: Sample) -> int:
        """The fold of an image."""
        return self.of(sample.image_id, sample.group_id)

    def shares(self, samples: Iterable[Sample]) -> list[list[Sample]]:
        """Images by fold, in the given order."""
        shares: list[list[Sample]] = [[] for _ in range(self.count)]
        for sample in samples:
            shares[self.of_sample(sample)].append(sample)
        return shares

    def of_table(self, images: pa.Table) -> list[int]:
        """The fold of each row of a table with columns `image_id` and `group_id`."""
        if self.count == 1:
            return [0] * len(images)
        return [self.of(*pair) for pair in zip(*(images[name].to_pylist() for name in _NAMES), strict=True)]


_NAMES = ("image_id", "group_id")


def deal(samples: Collection[Sample], count: int) -> Folds:
    """Deal labelled images to folds of equal size: large groups first, then in an order that follows from their ids."""
    sizes = Counter(sample.group_id for sample in samples)
    filled, dealt = [0] * count, {}
    for group in sorted(sizes, key=lambda group: (-sizes[group], _place(group))):
        dealt[group] = filled.index(min(filled))
        filled[dealt[group]] += sizes[group]
    return Folds(count, dealt)


def _place(group_id: str) -> int:
    """A number that depends on nothing but the group: no settings can move an image to another fold."""
    return derive_seed(0, "fold", group_id)


def held_back_images(store: SampleStore, settings: SelectionSettings) -> list[Sample]:
    """Labelled images that calibrate: those of val, and with a committee those of train as well.

    Nobody learns images of val, with a committee or without.
    """
    val = store.labeled(Split.VAL)
    return val if settings.committee == 1 else sorted([*store.labeled(Split.TRAIN), *val], key=_by_id)


def _by_id(sample: Sample) -> str:
    return sample.image_id


@dataclass(frozen=True)
class Committee:
    """The committee that a champion was trained with.

    Attributes:
        run: Its record.
        folds: As they were dealt when it was trained.
        learnt: Images whose labels of people its members learnt, each outside its own fold.
    """

    run: CommitteeRun
    folds: Folds
    learnt: frozenset[str]

    def may_judge(self, fold: int, held_back: Iterable[Sample]) -> bool:
        """Tell whether a member has learnt none of some images from people: groups that have joined move images."""
        ids = (sample.image_id for sample in held_back)
        then, withheld = self.folds.groups, self.folds.withheld(fold)
        return all(name not in self.learnt or self.folds.of(name, then[name]) in withheld for name in ids)


def committee_of(workspace: Workspace, champion: str | None) -> Committee | None:
    """Read the committee of a champion; None where it has none."""
    if champion is None or not workspace.models.folder(champion).exists(CommitteeRun.FILE):
        return None
    run = workspace.models.folder(champion).read_record(CommitteeRun.FILE, CommitteeRun)
    rows = SampleStore(workspace.samples_uri).table(run.dataset_version, [*_NAMES, "split", "state"])
    groups = dict(zip(*(rows[name].to_pylist() for name in _NAMES), strict=True))
    learnt = frozenset(
        row["image_id"] for row in rows.to_pylist() if (row["split"], row["state"]) == (Split.TRAIN, State.LABELED)
    )
    return Committee(run, Folds(len(run.members), run.dealt, groups, run.stacked), learnt)


def judges(workspace: Workspace, champion: str, settings: SelectionSettings) -> Committee | None:
    """Who judges the pool for a champion: its committee, or with `committee: 1` the champion itself.

    Raises:
        ArtefactError: The settings want a committee and the champion has none, or want pairs and it has none.
    """
    if settings.committee == 1:
        return None
    committee = committee_of(workspace, champion)
    if committee is None:
        raise ArtefactError(
            f"Expected champion {champion} to have a committee, found none: it was trained with selection.committee 1. "
            "A new cycle trains one: drop this one with `crosscheck cycle --discard`, or set selection.committee: 1."
        )
    if settings.stacking and not committee.folds.stacked:
        raise ArtefactError(
            f"Expected champion {champion} to have a committee in pairs, found one trained without selection.stacking, "
            "in which only one member has not learnt a fold. A new cycle trains one: drop this one with "
            "`crosscheck cycle --discard`, or set selection.stacking: false."
        )
    return committee


@dataclass(frozen=True)
class Lesson:
    """What one member learns.

    Attributes:
        fold: Which it must not learn from people, nor that of its partner where members come in pairs.
        samples: What it learns.
        held_back: Labelled images of its fold.
        goes_on: Whether its model of before has learnt nothing that it must not learn, so that it may go on.
    """

    fold: int
    samples: Sequence[Sample]
    held_back: Sequence[Sample]
    goes_on: bool


def lessons(
    folds: Folds, before: Committee | None, labeled: Sequence[Sample], val: Sequence[Sample], pseudo: Sequence[Sample]
) -> list[Lesson]:
    """What each member learns.

    Args:
        folds: As they are now.
        before: The committee that wrote the pseudo-labels; None where there is none, and they teach no member.
        labeled: Training images that people labelled.
        val: Images that nobody learns.
        pseudo: Pseudo-labelled images, held-back ones among them.

    Raises:
        DataError: A member would have nothing to learn.
    """
    held_back, own = folds.shares([*labeled, *val]), before.folds.shares(pseudo) if before else []
    found = []
    for fold, unseen in enumerate(held_back):
        withheld = folds.withheld(fold)
        outside = [sample for sample in labeled if folds.of_sample(sample) not in withheld]
        if not outside:
            raise DataError(
                f"Expected labelled training images in every fold of selection.committee {folds.count}, found "
                f"{len(labeled)} that leave none to learn without fold {fold}. Label more images that are no "
                "near-duplicates, or set selection.committee: 1."
            )
        goes_on = before is not None and before.may_judge(fold, chain.from_iterable(held_back[k] for k in withheld))
        found.append(Lesson(fold, [*outside, *(own[fold] if goes_on else [])], unseen, goes_on))
    return found
