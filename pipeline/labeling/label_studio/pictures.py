"""How the server's page reaches a picture: through the server's local files, or by an address of its own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from pipeline.labeling.label_studio.client import Client
from pipeline.settings.labeling import LabelStudioSettings

_STORAGE = "crosscheck pictures"


def picture_address(uri: str, settings: LabelStudioSettings) -> str:
    """Tell what a task must state for the page to show its picture.

    Args:
        uri: Where the picture lies, as the sample states it.
        settings: Local files below a document root, or the picture's own address.

    Returns:
        `/data/local-files/?d=...` or the address.

    Raises:
        ValueError: The page could not show this picture; the message says why and what to do.
    """
    if settings.pictures == "url":
        if urlsplit(uri).scheme in {"", "file"}:
            raise ValueError(
                f"{uri}: expected an address such as https:// or s3://, got a local file. Set "
                f"labeling.label_studio.pictures to local_files, or import the pictures by their address."
            )
        return uri
    return "/data/local-files/?d=" + quote(str(_below_root(uri, settings)))


def connect_folders(client: Client, project: int, uris: Iterable[str], settings: LabelStudioSettings) -> None:
    """Let the project show the pictures' folders; nothing else below the document root is opened.

    A connection is made for each folder that no other covers. It is never synchronised: that would make bare tasks.

    Args:
        client: The server.
        project: The project.
        uris: Pictures that `picture_address` took.
        settings: With a document root.
    """
    if settings.pictures != "local_files":
        return
    connected = {PurePosixPath(path) for path in client.local_storages(project)}
    folders = {PurePosixPath(_root(settings), _below_root(uri, settings)).parent for uri in uris}
    for folder in sorted(folders, key=lambda path: (len(path.parts), path)):
        if connected.isdisjoint([folder, *folder.parents]):
            client.create_local_storage(project, str(folder), _STORAGE)
            connected.add(folder)


def _root(settings: LabelStudioSettings) -> str:
    return settings.document_root or ""


def _below_root(uri: str, settings: LabelStudioSettings) -> PurePosixPath:
    parts = urlsplit(uri)
    if parts.scheme not in {"", "file"}:
        raise ValueError(
            f"{uri}: expected a local file below labeling.label_studio.document_root, got an address. Set "
            f"labeling.label_studio.pictures to url."
        )
    path = PurePosixPath(unquote(parts.path) if parts.scheme else uri)
    root = PurePosixPath(_root(settings))
    if not path.is_relative_to(root) or ".." in path.parts:
        raise ValueError(
            f"{uri}: expected a file below the document root {root}. Move the pictures there, or start Label Studio "
            f"with a document root above them and name it in labeling.label_studio.document_root."
        )
    if path.parent == root:
        raise ValueError(f"{uri}: lies in the document root itself, which is never served. Move it into a subfolder.")
    return path.relative_to(root)
