"""`crosscheck models`: what was trained, and which one is in use."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsJson,
    Config,
    Overrides,
    explained,
    level,
    output,
    settings_from,
    show_table,
)

ModelId = Annotated[str, typer.Argument(help="Model id, see `crosscheck models list`.")]
OptionalModel = Annotated[str | None, typer.Argument(help="Model id; the champion by default.")]

app = typer.Typer(
    no_args_is_help=True,
    help="List models, show one, make one the champion, go back to the one before, or fit one to another domain.",
)


@app.command("list")
@explained
def list_(config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """List every model with its origin and average precision; the champion is marked."""
    from pipeline.detector.models.champion import champion_of
    from pipeline.detector.models.registry import list_models
    from pipeline.workspace import Workspace

    workspace = Workspace(settings_from(config, overrides).workspace)
    champion, cards = champion_of(workspace), list_models(workspace.models)
    if as_json:
        output({"champion": champion, "models": cards}, True)
        return
    rows = [
        (
            f"{name} *" if name == champion else name,
            card.cycle,
            card.dataset_version,
            card.parent_id,
            *(level(card.metrics[split].map) if split in card.metrics else None for split in ("val", "test")),
        )
        for name, card in sorted(cards.items(), key=lambda item: item[1].cycle)
    ]
    show_table("Models (* champion)", ["model", "cycle", "version", "parent", "val mAP", "test mAP"], rows)


@app.command()
@explained
def show(model: ModelId, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Show everything that is known of a model, as JSON."""
    from pipeline.detector.models.registry import load_card
    from pipeline.workspace import Workspace

    output(load_card(Workspace(settings_from(config, overrides).workspace).models, model), True)


@app.command()
@explained
def promote(model: ModelId, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Make a model the champion: the next cycle mines with it and fine-tunes from it."""
    from pipeline.cycle import only_one
    from pipeline.detector.models.registry import promote as make_champion
    from pipeline.workspace import Workspace

    settings = settings_from(config, overrides)
    with only_one(settings):
        make_champion(Workspace(settings.workspace).models, model)
    output({"champion": model}, False, f"{model} is the champion.")


@app.command()
@explained
def adapt(
    model: OptionalModel = None,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    images: Annotated[int, typer.Option(help="Most images of the pool, and most labelled ones.", min=1)] = 500,
    as_json: AsJson = False,
) -> None:
    """Estimate the statistics of a model's backbone anew on the pool, and save the outcome as a model.

    For a pool that looks otherwise than the labelled images: another camera, light or season. Nothing is learnt, and
    nothing is promoted; compare both with `crosscheck evaluate` on labelled images of the pool's kind.
    """
    from pipeline.cycle import only_one
    from pipeline.stages.adapt import adapt as fit_statistics

    settings = settings_from(config, overrides)
    with only_one(settings):
        done = fit_statistics(settings, model, images)
    output(
        done,
        as_json,
        f"Model {done.model}: {done.layers} layers of {done.parent} fitted to {done.images} images of the pool.",
        f"mAP on val {level(done.map_before)} before, {level(done.map_after)} after.",
    )


@app.command()
@explained
def rollback(config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Go back to the champion before this one; repeat it to go back further.

    Images that the withdrawn model labelled go back to the pool, as a new dataset version. Its certificates are void:
    the next cycle mines, calibrates and certifies with the champion that is in use again.
    """
    from pipeline.stages.rollback import rollback as go_back

    done = go_back(settings_from(config, overrides))
    output(
        done,
        as_json,
        f"{done.champion} is the champion again, {done.withdrawn} is withdrawn.",
        f"{done.images} images that it labelled are back in the pool (dataset version {done.version}).",
    )
