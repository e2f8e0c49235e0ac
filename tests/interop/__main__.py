"""Lists and calls with each client: ``python -m tests.interop [NAME …]``, as `make interop` does.

Each runs in an environment of its own, which is made the first time. A run of all clients writes
``docs/clients.md``. A client that loses a tool or a call, and is not known to, fails the run.
"""

import logging
import sys

from tests.interop.app import CALLS, interop_app
from tests.interop.environments import CannotInstall, read_clients
from tests.interop.outcomes import Outcome, run_client
from tests.interop.page import write_page
from tests.support import served


def main(names: list[str]) -> bool:
    """Return whether every client that could be tried did as ``clients.toml`` says."""
    clients = [each for each in read_clients() if not names or each.name in names]
    if not clients:
        sys.exit(f"Known are: {', '.join(each.name for each in read_clients())}.")
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
    return all(outcome.not_tried or outcome.is_expected for outcome in outcomes)


if __name__ == "__main__":
    logging.disable()  # Some calls are to fail.
    sys.exit(not main(sys.argv[1:]))
