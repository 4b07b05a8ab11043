"""A model whose statistics are those of the pool, for pools that look otherwise than the labelled images."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.dataset.store import MINED_STATES, SampleStore
from pipeline.detector.evaluation.metrics import map_on
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.registry import load_card
from pipeline.detector.models.saved import load_model, save_model
from pipeline.detector.models.statistics import reestimate
from pipeline.detector.training.fit import labeled_predictor
from pipeline.errors import ArtefactError
from pipeline.records import Split
from pipeline.seeds import draw
from pipeline.settings import Settings
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Adaptation:
    """A model and what came of fitting its statistics to the pool.

    Attributes:
        model: The new one; not in use until it is promoted.
        parent: The one that it was made from.
        layers: How many were changed.
        images: Of the pool, that statistics were estimated on.
        map_before: On split val, which looks as the labelled images do; None without labelled images there.
        map_after: Likewise, of the new model.
    """

    model: str
    parent: str
    layers: int
    images: int
    map_before: float | None
    map_after: float | None


def adapt(settings: Settings, model_id: str | None, images: int) -> Adaptation:
    """Estimate a model's statistics anew on the pool, and save what comes of it as a model.

    Args:
        settings: The project.
        model_id: Which; the champion for None.
        images: Most images of the pool, and most labelled ones.

    Raises:
        ArtefactError: There is no such model, no image, or no statistics in it.
    """
    workspace = Workspace(settings.workspace)
    store = SampleStore(workspace.samples_uri)
    model_id = model_id or require_champion(workspace, "to adapt")
    predictor = labeled_predictor(settings, load_model(workspace.models, model_id))
    val = store.labeled(Split.VAL)
    before = map_on(predictor, val)
    known, pool = store.labeled(Split.TRAIN), store.samples(states=MINED_STATES, splits=[Split.POOL])
    looks = [[sample.ref for sample in draw(samples, images, settings.seed, "adapt")] for samples in (known, pool)]
    try:
        layers = reestimate(predictor.detector, *map(predictor.inputs, looks))
    except ValueError as fault:
        raise ArtefactError(f"{fault}. Model {model_id} stays as it is.") from fault
    card = replace(load_card(workspace.models, model_id), parent_id=model_id, metrics={})
    saved = save_model(workspace.models, predictor.detector, card)
    return Adaptation(saved, model_id, layers, len(looks[1]), before, map_on(predictor, val))
