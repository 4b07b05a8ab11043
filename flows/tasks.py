"""How the steps of `pipeline.loop` become tasks of a flow.

A task adds a name, a state and progress on the run's page, and nothing else: `Cycle.once` makes steps idempotent, so
Prefect caches no results, and the Label Studio client retries requests, so Prefect retries no tasks.
"""

from __future__ import annotations

from collections.abc import Callable

from prefect import task
from prefect.blocks.system import Secret
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from pydantic import SecretStr

from flows.progress import run_page_progress
from pipeline.cycle import Cycle
from pipeline.labeling.annotators import labeling_backend
from pipeline.labeling.backend import LabelingBackend
from pipeline.loop import Step, Surroundings
from pipeline.settings import Secrets, Settings


def as_task(step: Step, _cycle: Cycle, run: Callable[[], object]) -> object:
    """Run a step as a task of the flow that is running."""
    return task(name=step.name, cache_policy=NO_CACHE, persist_result=False)(run)()


def surroundings() -> Surroundings:
    """Whoever answers, with the token of the environment or of Prefect, and progress on the run's page.

    A run has its name in Prefect, since Prefect may start it twice: it reports a killed process, then its worker.
    """
    return Surroundings(annotators, run_page_progress(), flow_run.id or "")


def annotators(settings: Settings) -> LabelingBackend | None:
    """Whoever answers in a project, as its settings say."""
    return labeling_backend(settings, label_studio_token(settings))


def label_studio_token(settings: Settings) -> SecretStr | None:
    """The token from the environment, or from the Secret block that the settings name; None where not needed."""
    if settings.labeling.backend != "label_studio" or settings.labeling.label_studio is None:
        return None
    from_environment = Secrets().label_studio_api_key
    if from_environment is not None:
        return from_environment
    try:
        return SecretStr(str(Secret.load(settings.labeling.label_studio.secret_block).get()))  # type: ignore[union-attr]
    except ValueError:  # no such block: the backend says what to set
        return None
