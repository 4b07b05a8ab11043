"""Settings: YAML to frozen models, unknown keys refused with the nearest known key, bounds on every number."""

from pipeline.settings.data import DataSettings, SourceSettings
from pipeline.settings.detector import (
    AugmentSettings,
    DetectorSettings,
    EarlyStopSettings,
    FocalSettings,
    MixupSettings,
    TrainingSettings,
    TripletSettings,
)
from pipeline.settings.labeling import LabelingSettings, LabelStudioSettings, SimulatedSettings
from pipeline.settings.mining import MiningSettings
from pipeline.settings.report import ReportSettings
from pipeline.settings.root import Settings, dump_settings, load_settings, parse_settings
from pipeline.settings.secrets import Secrets
from pipeline.settings.selection import QuerySettings, SelectionSettings

__all__ = [
    "AugmentSettings",
    "DataSettings",
    "DetectorSettings",
    "EarlyStopSettings",
    "FocalSettings",
    "LabelStudioSettings",
    "LabelingSettings",
    "MiningSettings",
    "MixupSettings",
    "QuerySettings",
    "ReportSettings",
    "Secrets",
    "SelectionSettings",
    "Settings",
    "SimulatedSettings",
    "SourceSettings",
    "TrainingSettings",
    "TripletSettings",
    "dump_settings",
    "load_settings",
    "parse_settings",
]
