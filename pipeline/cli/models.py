"""`crosscheck models`: what was trained, and which one is in use."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.body_search import search
from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsJson,
    Config,
    Overrides,
    absolute_place,
    explained,
    level,
    output,
    progress_bars,
    settings_from,
    show_table,
)

ModelId = Annotated[str, typer.Argument(help="Model id, see `crosscheck models list`.")]
OptionalModel = Annotated[str | None, typer.Argument(help="Model id; the champion by default.")]


class ExportForm(StrEnum):
    """What `crosscheck models export` writes."""

    ONNX = "onnx"
    INT8 = "int8"


app = typer.Typer()
app.command()(search)


@app.callback(invoke_without_command=True)
@explained
def models(
    context: typer.Context,
    bench: Annotated[bool, typer.Option("--bench", help="Measure every method that a setting selects.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="A method or kind, as often as needed. Default: all.", show_default=False)
    ] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(help="A method or kind to train as well, as often as needed.", show_default=False),
    ] = None,
    converge: Annotated[
        list[str] | None,
        typer.Option(
            help="A method or kind to train until held-back images end it, as often as needed.", show_default=False
        ),
    ] = None,
    from_scratch: Annotated[
        list[str] | None,
        typer.Option(help="A method or kind to train from random weights, as often as needed.", show_default=False),
    ] = None,
    config: Annotated[Path, typer.Option(help="A simulated project.")] = Path("configs/bccd.yaml"),
    overrides: Overrides = None,
    labelled: Annotated[int, typer.Option(help="Images that start labelled.", min=1)] = 48,
    seeds: Annotated[
        list[int] | None, typer.Option("--seed", help="Of the training, as often as needed.", show_default="0")
    ] = None,
    root: Annotated[Path, typer.Option(help="Where finished measurements lie; nothing is done twice.")] = Path(
        "runs/bench"
    ),
    out: Annotated[Path, typer.Option(help="The figures.")] = Path("docs/benchmarks/catalogue.json"),
    page: Annotated[Path, typer.Option(help="The page made from them.")] = Path("docs/catalogue.md"),
    as_json: AsJson = False,
) -> None:
    """List models, show one, make one the champion, go back to the one before, or fit one to another domain.

    With `--bench`, measure what the methods of docs/catalogue.md cost: parameters, multiply-adds and latency, and with
    `--train` and `--from-scratch` mAP after a short training (with `--set training.steps=300 --set
    training.plateau.enabled=false`), with `--converge` after a whole one. A killed run goes on where it was.
    """
    if context.invoked_subcommand is not None:
        return
    if not bench:
        typer.echo(context.get_help())
        return
    from pipeline.bench.catalogue import MAPS, bench_catalogue, chosen_entries
    from pipeline.bench.catalogue_files import write_catalogue
    from pipeline.bench.scenario import Scenario

    starts = [Scenario(config, labelled, seed, root, tuple(overrides or ())) for seed in sorted(set(seeds or [0]))]
    trained = chosen_entries(train) if train else []
    trained += [entry.converged for entry in chosen_entries(converge)] if converge else []
    trained += [entry.from_scratch for entry in chosen_entries(from_scratch)] if from_scratch else []
    with progress_bars() as progress:
        rows = bench_catalogue(chosen_entries(only or []), trained, starts, progress)
    write_catalogue(rows, out, page)
    if not as_json:
        show_table(
            "Catalogue",
            ["kind", "method", "parameters", "multiply-adds", "ms", "mAP", "converged", "from scratch"],
            [
                (
                    r.kind,
                    r.name,
                    r.parameters,
                    r.multiply_adds,
                    r.latency_ms,
                    *(level(getattr(r, name)) for name in MAPS),
                )
                for r in rows
            ],
        )
    output(rows, as_json, f"Figures: {out}. Page: {page}.")


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
    from pipeline.stages.report import renew_index
    from pipeline.workspace import Workspace

    settings = settings_from(config, overrides)
    with only_one(settings):
        make_champion(Workspace(settings.workspace).models, model)
        renew_index(settings)
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
def detect(
    images: Annotated[list[str], typer.Argument(help="Image files.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Model id; several are a committee. Default: the champion.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    tile_px: Annotated[int, typer.Option(help="Side of a tile, in pixels of the image.", min=64)] = 1024,
    overlap: Annotated[float, typer.Option(help="Share of a tile that the next one shows too.", min=0, max=0.9)] = 0.2,
    share: Annotated[
        float, typer.Option(help="Share of the tiles that is looked at, where most is to be seen.", min=0.01, max=1)
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Detect in image files of any size: as a whole, and in tiles that overlap.

    With `--share` below 1 the image as a whole decides which tiles are looked at. Of several models, boxes that they
    agree on are fused (weighted boxes fusion).
    """
    from pipeline.detector.inference.tiling import Tiling
    from pipeline.stages.detect import detect_files

    settings = settings_from(config, overrides)
    with progress_bars() as progress:
        found = detect_files(settings, model or [], images, Tiling(tile_px, overlap, share), progress)
    if not as_json:
        rows = [
            (each.uri, f"{each.width} x {each.height}", each.looked_at, each.tiles, len(each.boxes)) for each in found
        ]
        show_table("Found", ["image", "size", "tiles looked at", "tiles", "boxes"], rows)
    output(found, as_json, "`--json` prints the boxes.")


@app.command()
@explained
def export(
    model: OptionalModel = None,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    form: Annotated[
        list[ExportForm] | None, typer.Option("--format", help="As often as needed. Default: both.", show_default=False)
    ] = None,
    pruned: Annotated[
        float, typer.Option("--prune", help="Share of the channels inside blocks that is taken out.", min=0, max=0.9)
    ] = 0.0,
    groups: Annotated[
        int, typer.Option(help="Groups of pointwise convolutions, see training.groupable; 1: dense.", min=1)
    ] = 1,
    most_dropped: Annotated[
        float,
        typer.Option(help="Share of a layer's squared norm that may lie outside; else it stays dense.", min=0, max=1),
    ] = 0.1,
    out: Annotated[str, typer.Option(help="Folder or URI that gets a folder for the model.")] = "exports",
    as_json: AsJson = False,
) -> None:
    """Write a model as ONNX, in float32 or int8, and compare size, latency on this processor, and mAP on val.

    The file holds backbone, pyramid and, of a one-stage detector, the head; int8 takes its ranges from labelled images.
    """
    from pipeline.stages.export_model import Compression, export_model

    engines = form or list(ExportForm)
    names = ["onnx_int8" if one is ExportForm.INT8 else "onnx" for one in engines]
    settings, folder = settings_from(config, overrides), absolute_place(out)
    compression = Compression(pruned, groups, most_dropped)
    done = export_model(settings, model, names, compression, folder)  # type: ignore[arg-type]
    if not as_json:
        rows = [(one.form, one.megabytes, one.latency_ms, one.latency_ratio, level(one.map)) for one in done.forms]
        show_table(f"Model {done.model}", ["form", "MB", "ms per image", "of the whole model's", "mAP on val"], rows)
    output(
        done,
        as_json,
        f"{done.folder}; {done.pruned_channels} channels were taken out, {done.grouped_layers} layers grouped.",
    )


@app.command()
@explained
def rollback(config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Go back to the champion before this one; repeat it to go back further.

    Images that the withdrawn model labelled go back to the pool, as a new dataset version. Its certificates are void:
    the next cycle mines, calibrates and certifies with the champion that is in use again.
    """
    from pipeline.cycle import only_one
    from pipeline.stages.report import renew_index
    from pipeline.stages.rollback import rollback as go_back

    settings = settings_from(config, overrides)
    done = go_back(settings)
    with only_one(settings):
        renew_index(settings)
    output(
        done,
        as_json,
        f"{done.champion} is the champion again, {done.withdrawn} is withdrawn.",
        f"{done.images} images that it labelled are back in the pool (dataset version {done.version}).",
    )
