"""Models on disk: as a cycle and the registry keep them."""

from __future__ import annotations

from pipeline.folder import Folder


def written_and_read(record, path):
    """A record after a round trip through its file."""
    folder = Folder(path)
    folder.write_record("record.json", record)
    return folder.read_record("record.json", type(record))
