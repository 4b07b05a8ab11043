"""`crosscheck versions`: the history of the dataset."""

import typer

from pipeline.cli.versions import changes, files, history, merge

app = typer.Typer(
    no_args_is_help=True, help="List, show, tag, compare, explain, verify, export, merge and restore dataset versions."
)
app.command("list")(history.list_)
app.command()(history.show)
app.command()(history.diff)
app.command()(history.blame)
app.command()(files.export)
app.command()(merge.merge)
app.command()(changes.restore)
app.command()(changes.tag)
app.command()(files.verify)
app.command()(changes.vacuum)
