"""Everything that mining needs, from what a workspace holds."""

from __future__ import annotations

from pipeline.cycle import Cycle
from pipeline.detector.inference.engine import predictor_with_engine
from pipeline.detector.inference.predictor import PredictionSettings
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
    settings, threshold, models = cycle.settings, cycle.settings.mining.compile_images, cycle.workspace.models
    options = PredictionSettings.of(settings, compiled=threshold is not None and pool_images >= threshold)
    seed = derive_seed(settings.seed, "mine", cycle.number)
    chosen = choose_hosts(cycle.store.labeled(Split.TRAIN), settings.mining.max_hosts_cached, seed)
    predictor = predictor_with_engine(
        load_model(models, model_id),
        options,
        settings.mining.engine,
        models.folder(model_id),
        [sample.ref for sample in chosen],
    )
    hosts = load_hosts(chosen, settings.data.labels, predictor, settings.mining.host_blur)
    return Miner(predictor, hosts, settings.mining, model_id, seed)
