"""What `crosscheck doctor` says of a real Label Studio server."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from pipeline.cli.checkup import label_studio

pytestmark = pytest.mark.label_studio


@pytest.mark.parametrize(
    ("token", "state", "remedy"),
    [("good", "ok", ""), ("f" * 40, "error", "Make a new one"), (None, "error", "Set LABEL_STUDIO_API_KEY")],
)
def test_a_token_is_tried(desk, token, state, remedy):
    given = desk.server.api_key if token == "good" else token
    found = {each.subject: each for each in label_studio(desk.settings(), SecretStr(given) if given else None)}
    assert found["label studio"].state == "ok"
    assert found["token"].state == state
    assert remedy in found["token"].remedy
    assert "clock" not in found, "it is the same clock"


def test_a_server_that_is_down_is_named(desk):
    (down, _) = label_studio(desk.settings(url="http://127.0.0.1:9"), None)
    assert down.state == "error"
    assert "127.0.0.1:9" in down.found
