"""The commands. Heavy libraries are imported inside them, so that help is quick."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import bench, demo, deployment, doctor, models, relocate, review, status, versions
from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsJson,
    Config,
    Overrides,
    ends,
    explained,
    level,
    output,
    progress_bars,
    settings_from,
    show_table,
)
from pipeline.cli.running import active_cycle, run_cycle, with_annotators

if TYPE_CHECKING:
    from pipeline.artefacts import PushRun

app = typer.Typer(
    name="crosscheck",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "Semi-supervised active learning for object detection.\n\n"
        "A *cycle* harvests what people answered, fine-tunes the detector, checks its boxes across images, and decides "
        "for each box whether it is written as a pseudo-label, asked about, or dropped.\n\n"
        "Try `crosscheck demo`. With your own data: write a settings file (copy one from configs/), then "
        "`crosscheck import`, then `crosscheck cycle` as often as you like."
    ),
)
app.add_typer(versions.app, name="versions")
app.add_typer(models.app, name="models")
app.add_typer(review.app, name="review")
app.add_typer(bench.app, name="bench")
app.command("demo")(demo.demo)
app.command("deploy")(deployment.deploy)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("relocate")(relocate.relocate)


@app.command("import")
@explained
def import_(config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Import images and labels that are new in the configured sources.

    What the sample table knows is left as it is, so that the command can be repeated. Bad images are quarantined and
    listed; an unknown label refuses the whole import.
    """
    from pipeline.cycle import only_one
    from pipeline.detector.models.backbones import require_buildable
    from pipeline.stages.importing import import_sources

    settings = settings_from(config, overrides)
    require_buildable(settings.detector, settings.training.frozen_stages)
    with only_one(settings), progress_bars() as progress:
        summary = import_sources(settings, datetime.now(UTC), progress)
    if not as_json and summary.issues:
        rows = [(issue.uri, issue.problem, issue.detail, issue.action) for issue in summary.issues]
        show_table("Files with problems", ["file", "problem", "detail", "action"], rows)
    counts = ", ".join(f"{count} {state}" for state, count in summary.images.items()) or "nothing new"
    output(summary, as_json, f"Dataset version {summary.version}: {counts}.", "Next: crosscheck cycle")


@app.command()
@explained
def cycle(
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    discard: Annotated[bool, typer.Option("--discard", help="Drop the unfinished cycle instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a whole cycle in this process; one that was killed goes on where it was.

    Where PREFECT_API_URL names a Prefect server, the cycle is a flow there. On a schedule, use the deployment instead:
    see the README.
    """
    if discard:
        from pipeline.stages.discard import discard_cycle

        number = discard_cycle(settings_from(config, overrides))
        output({"discarded": number}, as_json, f"Cycle {number} is discarded. Next: crosscheck cycle")
        return
    outcome = run_cycle(config, overrides)
    output(outcome, as_json, outcome["summary"], outcome["report"])


@app.command()
@explained
def finetune(config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train a candidate from the champion, evaluate it, and promote it unless it is worse on held-back images."""
    from pipeline.runners import runner_of
    from pipeline.stages.committee import train_committee
    from pipeline.stages.finetune import finetune as train
    from pipeline.stages.gate import gate

    with active_cycle(config, overrides) as (current, progress), runner_of(current.settings.runner) as runner:
        train_committee(current, progress, runner)
        training, outcome = train(current, progress), gate(current, progress, runner)
    run = training.run
    output(
        {"training": training, "gate": outcome},
        as_json,
        f"Model {training.candidate}: {run.steps} steps, {run.images_per_s:.1f} images per second.",
        f"{'Promoted' if outcome.promoted else 'Not promoted'}: {outcome.why}.",
        "Next: crosscheck mine",
    )


@app.command()
@explained
def mine(config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check the champion's boxes across images and decide the fate of each."""
    from pipeline.runners import runner_of
    from pipeline.stages.mine import mine as check
    from pipeline.stages.select import select

    with active_cycle(config, overrides) as (current, progress), runner_of(current.settings.runner) as runner:
        mining, selected = check(current, progress, runner), select(current)
    output(
        {"mining": mining, "select": selected},
        as_json,
        f"{mining.cost.proposals} proposals in {mining.images} images, {mining.cost.pastes} pastes on "
        f"{mining.cost.canvases} canvases.",
        f"Dataset version {selected.version}: {selected.pseudo_boxes} pseudo-labels and {selected.soft_boxes} soft "
        f"labels in {selected.pseudo_images} images, {selected.queued} images to ask about.",
        "Next: crosscheck push",
    )


@app.command()
@explained
def push(config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Push the images that wait for an answer to whoever labels; pushing again adds nothing."""
    from pipeline.stages.push import push_now

    with with_annotators(config, overrides) as (settings, backend, progress):
        pushed = push_now(settings, backend, progress)
    refused = [f"Refused {reason}" for reason in pushed.refused.values()]
    text = f"{pushed.created} tasks created, {pushed.existing} were there already."
    output(pushed, as_json, text, *_renewal(pushed), *refused)


def _renewal(pushed: PushRun) -> list[str]:
    """What became of open tasks; nothing where nothing did."""
    counts = (
        (pushed.updated, "renewed"),
        (pushed.unchanged, "left as they were, since their boxes hardly changed"),
        (pushed.in_hand + pushed.begun, "left alone, since somebody has begun them"),
        (pushed.withdrawn, "taken out of the queue"),
    )
    said = [f"{count} {what}" for count, what in counts if count]
    return [f"Open tasks: {'; '.join(said)}."] if said else []


@app.command()
@explained
def harvest(
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every answer again: finds deleted ones and labels renamed meanwhile.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="With --full: also take in what restoring an older version undid.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take in what people answered since the last time, as a dataset version."""
    from pipeline.errors import SettingsError
    from pipeline.labeling.feedback.intake import Intake
    from pipeline.stages.harvest import harvest_now
    from pipeline.stages.report import renew_index
    from pipeline.stages.review_harvest import harvest_reviews

    if again and not full:
        raise SettingsError("Expected --again together with --full, got it alone.")
    with with_annotators(config, overrides) as (settings, backend, progress):
        reviews = harvest_reviews(settings, backend, progress=progress)
        summary = harvest_now(Intake(settings, backend, again=again), progress, full)
        renew_index(settings)
    notes = [f"{subject}: {problem}" for each in (summary, reviews) for subject, problem in each.notes]
    looked = [f"{reviews.answered} images reviewed, {reviews.changed} changed."] if reviews.answered else []
    text = f"{summary.answered} images answered, {summary.skipped} skipped."
    output({**asdict(summary), "reviews": reviews}, as_json, text, *looked, *notes)


@app.command()
@explained
def listen(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = 8090,
    quiet_s: Annotated[
        float, typer.Option(help="Seconds from the first webhook to the harvest; more webhooks add nothing.", min=0.0)
    ] = 60.0,
) -> None:
    """Hear Label Studio's webhooks and have the deployment `harvest/hourly` run sooner than its schedule.

    Add a webhook to the project in Label Studio: the address of this service with the path /label-studio, and the
    header X-Crosscheck-Secret with the secret that LABEL_STUDIO_WEBHOOK_SECRET holds here. The schedule stays the
    truth: a webhook that is lost delays answers until the next hour, no longer.
    """
    from flows.listen import listen as serve
    from pipeline.settings import Secrets

    serve(Secrets().label_studio_webhook_secret, host, port, quiet_s)


@app.command()
@explained
def evaluate(
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    model: Annotated[str | None, typer.Option(help="Model id; the champion by default.")] = None,
    split: Annotated[str, typer.Option(help="val or test.")] = "test",
    as_json: AsJson = False,
) -> None:
    """Measure a model on a labelled split: average precision with intervals, by class and size, and its mistakes."""
    from pipeline.artefacts import ERROR_TYPES
    from pipeline.runners import runner_of
    from pipeline.selection.judging import Helpers
    from pipeline.stages.gate import evaluate_model

    settings = settings_from(config, overrides)
    with runner_of(settings.runner) as runner:
        metrics = evaluate_model(settings, model, split, Helpers(runner))
    if not as_json:
        show_table(
            "Average precision by class",
            ["class", "AP", "95 %", "AP50", "small", "medium", "large", "true boxes"],
            [
                (
                    label,
                    level(own.ap),
                    ends(own.interval),
                    *map(level, (own.ap50, own.ap_small, own.ap_medium, own.ap_large)),
                    own.boxes,
                )
                for label, own in metrics.per_class.items()
            ],
        )
        show_table(
            "Errors",
            ["type", "what it is", "AP50 lost", "boxes"],
            [(kind, ERROR_TYPES[kind], f"{cost.ap50:.3f}", cost.count) for kind, cost in metrics.errors.items()],
        )
    output(
        metrics,
        as_json,
        f"mAP {level(metrics.map)} ({ends(metrics.interval)}), AP50 {level(metrics.map50)} on {metrics.images} images.",
    )


@app.command()
@explained
def report(
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    number: Annotated[int | None, typer.Option("--cycle", help="Which cycle; the last one by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the page of a cycle and the index anew; the last line is the page's path."""
    from pipeline.cycle import last_cycle, load_cycle
    from pipeline.errors import ArtefactError
    from pipeline.stages.report import report as write

    settings = settings_from(config, overrides)
    cycle = last_cycle(settings) if number is None else load_cycle(settings.workspace, number)
    if cycle is None:
        raise ArtefactError(f"Expected a cycle in {settings.workspace}, found none. Run `crosscheck cycle` first.")
    pages = write(cycle)
    output(pages, as_json, pages.summary, pages.page)
