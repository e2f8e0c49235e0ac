"""The settings of the service, read from the environment and `.env` when it is created."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AnyHttpUrl,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict


def _blank_is_unset(value: object) -> object:
    return value.strip() or None if isinstance(value, str) else value


def _blank_is_default(default: str) -> Callable[[object], object]:
    return lambda value: _blank_is_unset(value) or default


Text = Annotated[str | None, BeforeValidator(_blank_is_unset)]
Url = Annotated[AnyHttpUrl | None, BeforeValidator(_blank_is_unset)]


LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda value: value.strip().upper() or "INFO"),
]


class Settings(BaseSettings):
    """Each field is the environment variable of the same name in capitals: `MCP_API_KEY`."""

    # An error says what is wrong, and not what the settings are: a key is among them.
    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    log_level: LogLevel = "INFO"
    """From which level on the service and its MCP endpoint log."""

    mcp_server_url: Url = None
    """Another MCP server, whose tools are offered as well, and used by `chat`."""

    mcp_api_key: SecretStr | None = None
    """The key that callers may present; unset or blank, there is none."""

    auth_issuer: Text = None
    """Whose access tokens (JWT) are accepted, as their `iss` says; `identity` has an example."""

    auth_audience: Text = None
    """What the tokens' `aud` must name."""

    auth_jwks_url: Url = None
    """Where the issuer's public keys are."""

    public_url: Url = None
    """Where clients reach the service, such as `https://kb.example.com`."""

    kb_database: Path | None = None
    """The SQLite file; unset, a file in the user's state directory."""

    openai_api_key: Annotated[SecretStr | None, BeforeValidator(_blank_is_unset)] = None
    """The key of the model that answers questions; unset, they are answered without one."""

    openai_base_url: Url = None
    """Another server than OpenAI's with the same API: `http://localhost:11434/v1`."""

    openai_model: Annotated[str, BeforeValidator(_blank_is_default("gpt-5.4-mini"))] = (
        "gpt-5.4-mini"
    )
    """Which model answers."""

    chat_max_rounds: Annotated[int, Field(ge=1)] = 8
    """How often the model is asked for one answer, each time with what its tools said."""

    chat_max_tokens: Annotated[int, Field(ge=1)] = 8_000
    """Tokens that the model may write for one answer, in all rounds together."""

    chat_timeout: Annotated[float, Field(gt=0)] = 50.0
    """Seconds that the model may take for one answer; a call of `chat` over MCP ends at 60."""

    chat_fallback: bool = False
    """Whether a question that the model cannot answer is answered without it."""

    chat_read_only: bool = False
    """Whether a model that answers only reads, also where who asks may write."""

    chat_pace: Annotated[float, Field(ge=0)] = 0.03
    """Seconds between two words of an answer that no model gives."""

    max_attachment_bytes: Annotated[int, Field(gt=0)] = 5 * 1024 * 1024
    """The largest attachment that can be uploaded."""

    changes_poll: Annotated[float, Field(gt=0)] = 1.0
    """Seconds after which a watcher looks for changes made by other processes."""

    @property
    def mcp_url(self) -> str | None:
        """The endpoint's URL as clients have it: `https://kb.example.com/mcp`."""
        return f"{str(self.public_url).rstrip('/')}/mcp" if self.public_url else None

    @model_validator(mode="after")
    def _tokens_are_whole(self) -> Self:
        values = {
            "AUTH_ISSUER": self.auth_issuer,
            "AUTH_AUDIENCE": self.auth_audience,
            "AUTH_JWKS_URL": self.auth_jwks_url,
        }
        missing = [name for name, value in values.items() if value is None]
        if missing and len(missing) < len(values):
            raise ValueError(
                f"{', '.join(missing)} missing. To accept access tokens, set AUTH_ISSUER,"
                " AUTH_AUDIENCE and AUTH_JWKS_URL; to accept none, set none of them."
            )
        return self

    @field_validator("openai_api_key")
    @classmethod
    def _fits_into_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key and not re.fullmatch(r"[!-~]+", key.get_secret_value()):
            raise ValueError("OPENAI_API_KEY has blanks or characters that no key has.")
        return key

    @property
    def api_key(self) -> bytes | None:
        """The key as it arrives in a header, or `None` where there is none."""
        key = self.mcp_api_key.get_secret_value().strip() if self.mcp_api_key else ""
        return key.encode() or None


class FileSettings(Settings):
    """The same; what the environment leaves open is read from `.env` in the folder of the start."""

    # Editors of Windows write a mark before the text.
    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8-sig", extra="ignore"
    )
