"""How the server's page reaches an image: as the server's local file, from a bucket, or by an address of its own."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from pipeline.errors import RemoteError
from pipeline.labeling.label_studio.client import NO_CORS, Client
from pipeline.settings.labeling import LabelStudioSettings

SERVICES = {"s3": "s3", "gs": "gcs"}
"""The server's kind of storage by the scheme of an address."""

_STORAGE = "crosscheck images"
_TRIED = 3


def image_address(uri: str, settings: LabelStudioSettings) -> str:
    """Tell what a task must state for the page to show its image.

    Args:
        uri: Where the image lies, as the sample states it.
        settings: Local files below a document root, buckets, or the image's own address.

    Returns:
        `/data/local-files/?d=...` or the address.

    Raises:
        ValueError: The page could not show this image; the message says why and what to do.
    """
    scheme = urlsplit(uri).scheme
    if settings.image_access == "storage":
        if scheme not in SERVICES:
            raise ValueError(
                f"{uri}: expected an address that begins with s3:// or gs://, got another. Set "
                f"labeling.label_studio.image_access to {'local_files' if scheme in {'', 'file'} else 'url'}."
            )
        return uri
    if settings.image_access == "url":
        if scheme in {"", "file"}:
            raise ValueError(
                f"{uri}: expected an address such as https:// or s3://, got a local file. Set "
                f"labeling.label_studio.image_access to local_files, or import the images by their address."
            )
        return uri
    return "/data/local-files/?d=" + quote(str(_below_root(uri, settings)))


def connect_images(client: Client, project: int, uris: Iterable[str], settings: LabelStudioSettings) -> None:
    """Let the project show the images: connect their folders or buckets, each once.

    A connection is never synchronised: that would make bare tasks. It holds no credentials.

    Args:
        client: The server.
        project: The project.
        uris: Images that `image_address` took.
        settings: How images are shown.

    Raises:
        RemoteError: The server cannot read a folder or a bucket.
    """
    if settings.image_access == "local_files":
        _connect_folders(client, project, uris, settings)
    elif settings.image_access == "storage":
        _connect_buckets(client, project, uris, settings)


def expect_shown(
    client: Client, project: int, addresses: Sequence[str], settings: LabelStudioSettings, held_up: str
) -> None:
    """Make sure that the page can show images, before people get tasks without.

    A few are fetched as the page would; one that can be shown is enough, since single files may be missing.

    Args:
        client: The server.
        project: The project, its images connected.
        addresses: As `image_address` gave them; may be empty.
        settings: How images are shown.
        held_up: What is not done where they cannot be shown, such as `3 new tasks`.

    Raises:
        RemoteError: None of them can be shown; the message says what came instead, what to do and what is held up.
    """
    tried = list(dict.fromkeys(addresses[place] for place in (0, len(addresses) // 2, -1))) if addresses else []
    faults = []
    for address in tried[:_TRIED]:
        fault = client.image_fault(_fetched(project, address))
        if fault is None:
            return
        faults.append(fault)
    if faults:
        raise RemoteError(
            f"Label Studio at {client.url}: expected the image {tried[0]} to be shown in project {project}, got "
            f"{faults[0]}. {_advice(tried[0], settings, faults[0])} Nothing was pushed; push again then. This holds up "
            f"{held_up}."
        )


def _fetched(project: int, address: str) -> str:
    """What the page asks for: addresses of buckets go through the server, which signs or forwards them."""
    if urlsplit(address).scheme not in SERVICES:
        return address
    return f"/projects/{project}/resolve/?fileuri={base64.urlsafe_b64encode(address.encode()).decode()}"


def _advice(address: str, settings: LabelStudioSettings, fault: str = "") -> str:
    scheme = urlsplit(address).scheme
    if NO_CORS in fault:
        other_way = "; or set labeling.label_studio.buckets.presign to false" if scheme in SERVICES else ""
        return f"Browsers show such an image on no other page: set CORS where it lies so that this one may{other_way}."
    if settings.image_access == "local_files":
        return (
            "Start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={settings.document_root}, on a machine that has this file there."
        )
    if scheme not in SERVICES:
        return "Does this address open without a login? Else set labeling.label_studio.image_access to storage."
    if settings.image_access == "url":
        return "Set labeling.label_studio.image_access to storage, so that its bucket is connected to the project."
    keys = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if scheme == "s3" else "GOOGLE_APPLICATION_CREDENTIALS"
    return (
        f"Let the server's own credentials ({keys} in the environment of Label Studio) read this object; or, where "
        "browsers cannot reach the bucket, set labeling.label_studio.buckets.presign to false."
    )


def _connect_buckets(client: Client, project: int, uris: Iterable[str], settings: LabelStudioSettings) -> None:
    buckets = settings.buckets
    for scheme, bucket in sorted({urlsplit(uri)[:2] for uri in uris}):
        if bucket in client.buckets(project, SERVICES[scheme]):
            continue
        fields = {
            "bucket": bucket,
            "title": _STORAGE,
            "presign": buckets.presign,
            "presign_ttl": buckets.presign_ttl_min,
            **({"region_name": buckets.region} if scheme == "s3" and buckets.region else {}),
            **({"s3endpoint": buckets.endpoint} if scheme == "s3" and buckets.endpoint else {}),
        }
        try:
            client.create_bucket_storage(project, SERVICES[scheme], **fields)
        except RemoteError as fault:
            raise RemoteError(f"{fault}. {_advice(f'{scheme}://{bucket}', settings)}") from fault


def _connect_folders(client: Client, project: int, uris: Iterable[str], settings: LabelStudioSettings) -> None:
    """Connect each folder that no other covers; nothing else below the document root is opened."""
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
        way = "storage" if parts.scheme in SERVICES else "url"
        raise ValueError(
            f"{uri}: expected a local file below labeling.label_studio.document_root, got an address. Set "
            f"labeling.label_studio.image_access to {way}."
        )
    path = PurePosixPath(unquote(parts.path) if parts.scheme else uri)
    root = PurePosixPath(_root(settings))
    if not path.is_relative_to(root) or ".." in path.parts:
        raise ValueError(
            f"{uri}: expected a file below the document root {root}. Move the images there, or start Label Studio "
            f"with a document root above them and name it in labeling.label_studio.document_root."
        )
    if path.parent == root:
        raise ValueError(f"{uri}: lies in the document root itself, which is never served. Move it into a subfolder.")
    return path.relative_to(root)
