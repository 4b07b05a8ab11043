"""The workspace: a folder or URI whose files are written whole or not at all.

- `samples/`: the Delta table, see `dataset.store`
- `models/<model_id>/`: `weights.safetensors`, `model.json`
- `models/champion.json`: the model in use, an atomic pointer
- `members/<model_id>/`: the same of members of a committee
- `cycles/<number>/`: what one cycle made, see `stages`
- `labeling/`: the state of the labelling backend
- `reports/`: `index.html` and pages of cycles, versions, classes and models; `data/`: the same as JSON and Parquet
- `workspace.json`: which release wrote the newest cycle, and its format
- `search/`: checkpoints of a search for a backbone that is under way
- `runs/`: at which cycle each run of Prefect works
- `lease/`: on an object store, which run is under way
"""

from __future__ import annotations

from pipeline.folder import Folder


class Workspace(Folder):
    """The root folder of one project's data, models, cycles and reports."""

    @property
    def samples_uri(self) -> str:
        """Where the Delta table lies."""
        return self.path("samples")

    @property
    def models(self) -> Folder:
        """Trained models by id, and the champion's pointer."""
        return self.folder("models")

    @property
    def members(self) -> Folder:
        """Members of committees by id; no model to promote."""
        return self.folder("members")

    @property
    def labeling(self) -> Folder:
        """State of the labelling backend: watermark, queue."""
        return self.folder("labeling")

    @property
    def reports(self) -> Folder:
        """Pages for people."""
        return self.folder("reports")

    @property
    def runs(self) -> Folder:
        """At which cycle each named run works."""
        return self.folder("runs")

    def cycle(self, number: int) -> Folder:
        """Artefacts of one cycle."""
        return self.folder("cycles", f"{number:04d}")

    def cycles(self) -> list[int]:
        """Numbers of every cycle that was opened, ascending."""
        return [int(name) for name in self.folder("cycles").names() if name.isdecimal()]
