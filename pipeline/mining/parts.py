"""Mining part by part: finished parts are kept when a run is killed, and memory holds one part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from pipeline.artefacts import MiningCost, MiningPart, UnreadableImage
from pipeline.folder import Folder
from pipeline.mining.checker import CheckPolicy
from pipeline.mining.columns import table_of
from pipeline.mining.miner import Mined, Miner
from pipeline.mining.partner import PARTNER_NAMES
from pipeline.mining.tables import SCHEMAS, Pair, write_mined
from pipeline.progress import Progress
from pipeline.records import PROPOSAL_SCHEMA, ImageRef, among, of_images
from pipeline.runners import ALONE, Runner, Work
from pipeline.runners.work import Prepare

Share = tuple[list[ImageRef], CheckPolicy]
"""What one miner mines, and which of the proposals it checks."""


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
        again: Loads the same in another process; can be pickled.
        runner: Who mines.
    """

    miners: Sequence[Miner]
    folder: Folder
    parts: Folder
    part_images: int
    before: Folder | None = None
    unchanged: Callable[[list[ImageRef]], list[ImageRef]] = list
    again: Again | None = None
    runner: Runner = ALONE

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
        self.runner.run(PartsOfPool(parts, prefix, self), progress)
        names = [part.name for part in parts]
        write_mined(self.folder, prefix, (self._read(name) for name in names), self._schema)
        mined = [self.parts.read_record(f"{name}.json", MiningPart) for name in names]
        return MiningPart(
            MiningCost.total(part.cost for part in mined), tuple(fault for part in mined for fault in part.faults)
        )

    @property
    def _schema(self) -> pa.Schema:
        return self.miners[0].schema

    def _read(self, name: str) -> Pair:
        proposals, checks = (self.parts.read_table(f"{name}.{table}.parquet") for table in SCHEMAS)
        return proposals, checks

    def is_done(self, part: Part) -> bool:
        """Tell whether a part was mined."""
        return self.parts.exists(f"{part.name}.json")

    def mined(self, part: Part, prefix: str) -> Mined:
        """Mine one part, and write nothing."""
        known = known_before(self.before, self.unchanged(part.refs), prefix, self._schema) if self.before else None
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


Again = Callable[[], PartedMining]


@dataclass(frozen=True)
class PartsOfPool(Work[Part, Mined]):
    """Parts to be mined.

    Attributes:
        parts: In order.
        prefix: Before the names of the tables.
        mining: Mines them here, and knows which are done.
    """

    NAME = "mining"
    UNIT = "parts of the pool"
    RELIEF = "lower mining.batch_size"

    parts: Sequence[Part]
    prefix: str
    mining: PartedMining

    @property
    def items(self) -> Sequence[Part]:
        """The parts."""
        return self.parts

    @property
    def place(self) -> str:
        """Where the tables go; other processes read the settings there."""
        return self.mining.folder.uri

    @property
    def elsewhere(self) -> Prepare[Part, Mined]:
        """Loads detector and hosts there."""
        if self.mining.again is None:
            raise ValueError("Expected a way to load the miners in another process, got none")
        return partial(_mines, self.mining.again, self.prefix)

    def here(self, part: Part) -> Mined:
        """Mine one."""
        return self.mining.mined(part, self.prefix)

    def is_done(self, part: Part) -> bool:
        """Tell whether it was mined."""
        return self.mining.is_done(part)

    def keep(self, part: Part, mined: Mined) -> None:
        """Write what it holds."""
        self.mining.keep(part, mined)

    def size(self, part: Part) -> int:
        """Images."""
        return len(part.refs)


def _mines(again: Again, prefix: str) -> Callable[[Part], Mined]:
    return partial(again().mined, prefix=prefix)


def known_before(
    before: Folder, refs: list[ImageRef], prefix: str, schema: pa.Schema = PROPOSAL_SCHEMA
) -> Mined | None:
    """What was found in some images in the cycle before.

    Args:
        before: Its tables.
        refs: The images.
        prefix: Before the names of the tables.
        schema: Columns that proposals have now.

    Returns:
        Proposals and checks; None where an older release wrote them, with less evidence.
    """
    rows = of_images(ref.image_id for ref in refs)
    proposals: pa.Table = _with_partner(before.read_table(f"{prefix}proposals.parquet", None, rows))
    if proposals.schema.names != schema.names:
        return None
    of_proposals = among("proposal_id", proposals["proposal_id"].to_pylist())
    return Mined(proposals, before.read_table(f"{prefix}checks.parquet", None, of_proposals))


def _with_partner(proposals: pa.Table) -> pa.Table:
    """Proposals of a release in which no partner was asked, in the columns of today; others as they are."""
    if proposals.schema.names != [name for name in PROPOSAL_SCHEMA.names if name not in PARTNER_NAMES]:
        return proposals
    given = {**{name: proposals[name] for name in proposals.schema.names}, **dict.fromkeys(PARTNER_NAMES)}
    return table_of(given, PROPOSAL_SCHEMA, len(proposals))
