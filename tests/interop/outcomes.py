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
"""What a script says where its client made a picture of the bytes (see ``reporting``)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one client did.

    Attributes:
        client: Which client.
        not_tried: Why it could not be tried.
        failure: The error with which it lost the whole list.
        missing: The tools that it left out.
        lost: The calls whose answer it did not show, with what it did instead.
        shows: What it shows of a result: ``text``, ``structure``, ``images`` or so.
        errors: Whether it shows a tool's error as a result, or raises it.
    """

    client: Client
    not_tried: str = ""
    failure: str = ""
    missing: tuple[str, ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict)
    shows: frozenset[str] = frozenset()
    errors: str = ""

    @property
    def is_expected(self) -> bool:
        """Whether it loses what ``clients.toml`` says, and nothing else."""
        return not self.failure and not self.missing and {*self.lost} == {*self.client.loses}

    @property
    def summary(self) -> str:
        """What it did, a line for each call that it lost."""
        if self.not_tried:
            return f"not tried: {self.not_tried}"
        if self.failure:
            return f"loses the whole list: {self.failure}"
        line = f"shows {', '.join(sorted(self.shows)) or 'nothing'}"
        line += f"; leaves out {', '.join(self.missing)}" if self.missing else ""
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
    return read_report(client, json.loads(done.stdout.strip().splitlines()[-1]), calls)


def read_report(client: Client, report: Mapping[str, Any], calls: Mapping[str, Kind]) -> Outcome:
    """Return what a client did, as its script has reported it."""
    raised: Mapping[str, str] = report["raised"]
    shown = {name: json.dumps(each) for name, each in report["shown"].items()}
    said = {**shown, **raised}
    return Outcome(
        client,
        missing=tuple(sorted(calls.keys() - {*report["tools"]})),
        lost={
            name: said[name]
            for name, kind in calls.items()
            if name in said and kind.shows not in (shown if name != "error" else said).get(name, "")
        },
        shows=frozenset(_shown(report["shown"])),
        errors="raised" if "error" in raised else "shown",
    )


def _shown(answers: Mapping[str, Any]) -> list[str]:
    both, image = (json.dumps(answers.get(name)) for name in ("both", "image"))
    is_picture = _IMAGE in image or not isinstance(answers.get("image"), str)
    shown = {
        "text": IN_TEXT in both,
        "structure": IN_STRUCTURE in both,
        "images": is_picture and (_IMAGE in image or PNG in image),
        "images as base64": not is_picture and PNG in image,
    }
    return [name for name, is_shown in shown.items() if is_shown]


def _last_error(said: str) -> str:
    lines = [line.strip(" |") for line in said.splitlines() if line.strip(" |")]
    errors = [line for line in lines if "Error" in line.partition(":")[0]]
    return (errors or lines or ["it said nothing"])[-1][:200]
