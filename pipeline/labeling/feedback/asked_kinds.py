"""What answered images were asked for."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.folder import Folder
from pipeline.records import Answer, TaskKind, of_images


def kinds_of(folder: Folder, answers: Sequence[Answer]) -> dict[str, TaskKind]:
    """What each image was asked for in a cycle.

    Args:
        folder: Of the cycle.
        answers: To its questions.

    Returns:
        By image; those that the cycle did not ask about are left out.
    """
    if not folder.exists("queue.parquet"):
        return {}
    asked = of_images(answer.image_id for answer in answers)
    rows = folder.read_table("queue.parquet", ["image_id", "kind"], asked).to_pylist()
    return {row["image_id"]: TaskKind(row["kind"]) for row in rows}
