"""Whether a Prefect server was named, in the environment or in Prefect's profile."""

from __future__ import annotations

from prefect.settings import PREFECT_API_URL


def has_server() -> bool:
    """Tell whether flows have a server to report to; without one Prefect would start a temporary one."""
    return bool(PREFECT_API_URL.value())
