"""Mining part by part: finished parts are kept when a run is killed, and memory holds one part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artefacts import MiningCost, MiningPart, UnreadableImage
from pipeline.mining.checker import CheckPolicy
from pipeline.mining.miner import Mined, Miner
from pipeline.progress import Progress
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, ImageRef, among, of_images
from pipeline.workspace import Folder

Share = tuple[list[ImageRef], CheckPolicy]
"""What one miner mines, and which of the proposals it checks."""
SCHEMAS = {"proposals": PROPOSAL_SCHEMA, "checks": CHECK_SCHEMA}


@dataclass(frozen=True)
class Part:
    """Images that are mined at once.

    Attributes:
        name: Of its files.
        miner: Number of the miner that they belong to.
        refs: The images.
        policy: Which of their proposals are checked.
    """

    name: str
    miner: int
    refs: list[ImageRef]
    policy: CheckPolicy


@dataclass(frozen=True)
class PartedMining:
    """Mines lists of images and writes their tables.

    Attributes:
        miners: Each mines its own share of the images, part by part.
        folder: Gets the tables.
        parts: Where finished parts lie.
        part_images: Images per part.
        before: Tables that the same model made in the cycle before; None where it was another.
        unchanged: Of some images, those whose files are still what was mined before; all by default.
        side_by_side: Mines parts in other processes; in this one alone without it.
    """

    miners: Sequence[Miner]
    folder: Folder
    parts: Folder
    part_images: int
    before: Folder | None = None
    unchanged: Callable[[list[ImageRef]], list[ImageRef]] = list
    side_by_side: SideBySide | None = None

    def run(self, shares: Sequence[Share], prefix: str, progress: Progress) -> MiningPart:
        """Mine images.

        Args:
            shares: The images of each miner, and which of their proposals are checked.
            prefix: Before the names of the tables.
            progress: Called after every part.

        Returns:
            The sum over parts.
        """
        parts = self._parts(shares, prefix)
        if self.side_by_side is not None:
            self.side_by_side(Work(parts, prefix, self), progress)
        done, total = 0, sum(len(part.refs) for part in parts)
        for part in parts:
            if not self.is_done(part):
                self.mine_part(part, prefix)
            done += len(part.refs)
            progress("mining", done, total)
        names = [part.name for part in parts]
        for table, schema in SCHEMAS.items():
            sources = [f"{name}.{table}.parquet" for name in names]
            with (
                self.folder.create(f"{prefix}{table}.parquet") as file,
                pq.ParquetWriter(file, schema, compression="zstd") as writer,
            ):
                for source in sources:
                    writer.write_table(self.parts.read_table(source))
        mined = [self.parts.read_record(f"{name}.json", MiningPart) for name in names]
        return MiningPart(
            MiningCost.total(part.cost for part in mined), tuple(fault for part in mined for fault in part.faults)
        )

    def is_done(self, part: Part) -> bool:
        """Tell whether a part was mined."""
        return self.parts.exists(f"{part.name}.json")

    def mine_part(self, part: Part, prefix: str) -> None:
        """Mine one part and write it."""
        self.keep(part, self.mined(part, prefix))

    def mined(self, part: Part, prefix: str) -> Mined:
        """Mine one part, and write nothing."""
        known = known_before(self.before, self.unchanged(part.refs), prefix) if self.before else None
        return self.miners[part.miner].mine(part.refs, part.policy, known)

    def keep(self, part: Part, mined: Mined) -> None:
        """Write what a part holds; the record comes last, so that a part is there wholly or not at all."""
        self.parts.write_table(f"{part.name}.proposals.parquet", mined.proposals)
        self.parts.write_table(f"{part.name}.checks.parquet", mined.checks)
        faults = (UnreadableImage(fault.ref.image_id, fault.ref.uri, fault.reason) for fault in mined.faults)
        self.parts.write_record(f"{part.name}.json", MiningPart(mined.cost, tuple(faults)))

    def _parts(self, shares: Sequence[Share], prefix: str) -> list[Part]:
        size = self.part_images
        return [
            Part(f"{prefix}{number}.{start:09d}", number, refs[start : start + size], policy)
            for number, (refs, policy) in enumerate(shares)
            for start in range(0, len(refs), size)
        ]


@dataclass(frozen=True)
class Work:
    """Parts to be mined.

    Attributes:
        parts: In order.
        prefix: Before the names of the tables.
        mining: Tells which are done.
    """

    parts: Sequence[Part]
    prefix: str
    mining: PartedMining

    @property
    def missing(self) -> list[Part]:
        """Parts that are not done."""
        return [part for part in self.parts if not self.mining.is_done(part)]


SideBySide = Callable[[Work, Progress], None]
"""Mines parts in other processes, as far as it can; what it leaves is mined in this one."""


def known_before(before: Folder, refs: list[ImageRef], prefix: str) -> Mined | None:
    """What was found in some images in the cycle before.

    Args:
        before: Its tables.
        refs: The images.
        prefix: Before the names of the tables.

    Returns:
        Proposals and checks; None where an older release wrote them, with less evidence.
    """
    rows = of_images(ref.image_id for ref in refs)
    proposals: pa.Table = before.read_table(f"{prefix}proposals.parquet", None, rows)
    if proposals.schema.names != PROPOSAL_SCHEMA.names:
        return None
    of_proposals = among("proposal_id", proposals["proposal_id"].to_pylist())
    return Mined(proposals, before.read_table(f"{prefix}checks.parquet", None, of_proposals))
