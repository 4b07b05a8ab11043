"""Boosting: labelled images that the champion gets wrong are drawn more often by the run that goes on from it.

The idea is AdaBoost's (Freund and Schapire, Journal of Computer and System Sciences 55, 1997): examples that one model
gets wrong, by a loss from 0 to 1, weigh more for the next. Drawing examples by weight instead of weighing their loss is
"boosting by resampling" (Freund and Schapire, ICML 1996). The rest is not theirs: the error of an image is 1 - F1 of
its boxes; its weight grows linearly with it (`training.boosting`) and not by a factor that follows from the error of
the model; weights are those of the last model alone, not a product over all; the next model replaces the champion, and
nobody votes, so that none of AdaBoost's bounds holds here. Nor is it OHEM (arXiv 1604.03540), which chooses boxes
within the images of a batch and not images.

Whose error? With a committee each image is judged by the member that has not learnt it, without one by the champion,
which has learnt all but the newest. A member goes by its own errors, although it has learnt the images: every other
member has learnt of its fold, and what that tells must not reach it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipeline.detector.evaluation.image_errors import image_errors
from pipeline.detector.training.start import goes_on
from pipeline.progress import Progress, silent
from pipeline.records import Sample, State
from pipeline.selection.cross_fitting import committee_of
from pipeline.selection.judging import Helpers, Judge, detect_saved, judges_out_of_fold
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def errors_of_champion(
    settings: Settings,
    workspace: Workspace,
    champion: str | None,
    samples: Iterable[Sample],
    progress: Progress = silent,
) -> Mapping[str, float]:
    """How wrong the champion, or its committee out of fold, is about the images that a candidate learns.

    Args:
        settings: The project.
        workspace: Where the champion is.
        champion: Its id; None for none.
        samples: What the candidate learns; pseudo-labelled images are left out.
        progress: Called as images are looked at.

    Returns:
        0 to 1 by image id; empty where `training.boosting` is 0 or the run starts from pretrained weights.
    """
    if champion is None or not settings.training.boosting or not goes_on(workspace.models, champion, settings):
        return {}
    labeled, committee = _by_people(samples), committee_of(workspace, champion)
    if committee is None:
        return _errors(settings, [Judge(workspace.models, champion, labeled)], progress)
    return _errors(settings, judges_out_of_fold(workspace, committee, labeled), progress)


def errors_of_member(
    settings: Settings, workspace: Workspace, parent: str | None, samples: Iterable[Sample], progress: Progress = silent
) -> Mapping[str, float]:
    """How wrong a member of a committee is about the images that it goes on with.

    Args:
        settings: The project.
        workspace: Where the members are.
        parent: The model that it goes on from; None where it starts anew.
        samples: What it learns; pseudo-labelled images are left out.
        progress: Called as images are looked at.

    Returns:
        As `errors_of_champion`.
    """
    if parent is None or not settings.training.boosting:
        return {}
    return _errors(settings, [Judge(workspace.members, parent, _by_people(samples))], progress)


def _errors(settings: Settings, judges: Sequence[Judge], progress: Progress) -> Mapping[str, float]:
    return image_errors(detect_saved(settings, judges, Helpers(progress=progress)))


def _by_people(samples: Iterable[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.state is not State.PSEUDO]
