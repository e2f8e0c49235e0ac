"""The application that a server runs: `uvicorn mock_api.main:app`."""

import logging

from mock_api.app import create_app

__all__ = ["app"]


def _log_to_stderr() -> None:
    """Show the service's own log where nobody set logging up before."""
    log = logging.getLogger("mock_api")
    if log.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)-9s %(name)s: %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)


_log_to_stderr()
app = create_app()
