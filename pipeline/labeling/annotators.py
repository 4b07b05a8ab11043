"""Who answers in this project, as its settings say. Neither backend is imported before it is needed: both are heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from pipeline.errors import SettingsError
from pipeline.labeling.backend import LabelingBackend
from pipeline.settings import Settings
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.labeling.oracle import SimulatedAnnotator


def labeling_backend(settings: Settings, token: SecretStr | None) -> LabelingBackend | None:
    """Build the labelling backend.

    Args:
        settings: Name it.
        token: For Label Studio.

    Returns:
        The backend, None where nobody answers.

    Raises:
        RemoteError: The token of Label Studio has expired.
        SettingsError: Label Studio is named and there is no token.
    """
    if settings.labeling.backend == "simulated":
        return simulated_annotator(settings)
    if settings.labeling.label_studio is None or settings.labeling.backend == "none":
        return None
    if token is None:
        raise SettingsError(
            "Expected a Label Studio token, found none. Set LABEL_STUDIO_API_KEY, or save a Prefect Secret block "
            f"named {settings.labeling.label_studio.secret_block!r}."
        )
    from pipeline.labeling.label_studio import Client, LabelStudioBackend

    server = settings.labeling.label_studio
    return LabelStudioBackend(
        Client(server.url, token, server.timeout_s),
        server,
        settings.data,
        settings.labeling.accepted_iou,
        Workspace(settings.workspace).labeling,
    )


def simulated_annotator(settings: Settings) -> SimulatedAnnotator:
    """Build the simulated annotator.

    Raises:
        SettingsError: The settings have no section for it.
    """
    if settings.labeling.simulated is None:
        raise SettingsError("Expected a section labeling.simulated with the hidden labels, found none.")
    from pipeline.labeling.oracle import SimulatedAnnotator, Ways

    return SimulatedAnnotator(
        settings.labeling.simulated,
        settings.data,
        Ways(settings.labeling.accepted_iou, settings.labeling.seconds),
        settings.seed,
        Workspace(settings.workspace).labeling,
    )
