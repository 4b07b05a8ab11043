"""Settings: YAML to frozen models, unknown keys refused with the nearest known key, bounds on every number."""

from pipeline.settings.anytime import ANYTIME, changed_keys, lasting, lasting_digest, trained_by, with_anytime
from pipeline.settings.data import DataSettings, SourceSettings
from pipeline.settings.detector import DetectorSettings, PathSettings
from pipeline.settings.labeling import LabelingSettings, LabelStudioSettings, SecondsSettings, SimulatedSettings
from pipeline.settings.losses import (
    Assigner,
    BottleneckSettings,
    BoxIouLoss,
    FocalSettings,
    GroupableSettings,
    OhemSettings,
    RepulsionSettings,
    TripletSettings,
)
from pipeline.settings.mining import FusionSettings, MiningSettings
from pipeline.settings.renamed import migrated
from pipeline.settings.report import ReportSettings
from pipeline.settings.root import Settings, dump_settings, load_settings, parse_settings
from pipeline.settings.runner import RunnerSettings
from pipeline.settings.secrets import Secrets
from pipeline.settings.selection import QuerySettings, SelectionSettings
from pipeline.settings.training import (
    PlateauSettings,
    PseudoBoxSettings,
    RecoverySettings,
    RepeatFactorSettings,
    TeacherSettings,
    TrainingSettings,
)
from pipeline.settings.views import (
    AugmentSettings,
    CopyPasteSettings,
    MixupSettings,
    MosaicSettings,
    MultiscaleSettings,
    StrongViewSettings,
)

__all__ = [
    "ANYTIME",
    "Assigner",
    "AugmentSettings",
    "BottleneckSettings",
    "BoxIouLoss",
    "CopyPasteSettings",
    "DataSettings",
    "DetectorSettings",
    "FocalSettings",
    "FusionSettings",
    "GroupableSettings",
    "LabelStudioSettings",
    "LabelingSettings",
    "MiningSettings",
    "MixupSettings",
    "MosaicSettings",
    "MultiscaleSettings",
    "OhemSettings",
    "PathSettings",
    "PlateauSettings",
    "PseudoBoxSettings",
    "QuerySettings",
    "RecoverySettings",
    "RepeatFactorSettings",
    "ReportSettings",
    "RepulsionSettings",
    "RunnerSettings",
    "SecondsSettings",
    "Secrets",
    "SelectionSettings",
    "Settings",
    "SimulatedSettings",
    "SourceSettings",
    "StrongViewSettings",
    "TeacherSettings",
    "TrainingSettings",
    "TripletSettings",
    "changed_keys",
    "dump_settings",
    "lasting",
    "lasting_digest",
    "load_settings",
    "migrated",
    "parse_settings",
    "trained_by",
    "with_anytime",
]
