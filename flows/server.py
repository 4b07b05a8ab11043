"""Whether a Prefect server was named, in the environment or in Prefect's profile."""

from __future__ import annotations

from prefect.settings import PREFECT_API_URL


def server_url() -> str:
    """Address of the API of the server that was named; empty for none."""
    return str(PREFECT_API_URL.value() or "")


def has_server() -> bool:
    """Tell whether flows have a server to report to; without one Prefect would start a temporary one."""
    return bool(server_url())
