"""What a project holds, as pandas DataFrames and images: for notebooks, audits and other tools. It changes no data.

from pipeline.api import Workspace

project = Workspace.open("runs/demo")
project.versions()[["version", "reason", "images_labeled"]]
project.proposals().query("fate == 'pseudo'").groupby("label").p_correct.describe()
"""

from __future__ import annotations

import pandas as pd

from pipeline.artefacts import Calibration, Certificates, CycleEnd, Recall, Standings
from pipeline.cycle import Cycle, load_cycle
from pipeline.dataset.diff import diff_stored
from pipeline.dataset.store import SampleStore
from pipeline.dataset.tags import read_tags
from pipeline.dataset.verify import verify
from pipeline.detector.models.dataset_versions import version_named
from pipeline.detector.models.registry import champion_id, list_models
from pipeline.errors import ArtefactError
from pipeline.labeling.feedback.provenance import blame_image
from pipeline.report import frames
from pipeline.report.album import pixel_reader
from pipeline.report.collect import blind_audit, collect, turns_up_to
from pipeline.report.drawing import DrawnCard, draw_card
from pipeline.report.evidence_tables import count_fates
from pipeline.report.page import GALLERIES
from pipeline.workspace import Workspace as WorkspaceFolder


class Workspace:
    """One project's data, models and cycles, to be read.

    Where a method takes a cycle, None is the newest that is finished; the first one also before.

    Attributes:
        folder: Where it lies.
        store: The sample table.
    """

    def __init__(self, folder: WorkspaceFolder) -> None:
        self.folder = folder
        self.store = SampleStore(folder.samples_uri)

    @classmethod
    def open(cls, path: str) -> Workspace:
        """Open a workspace.

        Args:
            path: Folder or URI, as `workspace` in the settings.

        Raises:
            ArtefactError: There is no sample table.
        """
        opened = cls(WorkspaceFolder(path))
        if not opened.folder.exists("samples"):
            raise ArtefactError(f"Expected a workspace with a sample table at {path}, found none. Import images first.")
        return opened

    def cycle(self, number: int | None = None) -> Cycle:
        """A cycle, by default the newest that is finished.

        Raises:
            ArtefactError: There is no such cycle.
        """
        numbers = self.folder.cycles()
        if not numbers:
            raise ArtefactError(f"Expected a cycle in {self.folder.uri}, found none. Run `crosscheck cycle` first.")
        finished = [each for each in numbers if self.folder.cycle(each).exists(CycleEnd.FILE)]
        return load_cycle(self.folder.uri, max(finished or numbers) if number is None else number)

    def versions(self) -> pd.DataFrame:
        """One row per dataset version, with what it holds; see `frames.versions`."""
        return frames.versions(self.store.history(), read_tags(self.folder))

    def version(self, name: str) -> int:
        """Number of the version with a tag; `champion` is what the model in use learnt from.

        Raises:
            ArtefactError: Nothing is called so.
        """
        return version_named(self.folder, name)

    def diff(self, old: int, new: int) -> pd.DataFrame:
        """What changed between two versions, one row per kind of change; see `frames.differences`."""
        return frames.differences(diff_stored(self.store, old, new).numbers())

    def verify(self, version: str = "latest") -> pd.DataFrame:
        """One row per image of a version whose file is missing or changed; every file is read."""
        return frames.damages(verify(self.store, self.version(version)).damaged)

    def blame(self, image: str, box_id: str | None = None) -> pd.DataFrame:
        """One row per change of an image or of one of its boxes: which version, why, and who or what drew it.

        Args:
            image: An `image_id` or how it begins, a path or URI, or a file name.
            box_id: Only this box, and what it began as; all for None.

        Raises:
            DataError: No image, or more than one, is called so, or it never held such a box.
        """
        return frames.blame(blame_image(self.folder, image, box_id))

    def samples(self, version: int | None = None) -> pd.DataFrame:
        """One row per image of a version, by default the latest."""
        return frames.samples(self.store.table(version))

    def boxes(self, version: int | None = None) -> pd.DataFrame:
        """One row per box of a version, by default the latest."""
        return frames.boxes(self.store.table(version, ["image_id", "uri", "split", "boxes"]))

    def proposals(self, cycle: int | None = None) -> pd.DataFrame:
        """One row per box that a cycle judged: evidence, p(correct), fate and the reason for it."""
        return self._about_images(cycle, "selection.parquet")

    def checks(self, cycle: int | None = None) -> pd.DataFrame:
        """One row per paste: which box, into which image, and whether it was detected again."""
        return frames.plain(self.cycle(cycle).folder.read_table("checks.parquet"))

    def queue(self, cycle: int | None = None) -> pd.DataFrame:
        """One row per image that people are asked about, in the order of asking."""
        return self._about_images(cycle, "queue.parquet").sort_values("rank", ignore_index=True)

    def certificates(self, cycle: int | None = None) -> pd.DataFrame:
        """One row per class: what is promised of its pseudo-labels, and what audits found."""
        chosen = self.cycle(cycle)
        standings = chosen.find(Standings)
        fates = count_fates(chosen.folder.read_table("selection.parquet", ["label", "fate"]))
        withdrawn = standings.withdrawn if standings else ()
        return frames.certificates(chosen.find(Certificates), withdrawn, blind_audit(chosen), fates)

    def scores(self, cycle: int | None = None) -> pd.DataFrame:
        """One row per score: how well it tells right boxes from wrong ones, on held-back boxes."""
        return frames.scores(self.cycle(cycle).find(Calibration))

    def recall(self, cycle: int | None = None) -> pd.DataFrame:
        """One row per class and size: how many held-back objects any proposal finds."""
        calibration = self.cycle(cycle).find(Calibration)
        return frames.records(calibration.recall if calibration else (), Recall)

    def cycles(self) -> pd.DataFrame:
        """One row per cycle: what its model learnt from, what people were asked and answered, and its mAP."""
        return frames.cycles(turns_up_to(self.cycle()))

    def evaluation(self) -> pd.DataFrame:
        """One row per cycle, split and class; see `frames.evaluation`."""
        return frames.evaluation(turns_up_to(self.cycle()))

    def models(self) -> pd.DataFrame:
        """One row per trained model, in the order of their cycles."""
        champion = champion_id(self.folder.models)
        rows = [
            {
                "model_id": name,
                "champion": name == champion,
                "cycle": card.cycle,
                "dataset_version": card.dataset_version,
                "parent_id": card.parent_id,
                **{f"map_{split}": metrics.map for split, metrics in card.metrics.items()},
            }
            for name, card in list_models(self.folder.models).items()
        ]
        return pd.DataFrame(rows).sort_values("cycle", ignore_index=True) if rows else pd.DataFrame()

    def _about_images(self, cycle: int | None, name: str) -> pd.DataFrame:
        images = self.store.table(columns=["image_id", "uri"])
        return frames.with_uris(self.cycle(cycle).folder.read_table(name), images)

    def gallery(self, name: str, cycle: int | None = None) -> list[DrawnCard]:
        """A gallery of a cycle's report as images with boxes drawn in.

        Args:
            name: `asked`, `pseudo`, `dropped` or `pastes`.
            cycle: By default the newest.

        Raises:
            ValueError: There is no such gallery.
        """
        if name not in GALLERIES:
            raise ValueError(f"Expected one of {', '.join(GALLERIES)}, got {name!r}")
        chosen = self.cycle(cycle)
        read = pixel_reader(chosen.settings.data.max_image_pixels)
        return [draw_card(card) for card in GALLERIES[name](collect(chosen), read, chosen.settings.report).cards]

    def report_tables(self, cycle: int | None = None) -> dict[str, pd.DataFrame]:
        """The numbers of a cycle's report, by name of the table."""
        return {
            "versions": self.versions(),
            "cycles": self.cycles(),
            "evaluation": self.evaluation(),
            "certificates": self.certificates(cycle),
            "scores": self.scores(cycle),
            "recall": self.recall(cycle),
            "queue": self.queue(cycle),
        }
