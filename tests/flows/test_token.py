"""The token of Label Studio: where it comes from, from the environment first, from a Prefect Secret second."""

from __future__ import annotations

from prefect.blocks.system import Secret

from flows.tasks import label_studio_token
from pipeline.settings import parse_settings

LEGACY = "0123456789abcdef0123456789abcdef01234567"


def project(folder, **label_studio):
    label_studio = {"url": "http://127.0.0.1:9", "document_root": str(folder), **label_studio}
    return parse_settings(
        {
            "name": "token",
            "workspace": str(folder / "workspace"),
            "data": {"labels": ["bolt"]},
            "labeling": {"backend": "label_studio", "label_studio": label_studio},
        },
        "test",
    )


def test_the_environment_comes_first_and_a_secret_block_second(prefect, tmp_path, monkeypatch):
    settings = project(tmp_path, secret_block="token-of-this-test")
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    assert label_studio_token(settings) is None
    Secret(value=LEGACY).save("token-of-this-test")
    assert label_studio_token(settings).get_secret_value() == LEGACY
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "from-the-environment")
    assert label_studio_token(settings).get_secret_value() == "from-the-environment"
    assert LEGACY not in repr(label_studio_token(settings))
