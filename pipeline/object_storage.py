"""Storage by path or URI, as fsspec knows it, and what an object store refuses, in one line with the next step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pyarrow import NativeFile, PythonFile
from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem
from pyarrow.fs import LocalFileSystem as LocalArrowFiles

from pipeline.errors import PipelineError, RemoteError, SettingsError

OBJECT_STORES = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}
"""Protocols of object stores, and the extra of crosscheck that installs what reads them.

They have no folders to make, and one of several that create an object of one name at the same time succeeds.
"""
LOCAL = "file"
_NEXT_STEPS = (
    (("FileNotFoundError", "NoSuchBucket"), "Make the bucket, or correct its name in the settings"),
    (("PermissionError", "AccessDenied"), "Correct the credentials, or let them list, read, write and delete there"),
    (("Credential", "Authentication"), "Set the credentials in the environment, for S3 AWS_ACCESS_KEY_ID and "
     "AWS_SECRET_ACCESS_KEY or AWS_PROFILE"),
    (("Connect", "Timeout", "DNS"), "Check the network and the endpoint, for S3 AWS_ENDPOINT_URL"),
)  # fmt: skip
_COLORS = re.compile(r"\x1b\[\d+m")
_LONGEST = 300
_guards: dict[str, Callable[[], None]] = {}


def files_at(uri: str) -> tuple[Any, str]:
    """Open the storage of a path or URI.

    Returns:
        (an fsspec file system, the path in it). What it lists is never remembered: other machines write there too.

    Raises:
        SettingsError: Nothing installed reads such a URI.
    """
    protocol = protocol_of(uri)
    try:
        files, path = fsspec.core.url_to_fs(uri, **({"use_listings_cache": False} if protocol in OBJECT_STORES else {}))
    except ImportError as fault:
        extra = OBJECT_STORES.get(protocol)
        remedy = f"pip install 'crosscheck[{extra}]'" if extra else f"pip install what reads {protocol}://"
        raise SettingsError(f"{uri}: what reads it is not installed ({fault}). Run `{remedy}`.") from fault
    return files, str(path)


class _RowFiles(FSSpecHandler):  # type: ignore[misc]
    """How Arrow opens files; whether a file is there shows when it is opened, without a request before."""

    def open_input_file(self, path: str) -> NativeFile:
        return PythonFile(self.fs.open(path, mode="rb"), mode="r")


def arrow_files(files: Any) -> FileSystem:
    """An fsspec file system as Arrow reads it."""
    return LocalArrowFiles() if isinstance(files, LocalFileSystem) else PyFileSystem(_RowFiles(files))


def protocol_of(uri: str) -> str:
    """What a URI begins with, before `://`."""
    return uri.split("://", 1)[0] if "://" in uri else LOCAL


@contextmanager
def reaching(place: str, absent: tuple[type[Exception], ...] = (FileNotFoundError,)) -> Iterator[None]:
    """Turn whatever the library of a remote storage raises into one line; each has exceptions of its own.

    Args:
        place: What is read or written; what a disk says of a local path passes as it is.
        absent: What the caller makes sense of itself.

    Raises:
        RemoteError: The store cannot be reached, or refuses.
    """
    try:
        yield
    except Exception as fault:
        if protocol_of(place) == LOCAL or isinstance(fault, (PipelineError, *absent)):
            raise
        raise RemoteError(_refusal(place, fault)) from fault


def _refusal(place: str, fault: Exception) -> str:
    kind = type(fault)
    reason = ": ".join(filter(None, (line.strip(" .↳") for line in _COLORS.sub("", str(fault)).splitlines())))
    known = " ".join([*(each.__name__ for each in kind.__mro__), reason])
    step = next((step for parts, step in _NEXT_STEPS if any(part in known for part in parts)), "Check access to it")
    return f"{place}: the storage refuses: {reason[:_LONGEST] or kind.__name__}. {step}, then run again."


@contextmanager
def guarded(uri: str, require: Callable[[], None]) -> Iterator[None]:
    """Have something looked at before each write below a URI, for as long as the block lasts in this process."""
    _guards[uri] = require
    try:
        yield
    finally:
        del _guards[uri]


def require_writable(uri: str) -> None:
    """Ask who guards a place whether it may still be written to.

    Raises:
        PipelineError: It may not.
    """
    for root, require in list(_guards.items()):
        if uri.startswith(f"{root}/"):
            require()
