"""`crosscheck review`: labels that are perhaps wrong."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsCsv,
    AsJson,
    Config,
    Overrides,
    explained,
    for_programs,
    output,
    settings_from,
    show_table,
)
from pipeline.cli.running import with_annotators

Images = Annotated[int, typer.Option(help="At most so many images.", min=1)]

app = typer.Typer(
    no_args_is_help=True,
    help="Find labels that are perhaps wrong, and have people look at them again; `crosscheck harvest` takes in what "
    "they say.",
)


@app.command("list")
@explained
def list_(
    images: Images = 20,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List images whose labels are perhaps wrong, those with most to mend per second of a person first."""
    from pipeline.dataset.store import SampleStore
    from pipeline.report.frames import reviews
    from pipeline.stages.review import labels_to_review
    from pipeline.workspace import Workspace

    settings = settings_from(config, overrides)
    found = labels_to_review(settings)
    rows = reviews(found.first(images), SampleStore(Workspace(settings.workspace).samples_uri))
    values = {"images": found.images.num_rows, "first": rows.to_dict("records")}
    if not for_programs(values, lambda: rows, as_json, as_csv):
        show_table(
            f"Labels to review: {len(rows)} of {found.images.num_rows} images",
            ["file", "why", "boxes", "expected to be mended", "p(anything wrong)", "seconds"],
            [
                (row.uri, row.reason, row.boxes, f"{row.expected:.2f}", f"{row.p_any:.2f}", f"{row.seconds:.0f}")
                for row in rows.itertuples()
            ],
        )


@app.command()
@explained
def push(
    images: Images = 20, config: Config = DEFAULT_CONFIG, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Send the first images of the list to people; pushing again adds nothing.

    They come as tasks of their own kind, in Label Studio in a project of their own, with the reason on them.
    """
    from pipeline.stages.review import push_reviews

    with with_annotators(config, overrides) as (settings, backend, progress):
        pushed = push_reviews(settings, backend, images, progress)
    refused = [f"Refused {reason}" for reason in pushed.refused.values()]
    text = f"{pushed.created} images sent to review, {pushed.existing} were there already."
    output(pushed, as_json, text, *refused, "Next, when people have answered: crosscheck harvest")
