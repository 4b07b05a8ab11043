"""The command line: `crosscheck --help`."""

import os


def main() -> None:
    """Run the command line."""
    # Read when Prefect is first imported, so they are set before anything else is.
    defaults = {
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    from pipeline.cli.app import app

    app()
