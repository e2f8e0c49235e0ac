"""Tries clients, servers and APIs of others: ``python -m tests.interop [NAME …]``.

`make interop` does so. Each runs in an environment of its own, which is made the first time. A run
of all clients writes ``docs/clients.md``, and one of all others ``docs/servers.md``. The names are
those of the TOML files here, and of the kinds: ``clients``, ``servers``, ``apis`` and ``large``,
and ``others`` for the last three. What does otherwise than is known fails the run.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from tests.interop.apis import ForeignAPI, Trial, read_apis, try_api
from tests.interop.app import CALLS, interop_app
from tests.interop.claude_code import CLAUDE_CODE, Connection, connect
from tests.interop.environments import CannotInstall, Environment, read_clients
from tests.interop.large import LargeAPI, Survey, read_large_apis, survey
from tests.interop.meeting import Meeting, meet
from tests.interop.outcomes import Outcome, run_client
from tests.interop.page import write_page
from tests.interop.processes import CannotStart
from tests.interop.server_page import write_server_page
from tests.interop.servers import Server, read_servers
from tests.support import served


class Entry(Protocol):
    @property
    def name(self) -> str: ...


class Report(Protocol):
    @property
    def not_tried(self) -> str: ...
    @property
    def is_expected(self) -> bool: ...
    @property
    def summary(self) -> str: ...


E = TypeVar("E", bound=Entry)
R = TypeVar("R", bound=Report)


class Kinds:
    """What can be tried, and what was asked for."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.clients = self._choose(read_clients(), "clients")
        self.programs = self._choose([CLAUDE_CODE], "clients")
        self.servers = self._choose(read_servers(), "servers", "others")
        self.apis = self._choose(read_apis(), "apis", "others")
        self.large = self._choose(read_large_apis(), "large", "others")

    def _choose(self, entries: Sequence[E], *kinds: str) -> list[E]:
        is_whole = self.is_whole(*kinds)
        return [each for each in entries if is_whole or each.name in self._names]

    def is_whole(self, *kinds: str) -> bool:
        """Whether all of a kind were asked for."""
        return not self._names or any(kind in self._names for kind in kinds)


def main(names: Sequence[str]) -> bool:
    """Return whether all that could be tried did as is known of them."""
    _check(names)
    kinds = Kinds(names)
    with served(interop_app()) as url:
        outcomes = [
            *_try(
                kinds.clients,
                lambda it: it,
                lambda it: run_client(it, f"{url}/mcp", CALLS),
                Outcome,
            )
        ]
    connections = [*_try(kinds.programs, lambda it: it, connect, Connection)]
    if kinds.is_whole("clients"):
        write_page(outcomes)
    meetings = [*_try(kinds.servers, _environment, meet, Meeting)]
    trials = [*_try(kinds.apis, _environment, try_api, Trial)]
    surveys = [*_try(kinds.large, _environment, survey, Survey)]
    if kinds.is_whole("others"):
        write_server_page(meetings, trials, surveys)
    reports: list[Report] = [*outcomes, *connections, *meetings, *trials, *surveys]
    return all(each.not_tried or each.is_expected for each in reports)


def _check(names: Sequence[str]) -> None:
    entries: list[Entry] = [
        *read_clients(),
        CLAUDE_CODE,
        *read_servers(),
        *read_apis(),
        *read_large_apis(),
    ]
    known = ["clients", "others", "servers", "apis", "large", *(each.name for each in entries)]
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"Not known: {', '.join(unknown)}. Known are: {', '.join(known)}.")


def _environment(entry: Server | ForeignAPI | LargeAPI) -> Environment:
    return entry.environment


def _try(
    entries: Sequence[E],
    environment: Callable[[E], Environment],
    run: Callable[[E], R],
    report: Callable[..., R],
) -> Iterator[R]:
    """Yield how each did, and say so; one that cannot be tried has its reason."""
    for entry in entries:
        try:
            environment(entry).install()
            outcome = run(entry)
        except (CannotInstall, CannotStart) as error:
            outcome = report(entry, not_tried=str(error))
        sys.stdout.write(f"{entry.name:20} {outcome.summary}\n")
        sys.stdout.flush()
        yield outcome


if __name__ == "__main__":
    logging.disable()  # Some calls are to fail.
    sys.exit(not main(sys.argv[1:]))
