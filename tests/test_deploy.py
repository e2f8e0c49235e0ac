"""The files of deploy/, each with the program that reads it, where that is installed."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
import yaml
from fastapi import FastAPI, UploadFile
from fastapi.responses import StreamingResponse

from mcp_mount import Limits, Remote, mount_mcp
from mcp_mount.gateway import read_servers
from tests.others import free_port
from tests.support import envelope, served

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/bin")
SYSTEMD = shutil.which("systemd-analyze")

pytestmark = pytest.mark.faults


def streaming_app(go_on: threading.Event) -> FastAPI:
    app = FastAPI(title="Parts")

    @app.get("/tell", operation_id="tell")
    async def tell() -> StreamingResponse:
        async def words() -> AsyncIterator[str]:
            yield "It is "
            # Set in the thread of the test.
            await anyio.to_thread.run_sync(go_on.wait, 10)
            yield "20°."

        return StreamingResponse(words(), media_type="text/plain")

    @app.post("/size", operation_id="size")
    async def size(file: UploadFile) -> int:
        return len(await file.read())

    mount_mcp(app, limits=Limits(timeout=20))
    return app


@contextmanager
def behind_nginx(upstream: str, folder: Path) -> Iterator[str]:
    """Run nginx with the file, but for its port, its certificate and where the service is."""
    assert NGINX is not None
    port = free_port()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=parts.example",
    ]
    subprocess.run(
        [*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    for old, new in {
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/ssl/parts.example.pem": str(certificate),
        "/etc/ssl/parts.example.key": str(key),
        "http://127.0.0.1:8000": upstream,
    }.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "site.conf").write_text(text, "utf-8")
    places = "".join(
        f"{name}_temp_path {folder / name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder / 'pid'}; error_log stderr notice;\n"
        f"events {{}}\nhttp {{ access_log off; {places} include {folder / 'site.conf'}; }}\n",
        "utf-8",
    )
    process = subprocess.Popen(
        [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert any("start worker" in line or "using the" in line for line in process.stderr)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_a_stream_and_an_upload_pass_through_nginx(tmp_path: Path) -> None:
    """Deployment: nothing is kept back, and 2 MiB are let through."""
    go_on = threading.Event()
    headers, body = envelope("modern", "tools/call", {"name": "tell", "arguments": {}}, token="p")
    with (
        served(streaming_app(go_on)) as upstream,
        behind_nginx(upstream, tmp_path) as url,
        httpx2.Client(verify=False, timeout=15, headers=headers) as client,
    ):
        said = ""
        with client.stream("POST", f"{url}/mcp", json=body) as response:
            for line in response.iter_lines():
                said += line
                if "It is " in line:
                    # Only then does the route go on.
                    go_on.set()
        assert (
            "20°." in json.loads(said[said.rindex("data:") + 5 :])["result"]["content"][0]["text"]
        )
        file = {"file": ("two.bin", b"x" * 2 * 1024 * 1024)}
        with httpx2.Client(verify=False, timeout=15) as plain:
            assert plain.post(f"{url}/size", files=file).json() == 2 * 1024 * 1024


@pytest.mark.skipif(SYSTEMD is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "mcp-mount.service").read_text("utf-8")
    unit = tmp_path / "parts.service"
    unit.write_text(re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", text), "utf-8")
    assert SYSTEMD is not None
    done = subprocess.run(
        [SYSTEMD, "verify", str(unit)], check=False, capture_output=True, text=True
    )
    # It also speaks of other units of the machine.
    assert not [line for line in done.stderr.splitlines() if "parts.service" in line], done.stderr


def test_compose_starts_what_the_image_has(monkeypatch: pytest.MonkeyPatch) -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    entrypoint = (ROOT / "docker" / "entrypoint.sh").read_text("utf-8")
    for service in services.values():
        kind = service["environment"].get("SERVICE", "api")
        assert f"\n{kind})" in entrypoint
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source == "kb" or (DEPLOY / source).exists()
    monkeypatch.setenv("KB_KEY", "secret")
    (remote,) = read_servers(DEPLOY / "servers.json")
    assert isinstance(remote, Remote)
    assert remote.url == "http://kb:8000/mcp"
    assert dict(remote.headers) == {"X-Api-Key": "secret"}


@pytest.mark.skipif(
    importlib.util.find_spec("gunicorn") is None
    or importlib.util.find_spec("uvicorn_worker") is None,
    reason="gunicorn and uvicorn-worker are not installed",
)
def test_gunicorn_serves_with_several_workers() -> None:
    """Deployment: any worker answers any request."""
    bind = f"127.0.0.1:{free_port()}"
    words = ["--config", str(DEPLOY / "gunicorn.conf.py"), "--bind", bind, "examples.minimal:app"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    headers, body = envelope(
        "modern", "tools/call", {"name": "get_part", "arguments": {"part_id": 7}}
    )
    try:
        assert process.stderr is not None
        started = 0
        for line in process.stderr:
            started += "Application startup complete" in line
            if started == 2:
                break
        for _ in range(20):
            reply = httpx2.post(f"http://{bind}/mcp", headers=headers, json=body)
            assert reply.json()["result"]["structuredContent"] == {"part_id": 7}
    finally:
        process.terminate()
        process.communicate(timeout=20)
