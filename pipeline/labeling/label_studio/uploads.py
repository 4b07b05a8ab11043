"""Files that the server keeps with a project and shows to whoever may see that project."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from pipeline.labeling.label_studio.connection import Connection

_KEPT_ALL_THE_SAME = frozenset({httpx.codes.BAD_REQUEST})


class Uploads:
    """The files that the token's user uploaded.

    Args:
        connection: To the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def addresses(self, project: int) -> Mapping[int, str]:
        """Where the server's page finds each file of a project, by id; the server puts 9 characters before a name."""
        found = self._connection.read(
            f"list the uploads of project {project}", lambda: self._connection.sdk.files.list(id=project, all_=True)
        )
        return {upload.id: f"/data/{upload.file}" for upload in found}

    def add(self, project: int, name: str, content: bytes) -> None:
        """Upload a file, of which no task is made.

        The server keeps a file before it reads tasks from it, and then refuses those of a page with several fields,
        such as ours, by 400: `addresses` tells whether a file is there.
        """
        address, options = f"/api/projects/{project}/import", {"commit_to_project": "false"}
        self._connection.make(
            f"upload {name}",
            lambda: self._connection.post(address, options, _KEPT_ALL_THE_SAME, files={"file": (name, content)}),
        )

    def remove(self, upload: int) -> None:
        """Remove a file; it may be gone already."""
        self._connection.find(f"remove upload {upload}", lambda: self._connection.sdk.files.delete(id=upload))
