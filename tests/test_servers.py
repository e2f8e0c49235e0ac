"""Where an API is, by its URL and by what its document says."""

import re
from typing import Any

import pytest

from mcp_mount import MountError
from mcp_mount.openapi.operations import Operation, read_operations, server_urls
from mcp_mount.openapi.servers import Bases, origin_of, read_base, upstream_of
from mcp_mount.tools.selection import select

Servers = list[Any] | None


def document(
    servers: Servers = None, *, path: Servers = None, operation: Servers = None
) -> dict[str, Any]:
    """A document with the one operation ``GET /pets``."""
    get: dict[str, Any] = {"operationId": "get", "responses": {}, "servers": operation}
    return {
        "openapi": "3.0.3",
        "servers": servers,
        "paths": {"/pets": {"get": get, "servers": path}},
    }


def at(*urls: str) -> list[Any]:
    return [{"url": url, "description": "d", "x-internal": True} for url in urls]


def prefix(given: dict[str, Any], upstream: str = "http://localhost:9000") -> str:
    bases = Bases(given, read_base(upstream))
    operations = read_operations(given)
    bases.check(operations)
    return bases.prefix(operations[0] if operations else None)


VARIABLE = {"default": "v3", "enum": ["v2", "v3"], "description": "d"}


@pytest.mark.parametrize(
    ("servers", "found"),
    [
        *[(None, ""), ([], ""), (at("/"), ""), (at(""), ""), (at("."), "")],
        *[(at("/api/v3"), "/api/v3"), (at("/api/v3/"), "/api/v3"), (at("v3"), "/v3")],
        *[(at("./v3/"), "/v3"), (at("../v3"), "/v3"), (at(" /v3 "), "/v3")],
        *[(at("https://api.example.com"), ""), (at("https://api.example.com/"), "")],
        *[(at("https://api.example.com/v3"), "/v3"), (at("//api.example.com/v3"), "/v3")],
        *[(at("https://{tenant}.example.com/v3"), "/v3"), (at("/a b/ü"), "/a%20b/%C3%BC")],
        *[(at("/a%2Fb"), "/a%2Fb"), (at("/v3?key=x#y"), "/v3"), ([{"x-none": 1}], "")],
        ([{"url": "/api/{version}", "variables": {"version": VARIABLE}}], "/api/v3"),
        ([{"url": "/api/{version}", "variables": {"version": {"default": 3}}}], "/api/3"),
        ([{"url": "/api/{version}", "variables": {"version": {"enum": ["v2"]}}}], "/api/v2"),
        (
            [
                {
                    "url": "{scheme}://x.com/{base}",
                    "variables": {"base": {"default": "a/b"}, "scheme": {"default": "https"}},
                }
            ],
            "/a/b",
        ),
        # Which of several is meant the upstream says, and otherwise their order.
        (at("https://a.com/first", "https://b.com/second"), "/first"),
        (at("https://a.com/first", "http://localhost:9000/second"), "/second"),
        (at("https://a.com/first", "/second"), "/second"),
    ],
)
def test_the_path_of_the_first_server_stands_before_all_others(
    servers: Servers, found: str
) -> None:
    """Proxy: OpenAPI 3.1 §4.8.5 and §4.8.6; the host is the upstream's."""
    assert prefix(document(servers)) == found


@pytest.mark.parametrize(
    ("path", "operation", "found"),
    [
        (at("/v2"), None, "/v2"),
        (None, at("/v1"), "/v1"),
        (at("/v2"), at("/v1/"), "/v1"),
        (None, at("http://localhost:9000/v1"), "/v1"),
        (None, at("https://api.example.com/v1"), "/v1"),
        (at("/"), None, ""),
        ([], [], "/v3"),
    ],
)
def test_a_path_and_an_operation_may_have_servers_of_their_own(
    path: Servers, operation: Servers, found: str
) -> None:
    """Proxy: OpenAPI 3.1 §4.8.9 and §4.8.10, the nearest counts."""
    given = document(at("https://api.example.com/v3"), path=path, operation=operation)
    assert prefix(given) == found


def test_a_path_of_the_upstream_replaces_that_of_the_document() -> None:
    """Proxy: who says where the API is, says it all; but what only repeats the document."""
    given = document(at("https://api.example.com/v3"), operation=at("/v1"))
    assert prefix(given, "http://localhost:9000/mine/") == "/mine"
    assert prefix(given, "http://localhost:9000/v3") == "/v1"
    assert prefix(document(at("/{base}")), "http://localhost:9000/mine") == "/mine"


def test_a_base_path_stands_before_all_operations() -> None:
    """Proxy: whatever the document and its operations say, variables without a value too."""
    given = document(at("/{base}"), operation=at("/{other}"))
    for path, found in (("", ""), ("/", ""), ("/api/", "/api"), ("a b", None)):
        if found is None:
            with pytest.raises(MountError, match="The base path cannot be"):
                Bases(given, read_base("http://localhost"), path)
            continue
        bases = Bases(given, read_base("http://localhost"), path)
        operations = read_operations(given)
        bases.check(operations)
        assert bases.prefix(operations[0]) == bases.prefix(None) == bases.base.prefix == found


@pytest.mark.parametrize(
    "url",
    [
        *("https://other.example.com/v1", "//other.example.com/v1", "http://localhost:9001/v1"),
        *("https://localhost:9000/v1", "https://{tenant}.example.com/v1", "http://[::1/v1"),
    ],
)
def test_an_operation_on_another_host_is_refused(url: str) -> None:
    """Proxy: credentials go where the user said, and nowhere else."""
    for given in (document(operation=at(url)), document(path=at(url))):
        with pytest.raises(MountError, match=r"GET /pets is on another host .*exclude="):
            prefix(given)


def test_all_operations_on_other_hosts_are_named_at_once() -> None:
    """Proxy: whoever has to leave out a dozen need not start a dozen times."""
    given = document(path=at("https://other.example.com"))
    given["paths"]["/pets"]["post"] = {}
    with pytest.raises(MountError) as error:
        prefix(given)
    assert str(error.value).endswith("with exclude=['GET /pets', 'POST /pets'].")


@pytest.mark.parametrize("place", ["servers", "operation"])
def test_a_variable_without_a_value_is_refused(place: str) -> None:
    """Proxy: rather than sent as it stands."""
    given = document(**{place: [{"url": "/api/{version}"}]})
    with pytest.raises(MountError, match=r"'/api/{version}' .* a variable without a default"):
        prefix(given)


@pytest.mark.parametrize(
    ("servers", "source", "found"),
    [
        (None, "http://localhost:9000/openapi.json", "http://localhost:9000/"),
        (at(""), "http://localhost:9000/docs/openapi.json", "http://localhost:9000/"),
        (at("/api"), "http://localhost:9000/docs/openapi.json", "http://localhost:9000/api"),
        (at("v1"), "http://localhost:9000/docs/openapi.json", "http://localhost:9000/docs/v1"),
        (at("../v1"), "http://localhost:9000/docs/a.json?b=c", "http://localhost:9000/v1"),
        (at("http://localhost:9000/v1"), "http://LOCALHOST:9000/x", "http://localhost:9000/v1"),
        (at("https://a.com:443/v1"), "https://a.com/x", "https://a.com:443/v1"),
        (at("https://b.com", "https://a.com/v1"), "https://a.com/x", "https://a.com/v1"),
        (at("http://[", "/v1"), "https://a.com/x", "https://a.com/v1"),
    ],
)
def test_a_fetched_document_says_where_its_api_is(
    servers: Servers, source: str, found: str
) -> None:
    """Proxy: a relative server is relative to the document (OpenAPI 3.1 §4.8.5.1)."""
    given = document(servers)
    assert upstream_of(given, source) == found
    read_base(found)


@pytest.mark.parametrize(
    "servers",
    [at("https://evil.com"), at("http://a.com"), at("//evil.com/"), at("https://a.com:8443")],
)
def test_a_fetched_document_cannot_lead_to_another_host(servers: Servers) -> None:
    """Proxy: nor to another port or scheme of the same."""
    with pytest.raises(MountError, match=r"fetched from another host\. Name the upstream yourself"):
        upstream_of(document(servers), "https://a.com/openapi.json")


def test_a_base_is_read_from_its_url() -> None:
    """Proxy: what goes onto the wire is percent-encoded already."""
    base = read_base("HTTPS://API.example.com/a b/ü/?key=ä b&x=%20")
    assert base.origin == ("https", "api.example.com", 443)
    assert base.prefix == "/a%20b/%C3%BC"
    assert base.query == "key=%C3%A4%20b&x=%20"
    assert str(base) == "https://api.example.com:443/a%20b/%C3%BC"
    assert str(read_base("http://[::1]:9000")) == "http://[::1]:9000"


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:9000", "", "/api", "ftp://a.com", "http://", "http://:80", "http://a b.com"),
        *("http://a.com:port", "http://a.com:99999", "http://[::1", "http://{host}/", "file:///a"),
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """Proxy: with the form that it has."""
    assert origin_of(url) is None
    with pytest.raises(MountError, match="write it like 'http://localhost:9000'"):
        read_base(url)


@pytest.mark.parametrize("url", ["http://user:hunter2@a.com", "http://user:hunter2@a.com:x/"])
def test_a_base_holds_no_password(url: str) -> None:
    """Proxy: and none is shown."""
    with pytest.raises(MountError) as error:
        read_base(url)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ("/v1", "'servers' is a text, where a list is expected"),
        (["/v1"], "a server is a text, where an object is expected"),
        ([{"url": "/{a}", "variables": {"a": "v1"}}], "the server variable 'a' is a text"),
        ([None], "a server is null"),
    ],
)
def test_servers_of_another_form_are_refused(servers: Any, message: str) -> None:
    """Proxy: naming what is wrong."""
    with pytest.raises(MountError, match=message):
        Bases(document(servers), read_base("http://localhost:9000"))
    with pytest.raises(MountError, match=f"GET /pets: {message}"):
        select(read_operations(document(operation=servers)))


def test_what_stands_for_a_variable_has_no_variables() -> None:
    """Proxy: it is the value as it stands (OpenAPI 3.1 §4.8.6)."""
    variables = {"a": {"default": "{b}"}, "b": {"default": "c"}}
    assert server_urls(document([{"url": "/{a}/{b}", "variables": variables}])) == ["/{b}/c"]


@pytest.mark.parametrize(
    "server",
    [
        {"url": f"/{'a' * 5_000}"},
        {"url": "/{a}" * 20, "variables": {"a": {"default": "a" * 200}}},
        {"url": "/{a}" * 20, "variables": {"a": {"enum": ["a" * 200]}}},
    ],
)
def test_the_url_of_a_server_is_bounded(server: dict[str, Any]) -> None:
    """Proxy: a kilobyte whose variables stand for each other became gigabytes."""
    message = "the URL of the server '/.*' has more than 2,000 characters"
    with pytest.raises(MountError, match=message) as error:
        Bases(document([server]), read_base("http://localhost:9000"))
    assert len(str(error.value)) < 200
    (operation,) = read_operations(document(operation=[server]))
    assert re.search(message, operation.fault)
    assert len(operation.fault) < 200


def test_servers_that_many_operations_share_are_counted() -> None:
    """Proxy: a path that many others refer to is read for each of them."""
    shared = {"$ref": "#/paths/~1pets"}
    paths = document(path=at(*["/v1"] * 1_000))["paths"]
    paths |= {f"/pets/{number}": shared for number in range(210)}
    *_, last = read_operations({"openapi": "3.1.0", "paths": paths})
    assert "more than 200,000 parameters, servers, tags and answers" in last.fault


@pytest.mark.parametrize("what", ["tags", "mark"])
def test_so_are_tags_and_marks(what: str) -> None:
    """Proxy: a list of tools has the mark of each in it, and a megabyte had a gigabyte's list."""
    said = {"tags": ["a"] * 900} if what == "tags" else {"x-mcp": {"meta": {"a": "b" * 90_000}}}
    paths: dict[str, Any] = {"/pets": {"get": {**said, "responses": {}}}}
    paths |= {f"/pets/{number}": {"$ref": "#/paths/~1pets"} for number in range(300)}
    *_, last = read_operations({"openapi": "3.1.0", "paths": paths})
    assert "more than 200,000 parameters, servers, tags and answers" in last.fault


def test_an_operation_with_thousands_of_tags_is_refused() -> None:
    """Proxy: with three million, which no list shows, the first list took two seconds."""
    operation = {"tags": ["a"] * 1_001, "responses": {}}
    (read,) = read_operations({"openapi": "3.1.0", "paths": {"/pets": {"get": operation}}})
    assert read.fault == "GET /pets: it has more than 1,000 tags."


def test_what_is_no_operation_has_the_common_prefix() -> None:
    """Proxy: e.g. the question whether the API answers."""
    bases = Bases(document(at("/v3"), operation=at("/v1")), read_base("http://localhost:9000"))
    assert bases.prefix(None) == "/v3"
    assert bases.prefix(Operation("GET", "/other")) == "/v3"
