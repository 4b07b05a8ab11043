from __future__ import annotations

import traceback

import pytest
from pydantic import ValidationError

from pipeline.errors import SettingsError
from pipeline.settings import Secrets, parse_settings

TOKEN = "0123456789abcdef-secret"


@pytest.mark.parametrize(("environment", "expected"), [(None, None), ("", None), (TOKEN, TOKEN)])
def test_the_token_comes_from_the_environment(monkeypatch, environment, expected):
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    if environment is not None:
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", environment)
    key = Secrets().label_studio_api_key
    assert (key and key.get_secret_value()) == expected


@pytest.mark.parametrize("show", [repr, str, lambda s: s.model_dump_json(), lambda s: repr(s.model_dump())])
def test_the_token_is_never_printed(monkeypatch, show):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    monkeypatch.setenv("LABEL_STUDIO_WEBHOOK_SECRET", TOKEN)
    assert TOKEN not in show(Secrets())
    assert "***" in show(Secrets())


def test_the_token_cannot_be_changed(monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    with pytest.raises(ValidationError, match="frozen") as fault:
        Secrets().label_studio_api_key = "other"
    assert TOKEN not in str(fault.value)


def test_a_token_in_a_settings_file_is_refused_without_printing_it():
    values = {
        "name": "parts",
        "workspace": "space",
        "data": {"labels": ["bolt"]},
        "labeling": {"label_studio": {"api_key": TOKEN, "image_access": "url"}},
    }
    with pytest.raises(SettingsError, match=r"labeling\.label_studio\.api_key: unknown key") as fault:
        parse_settings(values, "parts.yaml")
    assert TOKEN not in str(fault.value)
    assert TOKEN not in "".join(traceback.format_exception(fault.value))
