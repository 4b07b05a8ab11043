"""Secrets: from the environment alone, never in a settings file, never printed."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Secrets(BaseSettings):
    """Tokens as the environment gives them.

    Attributes:
        label_studio_api_key: Personal access token or legacy token (`LABEL_STUDIO_API_KEY`).
        label_studio_webhook_secret: What webhooks of Label Studio must bring along (`LABEL_STUDIO_WEBHOOK_SECRET`).
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    label_studio_api_key: SecretStr | None = None
    label_studio_webhook_secret: SecretStr | None = None
