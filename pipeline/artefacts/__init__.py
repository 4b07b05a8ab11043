"""What the stages of a cycle write and everybody else reads: one frozen record per JSON file.

A record names its file (`FILE`) and the command that makes it (`MADE_BY`). Rooms fill these records, `Cycle.write` and
`Cycle.read` carry them to disk and back, and the report, the command line and Prefect's pages read the same ones.
Nothing here needs torch.
"""

from pipeline.artefacts.audits import AuditCount, Audits, ClassStanding, HiddenTruthAudit, Standings, add_audits
from pipeline.artefacts.calibration import (
    ALL_CLASSES,
    Calibration,
    Certificate,
    Certificates,
    Recall,
    Reliability,
    ScoreQuality,
)
from pipeline.artefacts.committee import CommitteeRun, Member
from pipeline.artefacts.evaluation import (
    ERROR_TYPES,
    HELD_BACK,
    ClassMetrics,
    Curves,
    ErrorCost,
    ForgottenClass,
    GateOutcome,
    Metrics,
)
from pipeline.artefacts.labeling import AnswerRemark, ClassExamples, CycleHarvest, HarvestSummary, PushRun
from pipeline.artefacts.mining import MiningCost, MiningPart, MiningRun, UnreadableImage
from pipeline.artefacts.opening import FORMAT, CycleEnd, ImportRun, ImportSummary, Opening, RunOfCycle, WorkspaceFormat
from pipeline.artefacts.people import (
    Acceptance,
    AcceptanceCount,
    AnswerPace,
    People,
    PricedAnswers,
    TimedAnswer,
    TimedAnswers,
    TimeSaved,
)
from pipeline.artefacts.report import ReportRun
from pipeline.artefacts.review import ReviewWork
from pipeline.artefacts.selection import Decision, PastedBoxes, SelectionRun
from pipeline.artefacts.stage import StageRecord
from pipeline.artefacts.training import EndOfRun, Look, Rollback, TrainingRun, TrainingStep, TrainingSummary

__all__ = [
    "ALL_CLASSES",
    "ERROR_TYPES",
    "FORMAT",
    "HELD_BACK",
    "Acceptance",
    "AcceptanceCount",
    "AnswerPace",
    "AnswerRemark",
    "AuditCount",
    "Audits",
    "Calibration",
    "Certificate",
    "Certificates",
    "ClassExamples",
    "ClassMetrics",
    "ClassStanding",
    "CommitteeRun",
    "Curves",
    "CycleEnd",
    "CycleHarvest",
    "Decision",
    "EndOfRun",
    "ErrorCost",
    "ForgottenClass",
    "GateOutcome",
    "HarvestSummary",
    "HiddenTruthAudit",
    "ImportRun",
    "ImportSummary",
    "Look",
    "Member",
    "Metrics",
    "MiningCost",
    "MiningPart",
    "MiningRun",
    "Opening",
    "PastedBoxes",
    "People",
    "PricedAnswers",
    "PushRun",
    "Recall",
    "Reliability",
    "ReportRun",
    "ReviewWork",
    "Rollback",
    "RunOfCycle",
    "ScoreQuality",
    "SelectionRun",
    "StageRecord",
    "Standings",
    "TimeSaved",
    "TimedAnswer",
    "TimedAnswers",
    "TrainingRun",
    "TrainingStep",
    "TrainingSummary",
    "UnreadableImage",
    "WorkspaceFormat",
    "add_audits",
]
