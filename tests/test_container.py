"""The container: what it is made of, and its commands run as plain commands."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from tests.api import PARTS
from tests.others import free_port
from tests.support import envelope, served

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parent.parent
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8"))
INSTRUCTIONS = [
    tuple(line.split(maxsplit=1))
    for line in DOCKERFILE.splitlines()
    if line and not line.startswith("#")
]
ENTRYPOINT = ROOT / "docker" / "entrypoint.sh"
NO_REQUEST = "import urllib.request as r; r.urlopen = lambda url, timeout: print(url)"
PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"


def values(name: str) -> list[str]:
    return [value for instruction, value in INSTRUCTIONS if instruction == name]


def test_the_image_runs_as_somebody_and_looks_after_itself() -> None:
    """Gateway: non-root, with a health check, from the versions that were tested."""
    assert values("USER")[-1] not in {"root", "0"}
    names = [name for name, _ in INSTRUCTIONS]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "/health" in values("HEALTHCHECK")[0]
    assert any("--constraint constraints.txt" in value for value in values("RUN"))
    assert values("ENTRYPOINT") == ['["entrypoint"]']


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    copied = {name for value in values("COPY") for name in value.split()[:-1]}
    assert copied == kept
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert os.access(ENTRYPOINT, os.X_OK)


def environment(**variables: str) -> dict[str, str]:
    return {"PATH": PATH, "HOME": str(ROOT), "PYTHONPATH": str(ROOT), **variables}


@pytest.mark.parametrize(
    ("service", "port"), [("api", "8000"), ("proxy", "8000"), ("gateway", "8490")]
)
def test_each_service_has_the_port_that_it_has_without_a_container(service: str, port: str) -> None:
    """Gateway: `PORT` is optional, and the health check looks where the service is."""
    assert port in values("EXPOSE")[0].split()
    assert "PORT=" not in " ".join(values("ENV"))
    script = 'exec() { echo "$PORT $*"; }; ' + ENTRYPOINT.read_text("utf-8")
    said = subprocess.run(
        ["/bin/bash", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env=environment(SERVICE=service, OPENAPI="api.json"),
        timeout=10,
    ).stdout
    assert said.startswith(f"{port} ")
    command = json.loads(values("HEALTHCHECK")[0].partition("CMD ")[2])
    asked = subprocess.run(
        [sys.executable, "-c", f"{NO_REQUEST}\n{command[2]}"],
        check=True,
        capture_output=True,
        text=True,
        env=environment(SERVICE=service),
        timeout=20,
    ).stdout
    assert asked.strip() == f"http://127.0.0.1:{port}/health"


@contextmanager
def serving(**variables: str) -> Iterator[str]:
    """Run the entrypoint until it answers; yield its URL. It is ended as a container is."""
    port = str(free_port())
    process = subprocess.Popen(
        [str(ENTRYPOINT)],
        cwd=ROOT,
        env=environment(PORT=port, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "Uvicorn running" in line:
                break
        assert "Uvicorn running" in said, said
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=20)
    assert process.returncode in {0, -signal.SIGTERM}, said + rest


def fetched(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own
        return json.load(response)


def check_health(url: str) -> int:
    """Run the image's own health check against a port."""
    command = json.loads(values("HEALTHCHECK")[0].partition("CMD ")[2])
    port = url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, *command[1:]], check=False, env=environment(PORT=port), timeout=20
    )
    return done.returncode


def test_the_gateway_starts_with_the_example_and_is_healthy() -> None:
    """Gateway: `SERVICE=gateway`."""
    with serving(SERVICE="gateway") as url:
        assert {*fetched(f"{url}/health")["remotes"]} == {"example"}
        assert check_health(url) == 0
    assert check_health(url) != 0


def test_the_gateway_takes_a_file_of_servers(tmp_path: Path) -> None:
    """Gateway: `GATEWAY_SERVERS`."""
    file = tmp_path / "servers.json"
    file.write_text('{"mcpServers": {"gone": {"url": "http://127.0.0.1:1/mcp"}}}', "utf-8")
    with serving(SERVICE="gateway", GATEWAY_SERVERS=str(file)) as url:
        assert {*fetched(f"{url}/health")["remotes"]} == {"gone"}


def test_the_api_starts_and_is_healthy(tmp_path: Path) -> None:
    """Gateway: `SERVICE=api`, the default."""
    with serving(KB_DATABASE=str(tmp_path / "kb.sqlite3")) as url:
        assert check_health(url) == 0
        assert fetched(f"{url}/openapi.json")["info"]["title"]


def command_of(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the entrypoint where `mcp-mount` only says how it was called."""
    script = 'mcp-mount() { printf "%q " "$@"; }; exec() { "$@"; }; ' + ENTRYPOINT.read_text(
        "utf-8"
    )
    return subprocess.run(
        ["/bin/bash", "-c", script, "entrypoint", *words],
        check=False,
        capture_output=True,
        text=True,
        env=environment(**variables),
        timeout=10,
    )


def test_the_proxy_starts_and_is_healthy_as_long_as_its_api_is(tmp_path: Path) -> None:
    """Proxy: `SERVICE=proxy` with `OPENAPI` and `UPSTREAM_URL`."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(PARTS), "utf-8")
    with (
        served(FastAPI()) as upstream,
        serving(SERVICE="proxy", OPENAPI=str(file), UPSTREAM_URL=upstream) as url,
    ):
        assert fetched(f"{url}/health") == {"status": "ok", "upstream": "up"}
        assert check_health(url) == 0
    gone = f"http://127.0.0.1:{free_port()}"
    with serving(SERVICE="proxy", OPENAPI=str(file), UPSTREAM_URL=gone) as url:
        assert check_health(url) != 0


@pytest.mark.parametrize("service", ["proxy", "gateway"])
def test_arguments_of_the_container_are_options_of_the_command(service: str) -> None:
    """Proxy and gateway: what has no variable can be said all the same."""
    for servers in ("", "/data/servers.json"):
        variables = {"OPENAPI": "/data/api.json", "GATEWAY_SERVERS": servers}
        said = shlex.split(command_of("--exclude", "x *", SERVICE=service, **variables).stdout)
        assert said[0] == service
        assert said[-2:] == ["--exclude", "x *"]
        assert said[said.index("--host") + 1] == "0.0.0.0"  # noqa: S104 - in a container


def status(url: str, **headers: str) -> int:
    """Ask for the tools, and return the answer's status."""
    own, body = envelope("modern", "tools/list", {})
    return httpx2.post(f"{url}/mcp", headers={**own, **headers}, json=body).status_code


@pytest.mark.parametrize("service", ["proxy", "gateway"])
def test_the_door_is_set_by_the_environment(service: str, tmp_path: Path) -> None:
    """Proxy and gateway: `MCP_API_KEY`; the health check needs none."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(PARTS), "utf-8")
    with served(FastAPI()) as upstream:
        variables = {"OPENAPI": str(file), "UPSTREAM_URL": upstream, "MCP_API_KEY": "sesame"}
        with serving(SERVICE=service, **variables) as url:
            assert status(url) == 401
            assert status(url, **{"x-api-key": "sesame"}) == 200
            assert check_health(url) == 0


@pytest.mark.parametrize("service", ["proxy", "gateway"])
def test_a_container_with_credentials_and_no_guard_does_not_start(
    service: str, tmp_path: Path
) -> None:
    """Proxy and gateway: and says what to set."""
    document, servers = tmp_path / "openapi.json", tmp_path / "servers.json"
    document.write_text(json.dumps(PARTS), "utf-8")
    server = {"url": "http://127.0.0.1:1/mcp", "headers": {"X-Key": "${THE_KEY}"}}
    servers.write_text(json.dumps({"mcpServers": {"own": server}}), "utf-8")
    variables = {
        "OPENAPI": str(document),
        "UPSTREAM_URL": "http://127.0.0.1:1",
        "TOKEN_URL": "http://127.0.0.1:1/token",
        "CLIENT_ID": "proxy",
        "CLIENT_SECRET": "hunter2",
        "GATEWAY_SERVERS": str(servers),
        "THE_KEY": "hunter2",
    }
    done = subprocess.run(
        [str(ENTRYPOINT)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(SERVICE=service, PORT=str(free_port()), **variables),
        timeout=60,
    )
    assert done.returncode == 1
    assert "set MCP_API_KEY" in done.stderr
    assert "--no-auth" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("variables", "named"),
    [({"SERVICE": "proxy"}, "OPENAPI"), ({"SERVICE": "other"}, "api, proxy or gateway")],
    ids=["proxy", "unknown"],
)
def test_what_is_missing_is_said(variables: dict[str, str], named: str) -> None:
    """Gateway: errors are instructions."""
    refused = command_of(**variables)
    assert refused.returncode != 0
    assert named in refused.stderr
