"""`crosscheck review`: labels that are perhaps wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import (
    DEFAULT_CONFIG,
    AsCsv,
    AsJson,
    Config,
    Overrides,
    explained,
    output,
    settings_from,
    show_csv,
    show_table,
)
from pipeline.cli.running import with_annotators

if TYPE_CHECKING:
    from pandas import DataFrame

    from pipeline.selection.review_queue import ReviewQueue
    from pipeline.settings import Settings

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
    from pipeline.stages.review import labels_to_review

    settings = settings_from(config, overrides)
    found = labels_to_review(settings)
    rows = _frame(settings, found.first(images))
    if as_csv:
        show_csv(rows)
    elif as_json:
        output({"images": found.images.num_rows, "first": rows.to_dict("records")}, True)
    else:
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


def _frame(settings: Settings, queue: ReviewQueue) -> DataFrame:
    """One row per image, with its file and the reason."""
    from collections import defaultdict

    from pipeline.dataset.store import SampleStore
    from pipeline.selection.review_tasks import reason_of_review
    from pipeline.workspace import Workspace

    store = SampleStore(Workspace(settings.workspace).samples_uri)
    columns = ["image_id", "uri", "width", "height"]
    files = store.rows_of(queue.images["image_id"].to_pylist(), columns=columns).to_pandas().set_index("image_id")
    of_image = defaultdict(list)
    for row in queue.suspects.to_pylist():
        of_image[row["image_id"]].append(row)
    rows: DataFrame = queue.images.to_pandas().join(files, on="image_id")
    sizes = zip(rows["image_id"], rows["width"], rows["height"], strict=True)
    rows["reason"] = [reason_of_review(of_image[name], (int(wide), int(high))) for name, wide, high in sizes]
    wanted: DataFrame = rows[["image_id", "uri", "reason", "boxes", "expected", "p_any", "seconds", "gain"]]
    return wanted
