"""Mining part by part: finished parts are kept when a run is killed, and memory holds one part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artefacts import MiningCost, MiningPart, UnreadableImage
from pipeline.mining.checker import CheckPolicy
from pipeline.mining.miner import Mined, Miner
from pipeline.progress import Progress
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA, ImageRef, among, of_images
from pipeline.workspace import Folder

SCHEMAS = {"proposals": PROPOSAL_SCHEMA, "checks": CHECK_SCHEMA}


@dataclass(frozen=True)
class PartedMining:
    """Mines lists of images and writes their tables.

    Attributes:
        miner: Mines a part.
        folder: Gets the tables.
        parts: Where finished parts lie.
        part_images: Images per part.
        before: Tables that the same model made in the cycle before; None where it was another.
        unchanged: Of some images, those whose files are still what was mined before; all by default.
    """

    miner: Miner
    folder: Folder
    parts: Folder
    part_images: int
    before: Folder | None = None
    unchanged: Callable[[list[ImageRef]], list[ImageRef]] = list

    def run(self, refs: list[ImageRef], prefix: str, policy: CheckPolicy, progress: Progress) -> MiningPart:
        """Mine images.

        Args:
            refs: The images.
            prefix: Before the names of the tables.
            policy: Tells which proposals are checked.
            progress: Called after every part.

        Returns:
            The sum over parts.
        """
        size = self.part_images
        names = [f"{prefix}{start:09d}" for start in range(0, len(refs), size)]
        for number, name in enumerate(names):
            if not self.parts.exists(f"{name}.json"):
                part = refs[number * size : (number + 1) * size]
                known = known_before(self.before, self.unchanged(part), prefix) if self.before else None
                self._write(name, self.miner.mine(part, policy, known))
            progress("mining", min((number + 1) * size, len(refs)), len(refs))
        for table, schema in SCHEMAS.items():
            sources = [f"{name}.{table}.parquet" for name in names]
            with (
                self.folder.create(f"{prefix}{table}.parquet") as file,
                pq.ParquetWriter(file, schema, compression="zstd") as writer,
            ):
                for source in sources:
                    writer.write_table(self.parts.read_table(source))
        done = [self.parts.read_record(f"{name}.json", MiningPart) for name in names]
        return MiningPart(MiningCost.total(part.cost for part in done), tuple(f for part in done for f in part.faults))

    def _write(self, name: str, mined: Mined) -> None:
        self.parts.write_table(f"{name}.proposals.parquet", mined.proposals)
        self.parts.write_table(f"{name}.checks.parquet", mined.checks)
        faults = (UnreadableImage(fault.ref.image_id, fault.ref.uri, fault.reason) for fault in mined.faults)
        self.parts.write_record(f"{name}.json", MiningPart(mined.cost, tuple(faults)))


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
