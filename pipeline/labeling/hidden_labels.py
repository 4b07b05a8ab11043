"""The hidden labels of an experiment, for the simulated annotator alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime

from pipeline.dataset.checks import check_entries
from pipeline.dataset.formats import read_entries
from pipeline.dataset.formats.entry import Entry, ImportResult
from pipeline.folder import Folder
from pipeline.records import Sample, Split, State
from pipeline.settings import DataSettings, SimulatedSettings

_IMAGES = "simulated_images.json"
_NO_TIME = datetime.min.replace(tzinfo=UTC)


class HiddenLabels:
    """Labels read from their file, of some images or of all.

    Where each image lies is kept in a folder, so that a question about a few opens only these. Nothing else is
    kept: the boxes stay in their file.

    Args:
        settings: Where the hidden labels lie.
        data: Class names and bounds.
        folder: Holds the list of images.
    """

    def __init__(self, settings: SimulatedSettings, data: DataSettings, folder: Folder) -> None:
        self.place = settings.annotations
        self._settings = settings
        self._data = data
        self._folder = folder

    def everything(self, now: datetime) -> ImportResult:
        """Read and check all images, and list them anew.

        Args:
            now: Creation time of the boxes, UTC.

        Returns:
            Labeled and quarantined samples of split `train`, and what was found wrong.

        Raises:
            DataError: The hidden file is missing or malformed, or has a label that is not among the class names.
            RemoteError: The storage of the images cannot be reached.
        """
        found = self._check(self._entries(), now)
        self._folder.write_json(_IMAGES, {sample.image_id: sample.uri for sample in found.samples})
        return found

    def uris(self) -> dict[str, str]:
        """Where each image lies, by `image_id`.

        Raises:
            DataError: As `everything`, where no list was made before.
        """
        if not self._folder.exists(_IMAGES):
            self.everything(_NO_TIME)
        return dict(self._folder.read_json(_IMAGES))

    def of(self, image_ids: Collection[str]) -> dict[str, Sample]:
        """Labels of some images.

        Args:
            image_ids: Among `uris`.

        Returns:
            Samples with boxes by `image_id`; images that cannot be read any more, that changed since, or whose
            labels cannot be used are left out.

        Raises:
            DataError: As `everything`.
        """
        wanted, known = set(image_ids), self.uris()
        uris = {known[image_id] for image_id in wanted}
        found = self._check((entry for entry in self._entries() if entry.uri in uris), _NO_TIME)
        usable = (sample for sample in found.samples if sample.state is State.LABELED)
        return {sample.image_id: sample for sample in usable if sample.image_id in wanted}

    def _entries(self) -> Iterator[Entry]:
        hidden = self._settings
        return read_entries(hidden.format, hidden.annotations, hidden.images, self._data.labels)

    def _check(self, entries: Iterable[Entry], now: datetime) -> ImportResult:
        return check_entries(entries, Split.TRAIN, self._data, now)
