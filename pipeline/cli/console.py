"""What the commands share: options, output for people and for programs, progress bars, errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from pipeline.errors import PipelineError
from pipeline.settings import Settings, load_settings
from pipeline.storage_faults import storage_fault
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pandas import DataFrame

OUT, ERR = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)

ANY_WIDTH = 10_000
INTERRUPTED = 130
DEFAULT_CONFIG = Path("configs/demo.yaml")
Config = Annotated[
    Path, typer.Option("--config", "-c", help="Settings file; see configs/ for examples.", show_default=True)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", help="Overrides one setting: section.key=value, as often as needed.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print a table for spreadsheets instead of text.")]

P = ParamSpec("P")
R = TypeVar("R")


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Turn faults that are expected into one message and exit code 1, no stack trace; Ctrl-C gives exit code 130."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (PipelineError, ValueError) as fault:
            ERR.print(f"[bold red]error:[/] {escape(str(fault))}")
            raise typer.Exit(1) from fault
        except OSError as fault:
            ERR.print(f"[bold red]error:[/] {escape(storage_fault(fault))}")
            raise typer.Exit(1) from fault
        except KeyboardInterrupt as fault:
            ERR.print("interrupted: what is finished is kept, the same command goes on from there.")
            raise typer.Exit(INTERRUPTED) from fault

    return run


def settings_from(config: Path, overrides: list[str] | None) -> Settings:
    """Load settings as the options give them, of a workspace that no newer release has written to."""
    from pipeline.cycle import require_known_format

    settings = load_settings(config, overrides or [])
    require_known_format(Workspace(settings.workspace))
    return settings


def absolute_place(text: str) -> str:
    """A folder or file that was named on the command line: an absolute path, or a URI."""
    return text.rstrip("/") if "://" in text else str(Path(text).expanduser().absolute())


def number(value: Any) -> str:
    """A measure with three decimals, an interval with signs, a dash where nothing was measured."""
    if isinstance(value, (list, tuple)):
        return f"[{value[0]:+.3f}, {value[1]:+.3f}]"
    return "–" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def level(value: float | None) -> str:
    """A share with three decimals, a dash where nothing was measured."""
    return "–" if value is None else f"{value:.3f}"


def ends(interval: tuple[float, float] | None) -> str:
    """`0.380 to 0.444`, a dash where there is no interval."""
    return "–" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def output(values: Any, as_json: bool, *lines: str) -> None:
    """Print an outcome.

    Args:
        values: For programs; records, or plain values that may hold some.
        as_json: Whether a program reads.
        lines: For people.
    """
    if as_json:
        plain = TypeAdapter(Any).dump_python(values, mode="json", serialize_as_any=True)
        OUT.print_json(json.dumps(plain))
        return
    for line in lines:
        OUT.print(line, markup=False)


def for_programs(values: Any, table: Callable[[], DataFrame], as_json: bool, as_csv: bool) -> bool:
    """Print an outcome where a program reads it.

    Args:
        values: For JSON; records, or plain values that may hold some.
        table: Gives the rows for CSV.
        as_json: Whether JSON is wanted.
        as_csv: Whether CSV is, which goes first.

    Returns:
        Whether a program reads; else it is for the caller to print something for people.
    """
    if as_csv:
        OUT.print(table().to_csv(index=False), markup=False, end="")
    elif as_json:
        output(values, True)
    return as_csv or as_json


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table for people; where no terminal is, for instance in a pipe, a row stays one line."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    if not OUT.is_terminal:
        table.width = Measurement.get(OUT, OUT.options.update(max_width=ANY_WIDTH), table).maximum
    OUT.print(table)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on standard error for each thing a stage does.

    Yields:
        The callback that stages report their progress to.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERR) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, total: int) -> None:
            task = tasks.get(what)
            if task is None or bars.tasks[task].finished:
                task = tasks[what] = bars.add_task(what)
            bars.update(task, completed=done, total=total)

        yield progress
