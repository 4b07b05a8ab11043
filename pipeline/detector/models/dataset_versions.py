"""Dataset versions and the models that learnt from them: which one a person means, and which ones models need."""

from __future__ import annotations

from pipeline.dataset.store import SampleStore
from pipeline.dataset.tags import find_version, read_tags
from pipeline.detector.models.registry import champion_id, list_models, load_card
from pipeline.errors import ArtefactError
from pipeline.workspace import Workspace


def champion_version(workspace: Workspace) -> int | None:
    """What the model in use learnt from; None before the first, or where its files are gone."""
    champion = champion_id(workspace.models)
    try:
        return None if champion is None else load_card(workspace.models, champion).dataset_version
    except ArtefactError:
        return None


def version_named(workspace: Workspace, name: str) -> int:
    """The version that a person means: a number, a tag, `latest`, or `champion`.

    Raises:
        ArtefactError: There is no sample table, or nothing is called so.
    """
    latest = SampleStore(workspace.samples_uri).version()
    return find_version(name, read_tags(workspace), latest, champion_version(workspace))


def needed_versions(workspace: Workspace) -> set[int]:
    """Versions that a tag names or that a model learnt from: nothing may remove them."""
    learnt = {card.dataset_version for card in list_models(workspace.models).values()}
    return {*read_tags(workspace).versions.values(), *learnt}
