"""What taking another source in would change, and the one commit that does it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.dataset.merging.incoming import Incoming
from pipeline.dataset.merging.settling import Conflicts, Outcome, Settled, settle
from pipeline.dataset.splits import keep_apart
from pipeline.dataset.store import SampleStore
from pipeline.dataset.versions import standing_versions
from pipeline.records import ImportIssue, Sample, Split, State

DISPUTED = "disputed"
"""Where the details of a version name the images whose labels people are to compare."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a merge does to one image.

    Attributes:
        image_id: The image.
        uri: Where it lies, here.
        outcome: What becomes of it.
        detail: In words, where there is more to say.
    """

    image_id: str
    uri: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class MergePlan:
    """What a merge changes.

    Attributes:
        source: What is taken in, for people.
        rows: Rows to commit: new images, and those of the table that change.
        changes: What becomes of each image of the source, and of images here that turn out to be near-duplicates.
        issues: What was found wrong with the source, exact duplicates in it included.
        asked: Images whose labels people are to compare already.
    """

    source: str
    rows: tuple[Sample, ...] = ()
    changes: tuple[Change, ...] = ()
    issues: tuple[ImportIssue, ...] = ()
    asked: frozenset[str] = frozenset()

    @property
    def counts(self) -> dict[str, int]:
        """Images by what becomes of them, in the order of `Outcome`."""
        found = Counter(change.outcome for change in self.changes)
        return {str(outcome): found[outcome] for outcome in Outcome if found[outcome]}

    @property
    def disputed(self) -> list[str]:
        """Images whose labels people are to compare from now on."""
        found = (change.image_id for change in self.changes if change.outcome is Outcome.DISPUTED)
        return [image_id for image_id in found if image_id not in self.asked]


def merge_plan(store: SampleStore, incoming: Incoming, conflicts: Conflicts, near_duplicate_bits: int) -> MergePlan:
    """Work out what taking another source in changes; nothing is written.

    Every image keeps the row that it has; an image that both have gets the labels that `settle` decides on. Near-
    duplicates share a group, on the strictest side that any of them is on: those elsewhere are quarantined.

    Args:
        store: The sample table.
        incoming: The other source.
        conflicts: Whose labels stand where both sides' are worth the same.
        near_duplicate_bits: Bits of 256 in which fingerprints of near-duplicates may differ.

    Raises:
        ArtefactError: There is no table.
    """
    known = {row.image_id: row for row in store.by_ids(sample.image_id for sample in incoming.samples)}
    settled = [_settled(known.get(sample.image_id), sample, conflicts) for sample in _in_groups(incoming, known)]
    changed = [each.row for each in settled if each.row != known.get(each.row.image_id)]
    apart = keep_apart(changed, store, near_duplicate_bits)
    changes = _named(settled, known, {row.image_id: row for row in apart.samples})
    rows = tuple(replace(row, cycle=None) for row in apart.samples)
    return MergePlan(incoming.name, rows, tuple(changes), incoming.issues, frozenset(disputed_images(store)))


def commit_merge(store: SampleStore, plan: MergePlan, settings_digest: str = "") -> int:
    """Take the source in, as one version; where nothing changes and nothing is disputed, none is made.

    Args:
        store: The sample table, as it was when the plan was made.
        plan: What to change.
        settings_digest: Settings in use.

    Returns:
        Number of the version that holds it.

    Raises:
        ArtefactError: Somebody else committed at the same time; nothing was written.
    """
    if not plan.rows and not plan.disputed:
        return store.version()
    told = ", ".join(f"{number} {outcome}" for outcome, number in plan.counts.items())
    text = plan.source + "".join(sorted(row.image_id for row in plan.rows))
    return store.commit(
        plan.rows,
        reason=f"merge of {plan.source}: {told}",
        key=f"merge {hashlib.sha256(text.encode()).hexdigest()[:16]} into {store.version()}",
        settings_digest=settings_digest,
        details={"source": plan.source, "images": plan.counts, DISPUTED: plan.disputed},
    )


def disputed_images(store: SampleStore) -> dict[str, str]:
    """Images whose labels people are to compare with those of another source, with its name."""
    found: dict[str, str] = {}
    for version in reversed(standing_versions(store.history())):
        details: Mapping[str, Any] = version.details
        found |= dict.fromkeys(details.get(DISPUTED, ()), str(details.get("source", "")))
    return found


def _settled(ours: Sample | None, theirs: Sample, conflicts: Conflicts) -> Settled:
    return Settled(theirs, Outcome.NEW) if ours is None else settle(ours, theirs, conflicts)


def _in_groups(incoming: Incoming, known: Mapping[str, Sample]) -> Iterator[Sample]:
    """The source's images, those of a group that has an image here in the group that it has here."""
    here = {sample.group_id: known[sample.image_id].group_id for sample in incoming.samples if sample.image_id in known}
    for sample in incoming.samples:
        yield replace(sample, group_id=here.get(sample.group_id, sample.group_id))


def _named(settled: list[Settled], known: Mapping[str, Sample], rows: Mapping[str, Sample]) -> Iterator[Change]:
    """What becomes of each image; one that is put in quarantine by the merge is none of its first outcome."""
    met = set()
    for each in settled:
        before, after = known.get(each.row.image_id), rows.get(each.row.image_id, each.row)
        met.add(after.image_id)
        set_apart = after.state is State.QUARANTINED and each.row.state is not State.QUARANTINED
        outcome = Outcome.APART if set_apart else each.outcome
        yield Change(after.image_id, after.uri, outcome, after.note if set_apart else _moved(before, after))
    for image_id, row in rows.items():
        if image_id not in met and row.state is State.QUARANTINED:
            yield Change(image_id, row.uri, Outcome.APART, row.note)


def _moved(before: Sample | None, after: Sample) -> str:
    if before is None:
        return f"{after.state}, {after.split}, {len(after.boxes)} boxes"
    if before.split is after.split:
        return ""
    learnt = "; models that learnt from it are flattered there" if before.split is Split.TRAIN else ""
    return f"from {before.split} to {after.split}{learnt}"
