"""Loading an OpenAPI document: from files and URLs, in JSON and YAML, with clear errors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from mcp_mount import MountError
from mcp_mount.openapi.document import load_document, without_secrets
from mcp_mount.openapi.operations import read_operations
from mcp_mount.openapi.schemas import Schemas
from tests.support import served

MINIMAL = {"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": {}}


def saved(folder: Path, text: str | bytes, name: str = "openapi.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def yaml(folder: Path, text: str) -> dict[str, Any]:
    """Load what follows the version of a YAML document."""
    return load_document(saved(folder, f"openapi: 3.0.3\n{text}"))


def test_a_mapping_and_a_file_are_loaded(tmp_path: Path) -> None:
    """Proxy: the same document, however it is given."""
    assert load_document(MINIMAL) == MINIMAL
    path = saved(tmp_path, json.dumps(MINIMAL), "openapi.json")
    assert load_document(path) == load_document(str(path)) == MINIMAL
    text = 'openapi: "3.1.0"\ninfo: {title: T, version: "1"}\npaths: {}\n'
    assert load_document(saved(tmp_path, text)) == MINIMAL


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_the_encodings_of_editors_are_read(tmp_path: Path, name: str, encoding: str) -> None:
    """Proxy: Windows writes a byte order mark, and its PowerShell UTF-16."""
    text = '{"openapi": "3.0.0", "x-word": "größe"}'
    if name.endswith("yaml"):
        text = "openapi: 3.0.0\nx-word: größe\n"
    assert load_document(saved(tmp_path, text.encode(encoding), name))["x-word"] == "größe"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[(word, word) for word in ("no", "NO", "yes", "on", "Off", "y", "12:30", "1_000", "=")],
        *[(word, word) for word in ("0o17", "0x1F", "017", "00501", "2024-01-02", ".inf", ".nan")],
        *[("2001-12-14t21:59:43.10-05:00",) * 2, ("1.2.3", "1.2.3"), ("1e", "1e")],
        *[("true", True), ("False", False), ("null", None), ("~", None), ("", None)],
        *[("3", 3), ("-7", -7), ("0", 0), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0)],
        *[("'3'", "3"), ("!!str 3", "3"), ("[no, 1]", ["no", 1])],
    ],
)
def test_yaml_has_the_values_of_json(tmp_path: Path, written: str, value: object) -> None:
    """Proxy: OpenAPI 3.1 §4.4; YAML 1.1 read `no` as false and 12:30 as 750."""
    found = yaml(tmp_path, f"x-value: {written}\n")["x-value"]
    assert (found, type(found)) == (value, type(value))


def test_keys_are_texts_as_in_json(tmp_path: Path) -> None:
    """Proxy: a status is often written as a number, `on` and `null` are names of properties."""
    text = """
paths:
  /a:
    get:
      responses: {200: {description: ok}, default: {description: else}}
x-odd: {on: 1, null: 2, 1.50: 3, true: 4}
"""
    document = yaml(tmp_path, text)
    assert [*document["paths"]["/a"]["get"]["responses"]] == ["200", "default"]
    assert document["x-odd"] == {"on": 1, "null": 2, "1.50": 3, "true": 4}


def test_anchors_and_merge_keys_are_followed(tmp_path: Path) -> None:
    """Proxy: hand-written documents share parts so; also the keys that are numbers."""
    text = """
x-errors: &errors
  404: {description: Nothing}
paths:
  /a:
    get:
      responses:
        <<: [*errors, {500: {description: Down}}]
        200: &ok {description: Fine}
    delete:
      responses: {<<: *errors, 204: *ok}
"""
    item = yaml(tmp_path, text)["paths"]["/a"]
    assert {*item["get"]["responses"]} == {"200", "404", "500"}
    assert item["delete"]["responses"] == {
        "404": {"description": "Nothing"},
        "204": {"description": "Fine"},
    }


LAUGHS = "\n".join(
    [
        "x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]",
        *(f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)),
    ]
)
MERGES = "\n".join(
    [
        "x-0: &a0 {a: 1}",
        *(f"x-{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 20)),
    ]
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "its aliases make it enormous"),
        (MERGES, "its aliases make it enormous"),
        ("x-a: &a [*a]", "its aliases make it enormous"),
        ("x-a: &a {b: {c: *a}}", "its aliases make it enormous"),
        ("x-a: " + "[" * 50_000, "nested too deeply"),
        ("x-a: " + "- " * 5_000, "neither JSON nor YAML"),
        ("x-a: !!binary aGk=", "neither JSON nor YAML (line 2)"),
        ("x-a: !!timestamp 2020-01-01", "neither JSON nor YAML (line 2)"),
        ("x-a: !!python/object/apply:os.getcwd []", "neither JSON nor YAML (line 2)"),
        ("x-a: !!bool maybe", "neither JSON nor YAML"),
        ("x-a: !!int", "neither JSON nor YAML"),
        # To the base of 60, as in YAML 1.1: the first takes the square of its length, and the
        # second is larger than a float can be.
        ("x-a: !!int '" + "1:" * 1_000 + "1'", "neither JSON nor YAML"),
        ("x-a: !!float '" + "1:" * 1_000 + "1'", "neither JSON nor YAML"),
        # No JSON can be written of it.
        ("x-a: !!int 0x" + "f" * 5_000, "neither JSON nor YAML"),
        ("x-a: " + "9" * 5_000, "neither JSON nor YAML"),
        ("x-a: *nothing", "neither JSON nor YAML (line 2)"),
        ("x-a: [1\nx-b: 2", "neither JSON nor YAML (line 3)"),
        ("---\nopenapi: 3.0.0", "neither JSON nor YAML"),
        ("\tx-a: 1", "neither JSON nor YAML"),
    ],
)
def test_yaml_that_does_harm_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Proxy: one sentence, and no more work than the document is large."""
    with pytest.raises(MountError) as error:
        yaml(tmp_path, text)
    assert message in str(error.value)
    assert "openapi.yaml" in str(error.value)


def test_aliases_that_a_schema_reader_follows_stay_small(tmp_path: Path) -> None:
    """Proxy, P4: what is shared in the file is not multiplied in the tools."""
    levels = "\n".join(
        f"  L{n}: &l{n} {{type: object, properties: {{a: *l{n - 1}, b: *l{n - 1}}}}}"
        for n in range(1, 10)
    )
    document = yaml(tmp_path, f"x-all:\n  L0: &l0 {{type: string}}\n{levels}\n")
    published = Schemas(document).publish({"allOf": [document["x-all"]["L9"]]}, "input")
    assert len(json.dumps(published)) < 20_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no OpenAPI 3 document"),
        (b"[1]", "is no OpenAPI 3 document"),
        (b"just words", "is no OpenAPI 3 document"),
        (b"openapi: 4.0.0", "is no OpenAPI 3 document"),
        (b'{"openapi": "3.1.0"', "neither JSON nor YAML (line 1)"),
        (b'{"openapi": "3.1.0",\n\n "a" 1}', "neither JSON nor YAML (line 3)"),
        (b'{"openapi": "3.1.0", "a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"swagger": "2.0", "paths": {}}', "is Swagger 2.0. Convert it to OpenAPI 3 first"),
        (b"swagger: '2.0'\n", "is Swagger 2.0. Convert it to OpenAPI 3 first"),
        (b"<!doctype html><title>Swagger UI</title>", "is a web page or XML. Name the document"),
        (b"openapi: 3.0.0\n# gr\xf6\xdfe\n", "is not in UTF-8 (line 2)"),
        (b"\x00\x01\x02", "neither JSON nor YAML"),
    ],
)
def test_what_is_no_document_is_refused_in_a_sentence(
    tmp_path: Path, data: bytes, message: str
) -> None:
    """Proxy: what was found, where, and what to do."""
    with pytest.raises(MountError) as error:
        load_document(saved(tmp_path, data))
    assert message in str(error.value)
    assert "openapi.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source", ["missing.yaml", ".", "a\0b", ""])
def test_a_file_that_cannot_be_read_is_named(source: str) -> None:
    """Proxy: and why it cannot."""
    with pytest.raises(MountError, match=r"cannot be read: [A-Za-z]"):
        load_document(source)


def test_the_folder_of_a_missing_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxy: in a container the two are easily mixed up."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MountError) as error:
        load_document("openapi.yaml")
    assert "'openapi.yaml' cannot be read: No such file" in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_an_object_of_yaml_merges_a_thousand_others(tmp_path: Path) -> None:
    """Proxy: each of 300,000 moved all that followed it, which took a minute."""
    text = "x-a:\n  b: 1\n" + "  <<: {c: 2}\n" * 1_000
    assert yaml(tmp_path, text)["x-a"] == {"b": 1, "c": 2}
    with pytest.raises(MountError, match="merges more than 1,000 others"):
        yaml(tmp_path, f"{text}  <<: {{}}\n")


@pytest.mark.faults
def test_what_is_merged_counts_as_if_it_were_written(tmp_path: Path) -> None:
    """Proxy: a large object that many others merge is read for each of them."""
    many = ", ".join(f"k{number}: 1" for number in range(1_000))
    padding = "#" * 3_000_000
    merges = "".join(f"x-{number}: {{<<: *many}}\n" for number in range(1_500))
    with pytest.raises(MountError, match="more than 1,000,000 values"):
        yaml(tmp_path, f"x-many: &many {{{many}}}\n{merges}{padding}\n")


@pytest.mark.faults
def test_a_yaml_document_of_very_many_values_is_not_read_to_its_end(tmp_path: Path) -> None:
    """F1: three megabytes of it took a gigabyte, and half a minute."""
    with pytest.raises(MountError, match=r"more than 1,000,000 values.*in JSON"):
        yaml(tmp_path, f"x: [{'a,' * 1_100_000}]")


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    """Proxy: memory stays bounded."""
    with pytest.raises(MountError, match="is larger than 67108864 bytes"):
        load_document("/dev/zero")


def site() -> Starlette:
    """A site that has the document in many places."""

    async def document(request: Request) -> Response:
        return Response(json.dumps(MINIMAL), media_type="application/json")

    async def elsewhere(request: Request) -> Response:
        port = request.url.port
        return RedirectResponse(f"http://localhost:{port}/openapi.json")

    async def endless(request: Request) -> Response:
        def chunks() -> Iterator[bytes]:
            while True:
                yield b" " * 1_000_000

        return StreamingResponse(chunks())

    async def picky(request: Request) -> Response:
        # Nothing of the caller's is sent along.
        wrong = {"cookie", "authorization"} & {*request.headers.keys()}
        return Response("no", 400) if wrong else await document(request)

    return Starlette(
        routes=[
            Route("/openapi.json", document),
            Route("/picky", picky),
            Route("/moved", lambda _: RedirectResponse("/openapi.json?a=b", 301)),
            Route("/loop", lambda _: RedirectResponse("/loop")),
            Route("/elsewhere", elsewhere),
            Route("/odd", lambda _: RedirectResponse("file:///etc/passwd")),
            Route("/endless", endless),
            Route("/twice", lambda _: Response(b"", headers={"content-encoding": "gzip, gzip"})),
            Route("/page", lambda _: Response("<html></html>", media_type="text/html")),
            Route("/empty", lambda _: Response(status_code=204)),
            Route("/down", lambda _: Response("secret-trace", 503)),
        ]
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(site()) as url:
        yield url


@pytest.mark.parametrize("path", ["/openapi.json", "/moved", "/picky", "/openapi.json?key=x#top"])
def test_a_document_is_fetched_from_its_url(url: str, path: str) -> None:
    """Proxy: redirects on the same host are followed."""
    assert load_document(url + path) == MINIMAL


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing", "it is answered with HTTP 404. Is the service running?"),
        ("/down", "it is answered with HTTP 503"),
        ("/loop", "Exceeded maximum allowed redirects. Is"),
        ("/elsewhere", "it leads to another host, 'localhost'"),
        ("/odd", "unsupported protocol 'file://'. Is"),
        ("/endless", "it is larger than 67108864 bytes"),
        ("/twice", "it is compressed in a way that was not asked for"),
        ("/page", "is a web page or XML"),
        ("/empty", "is no OpenAPI 3 document"),
    ],
)
def test_a_url_without_a_document_is_refused_in_a_sentence(
    url: str, path: str, message: str
) -> None:
    """Proxy: nothing of the answer is shown but its status."""
    with pytest.raises(MountError) as error:
        load_document(url + path)
    assert message in str(error.value)
    assert f"'{url}{path}'" in str(error.value)
    assert "secret-trace" not in str(error.value)


@pytest.mark.parametrize(
    "place",
    [
        "http://user:hunter2@127.0.0.1:1/openapi.json?key=hunter2#hunter2",
        "http://user:hunter2@[::1/openapi.json",
        "http://user:hunter2#@127.0.0.1:1/",
        "http://user:hunter2/@127.0.0.1:1/",
        "http://user:hunter2@127.0.0.1:port/",
        "http://user:hunter2@:0/",
        "HTTP://user:hunter2@127.0.0.1:99999/",
        "http://:hunter2@/",
        "https://user:hunter2@\x00",
    ],
)
def test_no_password_of_a_url_is_shown(place: str) -> None:
    """Proxy: also where the URL is none."""
    with pytest.raises(MountError) as error:
        load_document(place)
    assert "hunter2" not in str(error.value)
    assert "cannot be fetched from" in str(error.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.b:8/c/@d?e=f#g", "https://a.b:8/c/@d"),
        ("https://u:p@a.b/c", "https://a.b/c"),
        ("http://u:p@[::1]:9000/c", "http://[::1]:9000/c"),
        ("http://u:p#q@a.b/c", "http://…"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """Proxy: in errors and in the log."""
    assert without_secrets(url) == shown


def test_a_document_of_webhooks_only_has_no_operations() -> None:
    """Proxy: OpenAPI 3.1 §4.8.1, `paths` may be missing."""
    document = load_document({"openapi": "3.1.0", "webhooks": {"a": {"post": {}}}})
    assert read_operations(document) == ()


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "☃.example"])
def test_a_host_that_cannot_be_is_refused(host: str) -> None:
    """Proxy: like any other URL that is none, whatever the name is wrong about."""
    with pytest.raises(MountError, match=r"cannot be fetched from .* it is no URL"):
        load_document(f"http://{host}/openapi.json")
