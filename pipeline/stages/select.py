"""The fate of every proposal, the queue for people, and the dataset version that takes both in."""

from __future__ import annotations

from functools import partial

from pipeline.artefacts import Certificates, CycleHarvest, Decision, MiningRun, SelectionRun
from pipeline.cycle import Cycle
from pipeline.labeling.feedback.audit import class_standings
from pipeline.records import counted, of_images
from pipeline.selection.calibration import CalibratedModel, calibration_set
from pipeline.selection.commit import COUNTED, Outcome, account, changed_rows
from pipeline.selection.cross_fitting import held_back_images
from pipeline.selection.deciding import Criteria, decide_pool
from pipeline.selection.fates import background_of, complete_images, pseudo_images
from pipeline.selection.judged_pool import images_mined
from pipeline.selection.planning import PLANNED_BY, plan_questions
from pipeline.selection.showing import shown_from


def select(cycle: Cycle) -> SelectionRun:
    """Decide, then commit.

    What is decided is written before it is committed, and read back when the stage runs again: the commit changes the
    very states that the decision starts from. The tables go to `selection.parquet`, `background.parquet` and
    `queue.parquet`.
    """
    cycle.once(Decision, lambda: _decide(cycle))
    return cycle.once(SelectionRun, lambda: _commit(cycle))


def _decide(cycle: Cycle) -> Decision:
    settings, model_id = cycle.settings, cycle.read(MiningRun).model_id
    held_back, certificates = held_back_images(cycle.store, settings.selection), cycle.read(Certificates)
    certificates.check(model_id, calibration_set(held_back, settings))
    model = cycle.workspace.models.folder(model_id).read_record(CalibratedModel.FILE, CalibratedModel)
    standings = class_standings(cycle, held_back)
    cycle.write(standings)
    images = images_mined(cycle, model_id)
    criteria = Criteria(model, certificates.classes, settings.selection, standings.withdrawn, images)
    decide_pool(cycle.folder, "selection.parquet", criteria)
    selection = cycle.folder.read_coded("selection.parquet", PLANNED_BY)
    shown_least = shown_from(settings.labeling.seconds, cycle.find(CycleHarvest))
    plan = plan_questions(cycle, selection, model.missed, shown_least)
    ignored = settings.training.ignore_regions
    cycle.folder.write_table("background.parquet", background_of(selection, model.missed, settings.selection, ignored))
    cycle.folder.write_table("queue.parquet", plan.queue)
    return Decision(
        waiting=len(plan.queue),
        fates=counted(selection["fate"]),
        blind_owed=plan.owed.blind,
        audit_owed=plan.owed.audit,
        shown_from=shown_least,
    )


def _commit(cycle: Cycle) -> SelectionRun:
    folder, settings, mining = cycle.folder, cycle.settings.selection, cycle.read(MiningRun)
    selection, background = folder.read_coded("selection.parquet", COUNTED), folder.read_table("background.parquet")
    queued = frozenset(folder.read_table("queue.parquet", ["image_id"])["image_id"].to_pylist())
    complete = complete_images(background, settings)
    pseudo = pseudo_images(
        selection.filter(of_images(complete)), queued, settings.max_pseudo_images, settings.soft_from
    )
    unread = {fault.image_id: fault.reason for fault in mining.faults}
    outcome = Outcome(queued, frozenset(pseudo), unread, cycle.number, cycle.opened_at)
    version = cycle.store.commit(
        changed_rows(cycle.store, outcome, partial(folder.read_table, "selection.parquet", None), settings),
        reason=f"cycle {cycle.number}: pseudo-labels and queue",
        key=f"cycle {cycle.number} {cycle.opened_at.isoformat()} select",
        cycle=cycle.number,
        model_id=mining.model_id,
        settings_digest=cycle.settings.digest(),
    )
    incomplete = set(background["image_id"].to_pylist()) - set(complete) - queued
    return account(selection, outcome, version, len(incomplete), settings)
