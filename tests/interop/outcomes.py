"""What a client made of the list and of each call."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.interop.app import IN_STRUCTURE, IN_TEXT, PNG, Kind
from tests.interop.environments import Client

_SECONDS: Final = 120
_IMAGE: Final = "shown-as-an-image"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one client did.

    `not_tried` is why it could not be; `failure` the error with which it lost the whole list;
    `lost` the calls whose answer it did not show, with what it did instead; and `shows` what it
    shows its model of a result: ``{"text", "structure", "images"}``.
    """

    client: Client
    not_tried: str = ""
    failure: str = ""
    missing: tuple[str, ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict)
    shows: frozenset[str] = frozenset()
    shows_error: str = ""

    @property
    def unexpected(self) -> bool:
        """Whether it did worse than is written in ``clients.toml``."""
        return bool(self.failure or self.missing or set(self.lost) - set(self.client.loses))

    @property
    def summary(self) -> str:
        """One line of it."""
        if self.not_tried or self.failure:
            return self.not_tried and f"not tried: {self.not_tried}" or f"FAILED: {self.failure}"
        line = f"shows {', '.join(sorted(self.shows)) or 'nothing'}"
        line += f"; lacks {', '.join(self.missing)}" if self.missing else ""
        return line + "".join(f"\n    {name}: {what}" for name, what in self.lost.items())


def run_client(client: Client, url: str, calls: Mapping[str, Kind]) -> Outcome:
    """Have a client list and call, and read what it printed."""
    arguments = json.dumps({name: kind.arguments for name, kind in calls.items()})
    try:
        done = subprocess.run(
            [*client.command, url, arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Outcome(client, failure=f"did not end within {_SECONDS} seconds")
    if done.returncode != 0:
        return Outcome(client, failure=_last_error(done.stderr))
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    shown = {name: json.dumps(each) for name, each in report["shown"].items()}
    raised: dict[str, str] = report["raised"]
    lost = {
        name: raised.get(name) or shown.get(name, "not called")
        for name, kind in calls.items()
        if name in report["tools"] and kind.shows not in shown.get(name, raised.get(name, ""))
    }
    both, image = shown.get("both", ""), shown.get("image", "")
    shows = {
        kind
        for kind, is_shown in (
            ("text", IN_TEXT in both),
            ("structure", IN_STRUCTURE in both),
            ("images", PNG in image or _IMAGE in image),
        )
        if is_shown
    }
    missing = tuple(sorted(calls.keys() - set(report["tools"])))
    how = "raises" if "error" in raised else "shows"
    return Outcome(
        client, missing=missing, lost=lost, shows=frozenset(shows), shows_error=how
    )


def _last_error(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line.partition(":")[0]]
    return (errors or lines or ["it said nothing"])[-1][:300]
