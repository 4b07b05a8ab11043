"""The example pictures of the classes on the page, where the server can show them."""

from __future__ import annotations

from pipeline.artefacts import ClassExamples
from pipeline.errors import RemoteError
from pipeline.labeling.examples import PICTURES
from pipeline.labeling.label_studio.client import Client
from pipeline.labeling.label_studio.image_access import connect_images, image_address
from pipeline.settings.labeling import LabelStudioSettings
from pipeline.workspace import Folder


def example_addresses(client: Client, project: int, settings: LabelStudioSettings, folder: Folder) -> dict[str, str]:
    """Have a project show the pictures of the classes, and tell where they are.

    Instructions show images by address alone. Ours lie in the workspace: the server reaches them as its local files,
    where the workspace is below its document root. Elsewhere the instructions go without, and no push fails for that.

    Args:
        client: The server.
        project: The project.
        settings: How images are shown.
        folder: Of the labelling backend, see `examples.write_examples`.

    Returns:
        Address by class.
    """
    if settings.image_access != "local_files" or not folder.exists(ClassExamples.FILE):
        return {}
    pictures = folder.folder(PICTURES)
    files = folder.read_record(ClassExamples.FILE, ClassExamples).pictures
    paths = {label: pictures.path(name) for label, name in files.items()}
    try:
        addresses = {label: image_address(path, settings) for label, path in paths.items()}
        connect_images(client, project, paths.values(), settings)
    except (ValueError, RemoteError):
        return {}
    return {} if any(map(client.image_fault, addresses.values())) else addresses
