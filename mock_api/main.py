"""The application that a server runs: `uvicorn mock_api.main:app`."""

import gc
import logging

from pydantic import ValidationError

from mock_api.app import create_app
from mock_api.settings import FileSettings, Settings

__all__ = ["app"]


def _read_settings() -> Settings:
    try:
        return FileSettings()
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()
        ]
        # For whoever starts the service; a traceback would hide it.
        raise SystemExit("\n".join(["The settings are wrong.", *wrong])) from None


def _log_to_stderr(level: str) -> None:
    """Show the log of the service and of its MCP endpoint where nobody set logging up before."""
    for name in ("mock_api", "mcp_mount"):
        log = logging.getLogger(name)
        log.setLevel(level)
        if not log.hasHandlers():
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(levelname)-9s %(name)s: %(message)s"))
            log.addHandler(handler)


_settings = _read_settings()
_log_to_stderr(_settings.log_level)
app = create_app(_settings)
# What lives as long as the process is not looked at by each collection of garbage, which stops it.
gc.collect()
gc.freeze()
