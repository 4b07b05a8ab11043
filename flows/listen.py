"""A small service that hears Label Studio's webhooks and has answers harvested sooner.

A webhook is a hint and no more: what it says is not read, and what it does not say is found by the schedule.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header, Response, status
from fastapi.responses import PlainTextResponse
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL
from pydantic import SecretStr

from pipeline.errors import SettingsError

LOG = logging.getLogger("uvicorn.error")
EVENT = "crosscheck.answers.changed"
RESOURCE = {"prefect.resource.id": "crosscheck.label-studio", "prefect.resource.name": "Label Studio"}
HEADER = "X-Crosscheck-Secret"
PATH = "/label-studio"
LEAST_SECRET = 16


def listen(secret: SecretStr | None, host: str, port: int, quiet_s: float) -> None:
    """Serve until the process is stopped.

    Args:
        secret: What every webhook must bring along.
        host: Address to listen at.
        port: Port to listen at.
        quiet_s: From the first webhook it takes so long until the event is sent; others meanwhile add nothing.

    Raises:
        SettingsError: There is no secret, it is short, or no Prefect server is named.
    """
    if secret is None or len(secret.get_secret_value()) < LEAST_SECRET:
        raise SettingsError(
            f"Expected a secret of at least {LEAST_SECRET} characters in LABEL_STUDIO_WEBHOOK_SECRET, found "
            f"{'none' if secret is None else 'a shorter one'}. Make one with `openssl rand -hex 24`, and give it to "
            f"the webhook in Label Studio as the header {HEADER}."
        )
    if not PREFECT_API_URL.value():
        raise SettingsError("Expected the Prefect server that starts harvests in PREFECT_API_URL, found none.")
    uvicorn.run(receiver(secret, quiet_s, tell_prefect), host=host, port=port, log_level="info")


def tell_prefect() -> None:
    """Emit the event that starts a harvest, see `prefect.yaml`, and wait until it is sent."""
    emit_event(EVENT, RESOURCE)
    EventsWorker.instance().wait_until_empty()


def receiver(secret: SecretStr, quiet_s: float, tell: Callable[[], None]) -> FastAPI:
    """Build the service.

    Args:
        secret: What every webhook must bring along.
        quiet_s: From the first webhook to the call.
        tell: Called once for all webhooks of that time.

    Returns:
        An application that answers at `/label-studio` and `/health`.
    """
    expected = secret.get_secret_value().encode()
    heard = asyncio.Event()

    async def pass_on() -> None:
        while True:
            await heard.wait()
            await asyncio.sleep(quiet_s)
            heard.clear()
            try:
                await asyncio.to_thread(tell)
            except Exception:  # the schedule harvests whatever a hint failed to
                LOG.exception("Prefect could not be reached; the schedule harvests the answers")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        passing = asyncio.create_task(pass_on())
        yield
        passing.cancel()
        with suppress(asyncio.CancelledError):
            await passing

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    refused: dict[int | str, dict[str, Any]] = {401: {"content": {"text/plain": {}}}}

    @app.post(PATH, status_code=status.HTTP_202_ACCEPTED, response_class=Response, responses=refused)
    async def webhook(secret: Annotated[str, Header(alias=HEADER)] = "") -> Response:
        if not hmac.compare_digest(secret.encode(), expected):
            refusal = f"expected the shared secret in the header {HEADER}\n"
            return PlainTextResponse(refusal, status.HTTP_401_UNAUTHORIZED)
        heard.set()
        return Response(status_code=status.HTTP_202_ACCEPTED)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app
