"""Images whose file is no longer the one that was imported: people have answered about another image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pipeline.dataset.images import file_id
from pipeline.errors import ImageFault, RemoteError
from pipeline.records import Sample, State


def replaced_images(samples: Iterable[Sample]) -> tuple[dict[str, Sample], list[tuple[str, str]]]:
    """Check whether the files of images are still the files that were imported.

    Args:
        samples: Rows of answered images.

    Returns:
        Quarantined rows by image, for files with other bytes; and notes: a file that cannot be read now keeps its row.
    """
    replaced: dict[str, Sample] = {}
    notes: list[tuple[str, str]] = []
    for sample in samples:
        if sample.state is State.QUARANTINED:
            continue
        try:
            now = file_id(sample.uri)
        except RemoteError as fault:
            notes.append((sample.image_id, f"whether answered images were replaced is not known: {fault}"))
            break  # each of the others would wait as long for the same storage
        except ImageFault as fault:
            notes.append((sample.image_id, f"whether it was replaced is not known: {fault}"))
            continue
        if now != sample.image_id:
            note = f"{sample.uri} was replaced: expected the imported bytes {sample.image_id[:12]}, got {now[:12]}"
            replaced[sample.image_id] = replace(sample, state=State.QUARANTINED, boxes=(), ignore=(), note=note)
    return replaced, notes
