"""Where the boxes of an image come from: its versions, and what people said in the harvests that made them."""

from __future__ import annotations

from pipeline.dataset.blame import Change, about_box, blame, find_image
from pipeline.dataset.store import SampleStore
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.labeling.feedback.review_log import ReviewLog
from pipeline.workspace import Workspace


def blame_image(workspace: Workspace, name: str, box_id: str | None = None) -> list[Change]:
    """Tell what each version changed in an image.

    Args:
        workspace: Of the project.
        name: An `image_id` or how it begins, a path or URI, or a file name.
        box_id: Only this box, and what it began as; all for None.

    Returns:
        Changes, oldest version first.

    Raises:
        ArtefactError: There is no sample table.
        DataError: No image, or more than one, is called so, or it never held such a box.
    """
    store, log = SampleStore(workspace.samples_uri), HarvestLog(workspace)
    image_id = find_image(store, name)
    reviews = ReviewLog(workspace)
    changes = blame(
        store, image_id, lambda version: [*log.answers_of(version, image_id), *reviews.answers_of(version, image_id)]
    )
    return changes if box_id is None else about_box(changes, box_id)
