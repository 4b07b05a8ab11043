"""The command line: `crosscheck --help`."""

import os


def main() -> None:
    """Run the command line."""
    # Read when Prefect is first imported, so they are set before anything else is.
    defaults = {
        "PREFECT_LOGGING_LEVEL": "WARNING",
        # A failed run is one line here; Prefect would print its traceback before that.
        "PREFECT_LOGGING_LOGGERS_PREFECT_FLOW_RUNS_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    from pipeline.cli.app import app

    app()
