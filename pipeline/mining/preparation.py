"""Everything that mining needs, from what a workspace holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.cycle import Cycle
from pipeline.detector.inference.engine import predictor_with_engine
from pipeline.detector.inference.predictor import PredictionSettings
from pipeline.detector.models.saved import load_model
from pipeline.folder import Folder
from pipeline.mining.hosts import choose_hosts, load_hosts
from pipeline.mining.miner import Miner
from pipeline.records import Sample, Split
from pipeline.seeds import derive_seed


@dataclass(frozen=True)
class Proposer:
    """A detector that proposes.

    Attributes:
        models: The folder that it lies in.
        weights: Its id there.
        hosts: Labelled images that its proposals are pasted into.
        images: How many it will mine; a large pool repays compiling it.
    """

    models: Folder
    weights: str
    hosts: Sequence[Sample]
    images: int = 0


def prepare_miner(cycle: Cycle, model_id: str, pool_images: int = 0) -> Miner:
    """Load a model and the labelled images that its proposals are pasted into.

    Args:
        cycle: Its settings, models and labelled images.
        model_id: The model.
        pool_images: Images to mine.

    Raises:
        DataError: There is no labelled image to paste into.
    """
    proposer = Proposer(cycle.workspace.models, model_id, cycle.store.labeled(Split.TRAIN), pool_images)
    return miner_of(cycle, proposer, model_id)


def miner_of(cycle: Cycle, proposer: Proposer, model_id: str) -> Miner:
    """Load a detector and its hosts.

    Args:
        cycle: Its settings.
        proposer: The detector.
        model_id: The model that its proposals are written for: itself, or the champion of its committee.

    Raises:
        DataError: There is no labelled image to paste into.
    """
    settings, threshold = cycle.settings, cycle.settings.mining.compile_images
    pool_images, kept = proposer.images, proposer.models.folder(proposer.weights)
    options = PredictionSettings.of(settings, compiled=threshold is not None and pool_images >= threshold)
    seed = derive_seed(settings.seed, "mine", cycle.number)
    chosen = choose_hosts(proposer.hosts, settings.mining.max_hosts_cached, seed)
    predictor = predictor_with_engine(
        load_model(proposer.models, proposer.weights),
        options,
        settings.mining.engine,
        kept,
        [sample.ref for sample in chosen],
    )
    hosts = load_hosts(chosen, settings.data.labels, predictor, settings.mining.host_blur)
    return Miner(predictor, hosts, settings.mining, model_id, seed)
