"""`crosscheck versions`: the history of the dataset."""

import typer

from pipeline.cli.versions import changes, files, history

app = typer.Typer(
    no_args_is_help=True, help="List, show, tag, compare, explain, verify, export and restore dataset versions."
)
app.command("list")(history.list_)
app.command()(history.show)
app.command()(history.diff)
app.command()(history.blame)
app.command()(files.export)
app.command()(changes.restore)
app.command()(changes.tag)
app.command()(files.verify)
app.command()(changes.vacuum)
