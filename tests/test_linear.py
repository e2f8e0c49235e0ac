"""Foreign text is read in time that grows with its length, and no faster.

A regular expression that backtracks takes seconds for a few thousand characters, or never ends. The
limit is processor time, so that a busy machine changes nothing, and far above what is needed.
"""

import gc
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from fastapi import FastAPI
from fastmcp import FastMCP
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mcp_mount import MountError, mount_mcp
from mcp_mount.backends.asgi import ASGIBackend
from mcp_mount.backends.request import OperationRequest
from mcp_mount.conversion.inputs import read_arguments
from mcp_mount.conversion.values import parsed_or_text
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.document import load_document, without_secrets
from mcp_mount.openapi.operations import Operation, read_operations
from mcp_mount.openapi.paths import Paths
from mcp_mount.openapi.patterns import is_ecmascript
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.openapi.servers import origin_of
from mcp_mount.openapi.simplify import shorten
from mcp_mount.remotes.forms import asks_for_secret
from mcp_mount.search.entries import Entry
from mcp_mount.search.ranker import Ranker
from mcp_mount.tools.describing import description_of, title_of
from mcp_mount.tools.marks import ToolOverrides, read_overrides
from mcp_mount.tools.selection import select
from mcp_mount.tools.uris import match_template
from tests.support import ERAS, Era, Reply, rpc

LENGTH = 50_000
SECONDS = 1.0

# A part that is repeated as often as fits, between others that may not fit to it.
ENDS = st.text(max_size=3)
UNITS = st.text(
    st.sampled_from("aZ0-_.~[](){}?*+\\^$|:=!<>/#&;,@%\" \t\n'é"), min_size=1, max_size=6
)
TEXTS = st.tuples(ENDS, UNITS, ENDS)


@contextmanager
def within_seconds(seconds: float = SECONDS) -> Iterator[None]:
    """Stop what takes longer; `re` looks for signals while it backtracks.

    Garbage is not collected meanwhile: how long that takes, the other tests say.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"It takes more than {seconds} s.")

    before = signal.signal(signal.SIGVTALRM, stop)
    gc.disable()
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        gc.enable()
        signal.signal(signal.SIGVTALRM, before)


def operation(text: str, place: str = "", *, path: str = "/a") -> dict[str, Any]:
    """A document of one operation, in which the text stands at a place."""
    parameter = {"name": "q", "in": "query", "schema": {"type": "string"}}
    if place in {"path", "query", "header", "cookie"}:
        parameter |= {"in": place, "name": text}
    get = {
        "operationId": text if place == "id" else "get",
        "summary": "a",
        "description": text,
        "parameters": [parameter],
        "security": [],
    }
    item = {"additionalOperations": {text: get}} if place == "method" else {"get": get}
    return {"openapi": "3.2.0", "paths": {path: item}}


def read(document: dict[str, Any]) -> None:
    for offer in select(read_operations(document)):
        read_arguments(offer.operation, Schemas(document))
        description_of(offer.operation, read_overrides(offer.operation) or ToolOverrides())


def read_name(place: str, text: str) -> None:
    read(operation(text, place))


def call(place: str, text: str) -> None:
    """Give the text as a value of a place."""
    schema = {"type": "string", "format": "binary"}
    content = {"multipart/form-data": {"schema": {"properties": {"file": schema}}}}
    document = operation("", path="/{id}-x.json")
    names = {"id": "path", "q": "query", "h": "header", "c": "cookie"}
    document["paths"]["/{id}-x.json"]["get"] |= {
        "parameters": [
            {"name": name, "in": where, "schema": {"type": "array"}}
            for name, where in names.items()
        ],
        "requestBody": {"content": content},
    }
    (only,) = read_operations(document)
    values: dict[str, Any] = {"id": "a", place: text}
    for file in ({"text": "a", "media_type": text}, {"text": "a", "filename": text}):
        read_arguments(only, Schemas(document)).request(
            {**values, "file": file} if place == "file" else values
        )


ROUTES = [Operation("GET", path) for path in ("/{x}", "/{a}-{b}-{c}-{d}.json", "/{a}a{b}{c}/aaab")]

RANKER = Ranker([Entry("get_thing", method="GET", path="/things/{id}")])

READERS: dict[str, Callable[[str], object]] = {
    "pattern": lambda text: is_ecmascript(text[:1_000]),
    "description": lambda text: shorten(text, 1_000),
    "url": lambda text: (without_secrets(f"http://{text}"), origin_of(f"http://{text}")),
    "path": lambda text: read(operation("", path=f"/{text}")),
    "path_and_id": lambda text: read(operation(2 * text, "id", path=f"/{text}")),
    "route": lambda text: Paths(ROUTES).leads_to(ROUTES[2], f"/{text}"),
    "reference": lambda text: Schemas({}).publish(
        {"$ref": f"#/components/schemas/{text}"}, "input"
    ),
    "json": parsed_or_text,
    **{
        f"name_of_{place}": partial(read_name, place)
        for place in ("id", "method", "path", "query", "header", "cookie")
    },
    **{f"value_of_{place}": partial(call, place) for place in ("id", "q", "h", "c", "file")},
}


@pytest.mark.parametrize("reader", READERS)
@given(text=TEXTS)
@example(text=("", "a-[^]", "\\"))
@example(text=("", "[-]", "\\"))
@example(text=("", "(?=a)", ")"))
@example(text=("", "a", "b"))
@example(text=("a", " ", "a"))
@example(text=("", "\n ", "a"))
@example(text=("", "{a}-", "?"))
@example(text=("", "9", "x"))
@example(text=("", "_", ""))
@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
def test_no_text_takes_long_to_read(reader: str, text: tuple[str, str, str]) -> None:
    """F1: neither names and descriptions of a document, nor values of a caller."""
    first, unit, last = text
    long = f"{first}{unit * (LENGTH // len(unit))}{last}"
    with within_seconds(), suppress(MountError, InvalidArguments, ValueError):
        READERS[reader](long)


@given(text=TEXTS)
@example(text=("", "@.", ""))
@example(text=("", "a@", ""))
@example(text=("", "a-", ""))
@example(text=("", "a.", "b"))
@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
def test_no_request_for_a_tool_takes_long_to_read(text: tuple[str, str, str]) -> None:
    """F1: of a thousand characters, which are looked at in one step."""
    first, unit, last = text
    with within_seconds(0.05):
        [*RANKER.search(f"{first}{unit * (1_000 // len(unit))}"[:999] + last)]


@given(unit=st.text(st.sampled_from("+-0123456789.eE_~nTf<"), min_size=1, max_size=4))
@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
def test_no_scalar_of_a_document_takes_long_to_read(
    tmp_path_factory: pytest.TempPathFactory, unit: str
) -> None:
    """F1: PyYAML looks with an expression at what each may be."""
    path: Path = tmp_path_factory.mktemp("yaml") / "openapi.yaml"
    path.write_text(f"openapi: 3.0.0\nx-a: {unit * (LENGTH // len(unit))}x\n")
    with within_seconds(), suppress(MountError):
        load_document(path)


MANY = 12_000
TEXT = {"type": "string"}
NAMED = {"type": "object", "properties": {f"a{number}": TEXT for number in range(MANY)}}


def of_one(**operation: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "paths": {"/a": {"post": {"operationId": "a", **operation}}}}


def body(schema: dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    return {"requestBody": {"content": {media_type: {"schema": schema}}}}


def parameters(names: Iterable[str], where: str = "query", **schema: Any) -> list[dict[str, Any]]:
    return [{"name": name, "in": where, "schema": {**TEXT, **schema}} for name in names]


@pytest.mark.parametrize("path", ["/repos/{}/b/x7/c", "/repos/{0}/{0}/x7"])
def test_a_long_path_is_soon_compared_with_hundreds_of_routes(path: str) -> None:
    """A document such as GitHub's took 0.15 s for a call, and 0.5 s for a server's redirect."""
    ends = [end for number in range(150) for end in (f"x{number}", f"x{number}/{{id}}")]
    operations = [Operation("GET", f"/repos/{{owner}}/{{repo}}/{end}") for end in ends]
    paths = Paths(operations)
    paths.found("GET", path.format("a"))
    with within_seconds(0.12):
        assert paths.found("GET", path.format("a" * 4_500)) is not None
        assert paths.found("GET", path.format("%41" * 4_500)) is not None


def test_arguments_that_are_left_out_are_soon_named() -> None:
    """They were looked for once for each argument of the tool, for a second where it had 5,000."""
    names = [f"a{number}" for number in range(2_000)]
    schema = {"properties": {each: {} for each in names}, "required": names}
    document = operation("")
    document["paths"]["/a"]["get"] |= {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}
    }
    (only,) = read_operations(document)
    arguments = read_arguments(only, Schemas(document))
    with within_seconds(0.05), pytest.raises(InvalidArguments, match="Missing argument 'a1999'"):
        arguments.request(dict.fromkeys(names[:-1], "a"))


def test_an_address_is_soon_compared_with_hundreds_of_templates() -> None:
    """No more of it is taken apart than a template has."""
    address = "data://" + "a/" * 8_000
    templates = [f"data://{{a}}/{{b}}/x{number}{{?q}}" for number in range(1_000)]
    with within_seconds(0.02):
        assert not any(match_template(each, address) for each in templates)
    assert match_template("data://{a}/{b*}", "data://a/b/c/d") == {"a": "a", "b": "b/c/d"}


NUMBERED = [f"a{number}" for number in range(MANY)]

LARGE = {
    "properties": of_one(**body(NAMED)),
    "fields of a form": of_one(**body(NAMED, "multipart/form-data")),
    "parameters": of_one(parameters=parameters(NUMBERED)),
    "names that come to one": of_one(parameters=parameters(f"a{each}é" for each in NUMBERED)),
    "names that come to nothing": of_one(
        parameters=parameters("!" * number for number in range(1, 2_000))
    ),
    "mirrored": of_one(parameters=parameters(NUMBERED, **{"x-mcp-header": "h"})),
    "merged": of_one(**body({"allOf": [{"properties": {each: TEXT}} for each in NUMBERED]})),
    "in the path": {
        "openapi": "3.1.0",
        "paths": {
            "/" + "/".join(f"{{{name}}}" for name in NUMBERED[:8_000]): {
                "get": {"parameters": parameters(NUMBERED[:8_000], "path")}
            }
        },
    },
}


@pytest.mark.parametrize("large", LARGE)
def test_much_in_one_operation_takes_time_that_grows_with_it(large: str) -> None:
    """S3: where each looked at all the others, it took several times as long."""
    with within_seconds(4):
        read(LARGE[large])


TEMPLATES = [
    Operation("GET", f"/{{a}}{'x' * (number // 50)}/{{b}}{'y' * (number % 50)}")
    for number in range(2_000)
]
ENDINGS = [Operation("GET", f"/{{a}}{f'q{number}' if number else ''}") for number in range(3_000)]
LIKE_A_LITERAL = [Operation("GET", "/{a}"), Operation("GET", f"/{{a}}{'a' * 400}b{{c}}")]


@pytest.mark.parametrize(
    ("look", "is_refused"),
    [
        (lambda: Paths(TEMPLATES).found("GET", f"/{'x' * 99}/{'y' * 99}"), True),
        (lambda: Paths(ENDINGS).leads_to(ENDINGS[0], f"/{'q' * 60_000}"), False),
        (lambda: Paths(LIKE_A_LITERAL).leads_to(LIKE_A_LITERAL[0], f"/{'a' * 60_000}"), False),
    ],
)
def test_paths_are_looked_up_in_no_time_however_many_a_document_has(
    look: Callable[[], object],
    is_refused: bool,  # noqa: FBT001 - pytest's
) -> None:
    with within_seconds(0.25):
        assert bool(look()) is not is_refused


def test_a_literal_that_a_value_is_like_is_soon_looked_for() -> None:
    """Python looks for some in time that grows with both lengths: it took 0.24 s."""
    long = f"{'a' * 400}b{'a' * 400}"
    paths = Paths(Operation("GET", f"/{{a}}{long}{{p{number}}}") for number in range(1_150))
    with within_seconds(0.05):
        assert paths.found("GET", f"/{'a' * 2_400}") is None


def test_a_long_path_is_compared_with_what_it_may_be() -> None:
    """Microsoft has 11,000 routes of a method, the longest of which could not be called."""
    deep = "/users/{user}" + "".join(f"/levelNumber{i}/{{id{i}}}" for i in range(12))
    paths = [f"{deep}/x{number}" for number in range(6_000)]
    paths += [f"/x{number}/{{id}}" for number in range(6_000)]
    operations = [Operation("GET", each) for each in paths]
    known = Paths(operations)
    for own in (operations[0], operations[-1]):
        path = re.sub(r"\{\w+\}", "a" * 12_000, own.path)
        with within_seconds(0.25):
            assert known.leads_to(own, path) is True
            assert known.found("GET", path) is own
    assert known.leads_to(operations[0], re.sub(r"\{\w+\}", "a", deep)) is False


@pytest.mark.parametrize("path", ["/", "/A", "/a/", "/é/K"])
def test_paths_lead_where_they_did_in_either_case(path: str) -> None:
    plain = [Operation("GET", "/{a}"), Operation("GET", "/a"), Operation("GET", "/É/k")]
    found = Paths(plain).found("GET", path)
    assert (found and found.path) == {"/": None, "/é/K": "/É/k"}.get(path, "/a")


def test_thousands_of_templates_are_compared_with_a_long_address_in_no_time() -> None:
    templates = [f"kb://articles/{{slug}}/{number}" for number in range(10_000)]
    with within_seconds(0.15):
        assert not any(match_template(each, "kb:/" + "/a" * 8_000) for each in templates)
    encoded = f"kb://articles/{'%41' * 5_000}/other"
    with within_seconds(0.15):
        assert not any(match_template(each, encoded) for each in templates)
    assert match_template("kb://{rest*}", "kb://a/b/c") == {"rest": "a/b/c"}
    assert match_template("kb://{a}/{rest*}", "kb://%41%2F/b%20/") == {"a": "A/", "rest": "b /"}


@pytest.mark.parametrize("era", ERAS)
async def test_an_address_is_soon_compared_with_templates_of_several_values(era: Era) -> None:
    """2,000 dashes took FastMCP's expression nine seconds, and 4,000 seventy."""
    mounted = mount_mcp(app := FastAPI())

    @mounted.server.resource("own://{a}-{b}-{c}.txt")
    def three(a: str, b: str, c: str) -> str:
        return f"{a} {b} {c}"

    inner = FastMCP("inner")

    @inner.resource("own://{rest*}/x/{last}")
    def two(rest: str, last: str) -> str:
        return f"{rest} {last}"

    mounted.server.mount(inner, namespace="inner")

    async def read(uri: str) -> Reply:
        return await rpc(app, era, "resources/read", {"uri": uri}, headers={"mcp-name": uri})

    for hostile in ("own://" + "-" * 1_500 + "/", "own://inner/" + "/x/" * 8_000 + "/"):
        begun = time.thread_time()
        reply = await read(hostile)
        # An alarm would be an error that FastMCP takes for an answer.
        assert time.thread_time() - begun < 0.2
        assert reply.answer["error"]["code"] == -32602
    for uri, text in (
        ("own://1-2-3.txt", "1 2 3"),
        (f"own://{'a' * 9_000}-b-c.txt", f"{'a' * 9_000} b c"),
        ("own://inner/a/b/x/c", "a/b c"),
    ):
        (content,) = (await read(uri)).result["contents"]
        assert content["text"] == text


def _of_two(a: str, b: str) -> str:
    return a + b


def _of_four(a: str, b: str, c: str, d: str) -> str:
    return a + b + c + d


@pytest.mark.parametrize(
    ("read_it", "template", "uri", "hostile"),
    [
        (_of_four, "{a}.{b}/{c}.{d}/end", "1.2/3.4/end", f"{'.' * 400}/{'.' * 400}/"),
        (_of_four, "{a}.{b}.{c}.{d}", "1.2.3.4", f"{'.' * 185}/"),
        (_of_two, "{a}.{b}", f"12{'3' * 9_000}.4", f"{'.' * 600}{'a' * 15_000}/"),
    ],
    ids=["segments", "short", "long"],
)
async def test_an_address_is_not_divided_in_all_ways(
    read_it: Callable[..., str], template: str, uri: str, hostile: str
) -> None:
    """F1: eight hundred dots in two segments took 0.4 s, 185 between four values 0.6."""
    mounted = mount_mcp(app := FastAPI())
    mounted.server.resource(f"own://{template}")(read_it)

    async def read(path: str) -> Reply:
        given = {"uri": f"own://{path}"}
        return await rpc(app, "modern", "resources/read", given, headers={"mcp-name": given["uri"]})

    (content,) = (await read(uri)).result["contents"]
    assert content["text"] == re.sub("[^1-9]", "", uri)
    begun = time.thread_time()
    reply = await read(hostile)
    assert time.thread_time() - begun < 0.1
    assert reply.answer["error"]["code"] == -32602


def test_a_title_is_no_longer_than_a_description() -> None:
    """Each search reads the titles of what it finds."""
    title = title_of(Operation("GET", "/a", summary="many words " * 100_000), ToolOverrides())
    assert title is not None
    assert len(title) <= 2_000


class NoTools:
    """An app without tools."""

    routes = None

    def may_lead_to(self, method: str, template: str) -> bool:  # noqa: ARG002
        return False


def test_a_redirect_to_a_long_path_is_soon_left_alone() -> None:
    """Each of hundreds of routes was asked for it: a megabyte took four seconds."""
    app = FastAPI()
    for number in range(200):
        app.add_api_route(f"/repos/{{owner}}/{{repo}}/x{number}", lambda: None)
    backend = ASGIBackend(app, NoTools)
    request = OperationRequest("GET", "/repos/a/b/x1", template="/repos/{owner}/{repo}/x1")
    with within_seconds(0.1):
        assert backend.follow(request, 307, f"/repos/{'a' * 1_000_000}/b/none") is None
    assert backend.follow(request, 307, "/repos/a/b/x1") is not None


def test_the_name_of_a_field_is_read_once_however_many_schemas_it_has() -> None:
    """S3: each was looked at with the whole name again, for six seconds."""
    form = {"type": "object", "properties": {"aB" * 4_800: {"anyOf": [{} for _ in range(1_990)]}}}
    with within_seconds(0.3):
        assert not asks_for_secret("", form)


@pytest.mark.parametrize(
    "unit", ["aB", "pass ", "t o k e ", "enter your a ", "p[", "﷽", "ﷺ", "\u0301\u0323"]
)
def test_a_form_of_hostile_words_is_soon_read(unit: str) -> None:
    """S3: in time that grows with it; 20,000 characters of JSON are passed on."""
    text = unit * (19_000 // sum(1 if each.isascii() else 6 for each in unit))
    field = {"type": "string", "title": text, "description": text[1:]}
    with within_seconds(0.25):
        assert not asks_for_secret(text, {"type": "object", "properties": {"a": field}})
