"""Puts a server behind a gateway, which is a process of its own, and compares with it alone."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from tests.interop.asking import Account, ask
from tests.interop.comparing import find_differences, through_gateway
from tests.interop.processes import free_ports, running
from tests.interop.servers import Place, Server, fresh_folder, placed, unfill
from tests.support import ERAS, MODERN, Era

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Meeting:
    """How a server did behind the gateway.

    Attributes:
        server: Which server.
        not_tried: Why it could not be tried.
        listed: How much it lists directly: tools, resources and so on.
        called: How many of its tools were called, and how many calls there were in all.
        differences: What differs and how, in either era.
    """

    server: Server
    not_tried: str = ""
    listed: dict[str, int] = field(default_factory=dict)
    called: tuple[int, int] = (0, 0)
    differences: tuple[tuple[str, str], ...] = ()

    @property
    def is_expected(self) -> bool:
        """Whether there differs what ``servers.toml`` says, and nothing else."""
        return {name for name, _ in self.differences} == {*self.server.differs}

    @property
    def summary(self) -> str:
        """How it did, a line for each difference that is not known."""
        if self.not_tried:
            return f"not tried: {self.not_tried}"
        found = {name for name, _ in self.differences}
        lines = [
            f"{name}: {how}" for name, how in self.differences if name not in self.server.differs
        ]
        lines += [f"{name}: does not differ" for name in self.server.differs if name not in found]
        listed = ", ".join(f"{count} {kind}" for kind, count in self.listed.items() if count)
        return "\n    ".join([f"lists {listed}; {self.called[1]} calls", *lines])


def meet(server: Server) -> Meeting:
    """List and call directly, and in either era through a gateway.

    Raises:
        CannotStart: the server, or the gateway, does not.
    """
    directly = _ask_directly(server)
    differences: dict[tuple[str, str], None] = {}
    for era in ERAS:
        behind = _ask_behind(server, era)
        found = find_differences(server.calls, directly, behind, server.prefix, server.varies)
        differences |= dict.fromkeys(found)
    return Meeting(
        server,
        listed={kind: len(items) for kind, items in directly.lists.items()},
        called=(len({each["tool"] for each in server.calls if "tool" in each}), len(server.calls)),
        differences=tuple(differences),
    )


def _ask_directly(server: Server) -> Account:
    with fresh_folder() as folder, placed(server, folder) as place:
        config = {"mcpServers": {server.prefix: dict(place.entry)}}
        return _run(place, config, place.calls)


def _ask_behind(server: Server, era: Era) -> Account:
    with fresh_folder() as folder, placed(server, folder) as place:
        file = folder.with_name("servers.json")
        file.write_text(json.dumps({"mcpServers": {server.prefix: place.entry}}))
        [port] = free_ports(1)
        calls = [through_gateway(each, server.prefix) for each in place.calls]
        with running(mcp_mount("gateway", str(file), port=port), f"http://127.0.0.1:{port}/health"):
            mode = MODERN if era == "modern" else "legacy"
            return _run(place, f"http://127.0.0.1:{port}/mcp", calls, mode=mode)


def _run(
    place: Place, transport: Any, calls: Sequence[Mapping[str, Any]], **options: Any
) -> Account:
    """Return what was told, with the names of what was made for this run alone taken out."""
    account = anyio.run(ask, lambda user: user.connect(transport, **options), calls)
    return Account(unfill(account.lists, place.values), unfill(account.answers, place.values))


def mcp_mount(*arguments: str, port: int) -> Sequence[str]:
    """Return the command that runs one of ours on a port."""
    return [sys.executable, "-m", "mcp_mount", *arguments, "--port", str(port)]
