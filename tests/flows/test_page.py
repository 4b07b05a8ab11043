"""A run's page while its server is away."""

from __future__ import annotations

import time

import httpx
import pytest

from flows.page import SECONDS_OF_SILENCE, Page


def refused():
    raise httpx.ConnectError("Connection refused")


def test_what_is_shown_is_returned():
    assert Page().show(lambda: 7) == 7


def test_a_server_that_is_away_is_not_asked_again_for_a_while(monkeypatch, caplog):
    page, now = Page(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert page.show(refused) is None
    assert "The Prefect server does not answer (Connection refused); the run goes on" in caplog.text
    assert page.show(lambda: pytest.fail("asked")) is None
    now += SECONDS_OF_SILENCE
    assert page.show(lambda: "here again") == "here again"


def test_another_fault_ends_the_run():
    with pytest.raises(ZeroDivisionError):
        Page().show(lambda: 1 / 0)
