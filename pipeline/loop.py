"""The order of a cycle, once: harvest, learn, mine, decide, ask, report. It runs without Prefect and never waits.

Flows wrap these steps in tasks, the command line runs some of them, and tests run them all; none has an order of its
own. Every step is idempotent through `Cycle.once`. Requests are retried by the Label Studio client alone, which knows
which of them may be sent twice. Where nobody watches, a step that still fails is tried again, so that a server has time
to start; what fails for longer is noted, and the cycle goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypedDict

import stamina

from pipeline.artefacts import CycleEnd, ReportRun
from pipeline.cycle import Cycle, cycle_of_run, finish_cycle, only_one, open_cycle
from pipeline.errors import RemoteError
from pipeline.gpu_turn import gpu_turn
from pipeline.labeling.annotators import labeling_backend
from pipeline.labeling.backend import LabelingBackend
from pipeline.progress import Progress, silent
from pipeline.runners import ALONE, Runner, require_runner, runner_of
from pipeline.settings import Secrets, Settings

LOG = logging.getLogger(__name__)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 60.0
"""Before a step is tried again."""


@dataclass(frozen=True)
class Surroundings:
    """What a step may use beside its cycle.

    Attributes:
        annotators: Gives whoever answers; called by the steps that ask or harvest alone, which need its token.
        progress: Where progress is shown.
        run: Name of the run where one may be started twice: it works at one cycle and opens no other.
        runner: Who does what can be shared out; `run_steps` takes the one of the settings.
        patience_s: How long a step is tried again while a remote service fails; 0 never.
    """

    annotators: Callable[[Settings], LabelingBackend | None]
    progress: Progress = silent
    run: str = ""
    runner: Runner = ALONE
    patience_s: float = 0.0


@dataclass(frozen=True)
class Step:
    """One step of a cycle.

    Attributes:
        name: For people.
        run: Does the work, or nothing where it was done.
        failed: Notes that a remote service failed, whereupon the cycle goes on; None: it ends with the fault.
        computes: Trains or detects, on a GPU where there is one, and waits until no other run uses it.
    """

    name: str
    run: Callable[[Cycle, Surroundings], object]
    failed: Callable[[Cycle, str], object] | None = None
    computes: bool = False


# Each step imports its stage when it runs: the first line of a run should not wait for torch.


def _import(cycle: Cycle, around: Surroundings) -> object:
    from pipeline.stages.importing import import_new

    return import_new(cycle, around.progress)


def _harvest(cycle: Cycle, around: Surroundings) -> object:
    from pipeline.stages.harvest import harvest
    from pipeline.stages.review_harvest import harvest_reviews_in

    backend = around.annotators(cycle.settings)
    harvest_reviews_in(cycle, backend, around.progress)
    return harvest(cycle, backend, around.progress)


def _harvest_failed(cycle: Cycle, why: str) -> object:
    from pipeline.stages.harvest import harvest_failed

    return harvest_failed(cycle, why)


def _first_questions(cycle: Cycle, around: Surroundings) -> object:
    from pipeline.stages.first_questions import first_questions

    return first_questions(cycle, around.progress)


def _committee(cycle: Cycle, around: Surroundings) -> object:
    from pipeline.stages.committee import train_committee

    return train_committee(cycle, around.progress, around.runner)


def _finetune(cycle: Cycle, around: Surroundings) -> object:
    from pipeline.stages.finetune import finetune

    return finetune(cycle, around.progress)


def _gate(cycle: Cycle, around: Surroundings) -> object:
    from pipeline.stages.gate import gate

    return gate(cycle, around.progress, around.runner)


def _mine(cycle: Cycle, around: Surroundings) -> object:
    from pipeline.stages.mine import mine

    return mine(cycle, around.progress, around.runner)


def _select(cycle: Cycle, _around: Surroundings) -> object:
    from pipeline.stages.select import select

    return select(cycle)


def _push(cycle: Cycle, around: Surroundings) -> object:
    from pipeline.stages.push import push
    from pipeline.stages.review import push_reviews_in

    backend = around.annotators(cycle.settings)
    push_reviews_in(cycle, backend, around.progress)
    return push(cycle, backend, around.progress)


def _push_failed(cycle: Cycle, why: str) -> object:
    from pipeline.stages.push import push_failed

    return push_failed(cycle, why)


def _audit_hidden_truth(cycle: Cycle, _around: Surroundings) -> object:
    from pipeline.stages.hidden_truth import audit_hidden_truth

    return audit_hidden_truth(cycle)


def _report(cycle: Cycle, _around: Surroundings) -> object:
    from pipeline.stages.report import report

    return report(cycle)


IMPORT = Step("import", _import)
HARVEST = Step("harvest", _harvest, _harvest_failed)
FIRST_QUESTIONS = Step("first questions", _first_questions)
COMMITTEE = Step("committee", _committee, computes=True)
FINETUNE = Step("finetune", _finetune, computes=True)
GATE = Step("gate", _gate, computes=True)
MINE = Step("mine", _mine, computes=True)
SELECT = Step("select", _select)
PUSH = Step("push", _push, _push_failed)
HIDDEN_TRUTH = Step("hidden truth", _audit_hidden_truth)
REPORT = Step("report", _report)

TAKE_IN = (IMPORT, HARVEST)
LEARN = (COMMITTEE, FINETUNE, GATE, MINE, SELECT)
PASS_ON = (PUSH, HIDDEN_TRUTH, REPORT)
"""A cycle takes in, learns or asks its first questions, and passes on, in this order."""

Call = Callable[[Step, Cycle, Callable[[], object]], object]
"""How a step is run: called with the step, its cycle and what does the work. Flows run it as a task."""


def directly(_step: Step, _cycle: Cycle, run: Callable[[], object]) -> object:
    """Run a step in this thread."""
    return run()


def run_cycle(
    settings: Settings, around: Surroundings | None = None, call: Call = directly, wait_s: float = 0.0
) -> Cycle:
    """Run the cycle that was not finished, or the next one, alone in its workspace.

    Args:
        settings: The project.
        around: Whoever answers, by default as the settings say with the token of the environment, and progress.
        call: How a step is run.
        wait_s: How long to wait for another run's end; 0 refuses at once. Whoever waits is taken for a schedule, see
            `open_cycle`, and is patient, see `labeling.patience_s`.

    Raises:
        PipelineError: Another run is under way, or a step cannot go on.
        AnotherWaits: Another cycle waits already.
    """
    around = around or Surroundings(annotators_from_environment)
    if wait_s > 0:
        around = replace(around, patience_s=settings.labeling.patience_s)
    with only_one(settings, wait_s, "cycle"):
        cycle = begin_cycle(settings, around.run, unattended=wait_s > 0)
        if not cycle.has(CycleEnd):
            run_steps(cycle, _steps(cycle), around, call)
            finish_cycle(cycle, datetime.now(UTC))
    return cycle


def _steps(cycle: Cycle) -> Iterator[Step]:
    """What was taken in decides what comes next: a project without any label asks for the first ones."""
    yield from TAKE_IN
    from pipeline.stages.first_questions import nothing_to_learn

    yield from (FIRST_QUESTIONS,) if nothing_to_learn(cycle) else LEARN
    yield from PASS_ON


def begin_cycle(settings: Settings, run: str = "", unattended: bool = False) -> Cycle:
    """Go on with the cycle that was not finished or open the next one, where network and runner can work.

    Args:
        settings: The project.
        run: See `Surroundings`; a run that is started again after it finished its cycle gets that one.
        unattended: See `open_cycle`.

    Raises:
        SettingsError: They cannot, or an unfinished cycle has other settings.
    """
    from pipeline.detector.models.backbones import require_buildable

    require_buildable(settings.detector, settings.training.frozen_stages)
    require_runner(settings.runner)
    now = datetime.now(UTC)
    return cycle_of_run(settings, run, now, unattended) if run else open_cycle(settings, now, unattended)


def run_steps(cycle: Cycle, steps: Iterable[Step], around: Surroundings, call: Call = directly) -> None:
    """Run some steps in order, with one runner for all; those that have run before do nothing."""
    with runner_of(cycle.settings.runner) as runner:
        for step in steps:
            _run_step(cycle, step, replace(around, runner=runner), call)


def _run_step(cycle: Cycle, step: Step, around: Surroundings, call: Call) -> None:
    def may_pass(fault: Exception) -> bool:
        if step.failed is None or not around.patience_s or not isinstance(fault, RemoteError):
            return False
        LOG.warning("%s failed, it is tried again for up to %g s: %s", step.name, around.patience_s, fault)
        return True

    retrying = stamina.RetryingCaller(
        attempts=None, timeout=around.patience_s or None, wait_initial=_FIRST_WAIT_S, wait_max=_LONGEST_WAIT_S
    )
    try:
        with gpu_turn(cycle.settings.training) if step.computes else nullcontext():
            retrying(may_pass, call, step, cycle, partial(step.run, cycle, around))
    except RemoteError as fault:
        if step.failed is None:
            raise
        LOG.warning("%s failed, the cycle goes on and the next one makes up for it: %s", step.name, fault)
        step.failed(cycle, str(fault))


class CycleOutcome(TypedDict):
    """What a command or a flow says of a finished cycle: its number, the path of its page, and a line."""

    cycle: int
    report: str
    summary: str


def outcome_of(finished: Cycle) -> CycleOutcome:
    """What came of a finished cycle."""
    pages = finished.read(ReportRun)
    return {"cycle": finished.number, "report": pages.page, "summary": pages.summary}


def annotators_from_environment(settings: Settings) -> LabelingBackend | None:
    """Whoever answers, with the token of the environment."""
    return labeling_backend(settings, Secrets().label_studio_api_key)
