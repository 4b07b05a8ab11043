"""Everything that mining needs, from what a workspace holds."""

from __future__ import annotations

from pipeline.cycle import Cycle
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.models.saved import load_model
from pipeline.mining.hosts import choose_hosts, load_hosts
from pipeline.mining.miner import Miner
from pipeline.records import Split
from pipeline.seeds import derive_seed


def prepare_miner(cycle: Cycle, model_id: str, pool_images: int = 0) -> Miner:
    """Load a detector and the labelled images that its proposals are pasted into.

    Args:
        cycle: Its settings, models and labelled images.
        model_id: The detector.
        pool_images: Images to mine; a large pool repays compiling the detector.

    Raises:
        DataError: There is no labelled image to paste into.
    """
    settings, threshold = cycle.settings, cycle.settings.mining.compile_images
    options = PredictionSettings.of(settings, compiled=threshold is not None and pool_images >= threshold)
    predictor = Predictor(load_model(cycle.workspace.models, model_id), options)
    seed = derive_seed(settings.seed, "mine", cycle.number)
    chosen = choose_hosts(cycle.store.labeled(Split.TRAIN), settings.mining.max_hosts_cached, seed)
    hosts = load_hosts(chosen, settings.data.labels, predictor, settings.mining.host_blur)
    return Miner(predictor, hosts, settings.mining, model_id, seed)
