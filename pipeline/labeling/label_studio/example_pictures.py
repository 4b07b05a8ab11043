"""The example pictures of the classes on the page."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pipeline.artefacts import ClassExamples
from pipeline.errors import ArtefactError, RemoteError
from pipeline.folder import Folder
from pipeline.labeling.examples import PICTURES
from pipeline.labeling.label_studio.client import Client

LOG = logging.getLogger(__name__)
PREFIX = "crosscheck-example-"
"""Uploads of any other name are people's own."""


def example_addresses(client: Client, project: int, folder: Folder) -> dict[str, str]:
    """Have a project show the pictures of the classes, and tell where they are.

    Instructions show images by address alone. Ours are uploaded to the server, which shows them to people of the
    project wherever the workspace and the images of its tasks lie. A server that does not take or show them holds no
    push up: the instructions go without, and the log says why.

    Args:
        client: The server.
        project: The project.
        folder: Of the labelling backend, see `examples.write_examples`.

    Returns:
        Address by class.
    """
    if not folder.exists(ClassExamples.FILE):
        return {}
    names = folder.read_record(ClassExamples.FILE, ClassExamples).pictures
    try:
        there = _upload(client, project, folder.folder(PICTURES), set(names.values()))
        addresses = {label: there[name] for label, name in names.items()}
        fault = client.image_fault(next(iter(addresses.values()))) if addresses else None
    except (ArtefactError, RemoteError) as refusal:
        addresses, fault = {}, str(refusal)
    if fault is None:
        return addresses
    LOG.warning("The instructions go without example pictures: %s", fault)
    return {}


def _upload(client: Client, project: int, pictures: Folder, names: set[str]) -> Mapping[str, str]:
    """Upload pictures that the server lacks, remove those of no use any more, and give the address of each by name."""
    missing = names - set(_uploaded(client, project))
    for name in sorted(missing):
        client.uploads.add(project, PREFIX + name, pictures.read_bytes(name))
    there = _uploaded(client, project)
    if not names <= there.keys():
        raise RemoteError(f"{client.url}: expected to find {', '.join(sorted(names - there.keys()))} among the uploads")
    for name in there.keys() - names:
        client.uploads.remove(there[name][0])
    return {name: there[name][1] for name in names}


def _uploaded(client: Client, project: int) -> Mapping[str, tuple[int, str]]:
    """Id and address of each of our uploads, by the name of its picture."""
    found = client.uploads.addresses(project).items()
    return {address.partition(PREFIX)[2]: (upload, address) for upload, address in found if f"-{PREFIX}" in address}
