"""The settings of the service, read from the environment when the application is created."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is the environment variable of the same name in capitals: `MCP_API_KEY`."""

    model_config = SettingsConfigDict(frozen=True)

    mcp_api_key: SecretStr | None = None
    """The key that callers must present; unset or blank, the service is open."""

    kb_database: Path | None = None
    """The SQLite file; unset, a file in the user's state directory."""

    chat_pace: Annotated[float, Field(ge=0)] = 0.03
    """Seconds between two words of a chat answer."""

    max_attachment_bytes: Annotated[int, Field(gt=0)] = 5 * 1024 * 1024
    """The largest attachment that can be uploaded."""

    changes_poll: Annotated[float, Field(gt=0)] = 1.0
    """Seconds after which a watcher looks for changes made by other processes."""

    @property
    def api_key(self) -> bytes | None:
        """The key as it arrives in a header, or `None` where the service is open."""
        key = self.mcp_api_key.get_secret_value().strip() if self.mcp_api_key else ""
        return key.encode() or None
