"""Lists and calls with each client: ``python -m tests.interop [NAME …]``, as `make interop` does.

Each runs in an environment of its own, which is made the first time. A run of all clients writes
``docs/clients.md``. A client that loses a tool or a call, and is not known to, fails the run.
"""

import logging
import sys

from tests.interop.app import CALLS, interop_app
from tests.interop.claude_code import CLAUDE_CODE, connect
from tests.interop.environments import CannotInstall, read_clients
from tests.interop.outcomes import Outcome, run_client
from tests.interop.page import write_page
from tests.support import served


def main(names: list[str]) -> bool:
    """Return whether every client that could be tried did as ``clients.toml`` says."""
    clients = [each for each in read_clients() if not names or each.name in names]
    has_claude = not names or CLAUDE_CODE.name in names
    if not clients and not has_claude:
        known = (each.name for each in (*read_clients(), CLAUDE_CODE))
        sys.exit(f"Known are: {', '.join(known)}.")
    outcomes: list[Outcome] = []
    with served(interop_app()) as url:
        for client in clients:
            try:
                client.install()
            except CannotInstall as error:
                outcome = Outcome(client, not_tried=str(error))
            else:
                outcome = run_client(client, f"{url}/mcp", CALLS)
            outcomes.append(outcome)
            sys.stdout.write(f"{client.name:20} {outcome.summary}\n")
            sys.stdout.flush()
    if not names:
        write_page(outcomes)
    is_connected = not has_claude or _try_claude_code()
    return is_connected and all(each.not_tried or each.is_expected for each in outcomes)


def _try_claude_code() -> bool:
    """Return whether it connects on standard input and output, if it could be tried."""
    try:
        CLAUDE_CODE.install()
    except CannotInstall as error:
        sys.stdout.write(f"{CLAUDE_CODE.name:20} not tried: {error}\n")
        return True
    said = connect()
    sys.stdout.write(f"{CLAUDE_CODE.name:20} {said}\n")
    return "Connected" in said


if __name__ == "__main__":
    logging.disable()  # Some calls are to fail.
    sys.exit(not main(sys.argv[1:]))
