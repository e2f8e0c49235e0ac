"""Where the service is, to say it at the start: the server knows, and does not tell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn


def base_url(command: Sequence[str]) -> str | None:
    """Return where uvicorn serves when it is started so: `["uvicorn", …, "--port", "9000"]`.

    None where it is another server, or a port that only the system knows.
    """
    program = Path(command[0])
    if "uvicorn" not in {program.stem, program.parent.name}:
        return None
    # Its own reading, which knows its variables of the environment too.
    options: dict[str, Any] = uvicorn.main.make_context(
        "uvicorn", [*command[1:]], resilient_parsing=True
    ).params
    host, port = options["host"], options["port"]
    if not host or not port or options["uds"] or options["fd"] is not None:
        return None
    scheme = "https" if options["ssl_certfile"] else "http"
    if host in {"0.0.0.0", "::", "127.0.0.1"}:  # noqa: S104 - read, and nothing is bound
        host = "localhost"
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{port}{options['root_path']}"
