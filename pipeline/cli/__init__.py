"""The command line: `crosscheck --help`."""

import os


def main() -> None:
    """Run the command line."""
    # Read when torch and Prefect are first imported, so they are set before anything else is.
    defaults = {
        "OMP_WAIT_POLICY": "PASSIVE",  # idle threads that spin starve the other processes of a small machine
        "GOMP_SPINCOUNT": "0",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    from pipeline.cli.app import app

    app()
