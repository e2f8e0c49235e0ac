"""Tries clients, servers and APIs of others: ``python -m tests.interop [NAME …]``.

`make interop` does so. Each runs in an environment of its own, which is made the first time. A run
of all of a kind writes its page, ``docs/clients.md`` or ``docs/servers.md``; the kinds are the names
``clients`` and ``servers``. One that does otherwise than is known fails the run.
"""

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from tests.interop.app import CALLS, interop_app
from tests.interop.environments import CannotInstall, Client, read_clients
from tests.interop.meeting import Meeting, meet
from tests.interop.outcomes import Outcome, run_client
from tests.interop.page import write_page
from tests.interop.processes import CannotStart
from tests.interop.server_page import write_server_page
from tests.interop.servers import Server, read_servers
from tests.support import served

Entry = TypeVar("Entry", Client, Server)


def main(names: Sequence[str]) -> bool:
    """Return whether all that could be tried did as is known of them."""
    clients, servers = read_clients(), read_servers()
    known = ["clients", *(each.name for each in clients), "servers", *(each.name for each in servers)]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"Not known: {', '.join(unknown)}. Known are: {', '.join(known)}.")
    return all(
        [
            _try_clients(_choose(clients, "clients", names), is_whole=_is_whole("clients", names)),
            _try_servers(_choose(servers, "servers", names), is_whole=_is_whole("servers", names)),
        ]
    )


def _is_whole(kind: str, names: Sequence[str]) -> bool:
    return not names or kind in names


def _choose(entries: Iterable[Entry], kind: str, names: Sequence[str]) -> list[Entry]:
    return [each for each in entries if _is_whole(kind, names) or each.name in names]


def _try_clients(clients: Sequence[Client], *, is_whole: bool) -> bool:
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
            _say(client.name, outcome.summary)
    if is_whole:
        write_page(outcomes)
    return all(outcome.not_tried or outcome.is_expected for outcome in outcomes)


def _try_servers(servers: Sequence[Server], *, is_whole: bool) -> bool:
    meetings: list[Meeting] = []
    for server in servers:
        try:
            server.environment.install()
            meeting = meet(server)
        except (CannotInstall, CannotStart) as error:
            meeting = Meeting(server, not_tried=str(error))
        meetings.append(meeting)
        _say(server.name, meeting.summary)
    if is_whole:
        write_server_page(meetings)
    return all(meeting.not_tried or meeting.is_expected for meeting in meetings)


def _say(name: str, summary: str) -> None:
    sys.stdout.write(f"{name:20} {summary}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()  # Some calls are to fail.
    sys.exit(not main(sys.argv[1:]))
