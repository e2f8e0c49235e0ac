"""How what is no JSON becomes a result: images, files, text, and nothing at all."""

import asyncio
import codecs
import gzip
import json
import tracemalloc
import zlib
from base64 import b64decode
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI, Response
from hypothesis import given
from hypothesis import strategies as st

from mcp_mount import Limits, mount_mcp
from mcp_mount.conversion.decoders import TextDecoder
from mcp_mount.conversion.deltas import StreamForm
from mcp_mount.conversion.headers import known_charset
from mcp_mount.conversion.reader import ResponseReader
from mcp_mount.conversion.values import read_json
from mcp_mount.loops import in_thread
from tests.foreign import Heartbeat
from tests.support import ERAS, Era, call

pytestmark = pytest.mark.usefixtures("either_caller")

PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


async def answered(
    body: bytes, era: Era = "modern", status: int = 200, **headers: str
) -> dict[str, Any]:
    """Return the result of a tool whose route answers these bytes with these headers."""
    app = FastAPI()

    @app.get("/answer", response_class=Response)
    async def answer() -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(body, status_code=status, headers=named)

    mount_mcp(app)
    return (await call(app, "answer", era=era)).result


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("kind", ["image", "audio"])
async def test_an_image_or_sound_is_content_of_its_own_type(era: Era, kind: str) -> None:
    """R2."""
    media_type = {"image": "image/png", "audio": "audio/mpeg"}[kind]
    result = await answered(PNG, era, content_type=f"{media_type}; name=x")
    (block,) = result["content"]
    assert (block["type"], block["mimeType"]) == (kind, media_type)
    assert b64decode(block["data"]) == PNG
    assert not result.get("isError")
    assert "structuredContent" not in result


@pytest.mark.parametrize("era", ERAS)
async def test_another_binary_is_an_embedded_resource_with_its_name(era: Era) -> None:
    """R2: blob, MIME type and file name."""
    result = await answered(
        b"%PDF-1.7\xff",
        era,
        content_type="application/pdf",
        content_disposition='attachment; filename="drawing 1.pdf"',
    )
    (block,) = result["content"]
    assert block["type"] == "resource"
    resource = block["resource"]
    assert resource["mimeType"] == "application/pdf"
    assert resource["uri"] == "attachment:///drawing%201.pdf"
    assert b64decode(resource["blob"]) == b"%PDF-1.7\xff"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=plain.bin", "plain.bin"),
        ("attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe.bin", "gr%C3%B6%C3%9Fe.bin"),
        ("attachment; filename*=iso-8859-1''gr%F6.bin", "gr%C3%B6.bin"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        (r'attachment; filename="..\\..\\boot.ini"', "boot.ini"),
        ("attachment; filename*=UTF-8''..%2F..%2Fx", "x"),
        ('attachment; filename=".."', "content.bin"),
        ('attachment; filename="a/"', "content.bin"),
        ('attachment; filename="a?b#c.bin"', "a%3Fb%23c.bin"),
        ("attachment; filename*=nonsense''%FF", None),
        ("attachment; filename*=UTF-8''%FF", None),
        ("attachment", "content.bin"),
        (";;;=", "content.bin"),
        ("", "content.bin"),
    ],
)
async def test_a_file_name_is_one_name_without_folders(disposition: str, name: str | None) -> None:
    """R2: RFC 6266 and RFC 5987; a name must not lead out of the folder it is saved in."""
    result = await answered(
        PNG, content_type="application/octet-stream", content_disposition=disposition
    )
    assert not result.get("isError")
    uri = result["content"][0]["resource"]["uri"]
    assert uri.startswith("attachment:///")
    if name is not None:
        assert uri == f"attachment:///{name}"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("größe".encode("latin-1"), "text/plain; charset=iso-8859-1", "größe"),
        ("größe".encode(), "text/plain; charset=utf-8", "größe"),
        ("größe".encode(), "text/plain", "größe"),
        ("größe".encode("utf-16"), "text/plain; charset=utf-16", "größe"),
        ("größe".encode(), "text/plain; charset=no-such-charset", "größe"),
        ("größe".encode(), 'text/plain; charset=""', "größe"),
        ("größe".encode(), "text/plain; charset=rot13", "größe"),
        ("größe".encode(), "text/plain; charset=base64", "größe"),
        ("größe".encode(), "text/plain; charset=idna", "größe"),
        (rb"C:\data", "text/plain; charset=unicode_escape", r"C:\data"),
        (b"gr\xf6\xdfe", "text/csv", "gr\ufffd\ufffde"),
        (b"<b>x</b>", "text/html", "<b>x</b>"),
        (b"<svg/>", "image/svg+xml", "<svg/>"),
        (b"<a/>", "application/xml", "<a/>"),
        (b"a: 1", "application/yaml", "a: 1"),
        (b"a: 1", "application/vnd.oai.openapi; charset=utf-8", "a: 1"),
    ],
)
async def test_text_is_read_in_its_charset(
    era: Era, body: bytes, content_type: str, text: str
) -> None:
    """R2: an SVG is text on purpose: models read it, and few clients draw it."""
    result = await answered(body, era, content_type=content_type)
    assert result["content"] == [{"type": "text", "text": text}]
    assert not result.get("isError")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("status", "text"), [(204, "204 No Content"), (200, "200 OK"), (202, "202 Accepted")]
)
async def test_an_empty_success_says_what_it_is(era: Era, status: int, text: str) -> None:
    """R2: a model given nothing at all would take it for a failure."""
    result = await answered(b"", era, status=status)
    assert result["content"] == [{"type": "text", "text": text}]
    assert not result.get("isError")


@pytest.mark.parametrize("era", ERAS)
async def test_an_empty_text_says_what_it_is(era: Era) -> None:
    """R2."""
    result = await answered(b"", era, content_type="text/plain")
    assert result["content"] == [{"type": "text", "text": "200 OK"}]


@pytest.mark.parametrize("era", ERAS)
async def test_python_is_not_asked_for_charsets_that_there_are_not(era: Era) -> None:
    """Limits: it keeps each name for good, and an API can make up as many as it likes."""
    asked: list[str] = []

    def keep(name: str) -> None:
        asked.append(name)

    codecs.register(keep)
    try:
        disposition = "attachment; filename*=made-up-name''a%FF"
        for content_type in ("text/plain; charset=made-up", "application/x; charset=made-up"):
            await answered(PNG, era, content_type=content_type, content_disposition=disposition)
    finally:
        codecs.unregister(keep)
    assert asked == []


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *[("UTF---8", "utf_8"), ("utf-!8", "utf_8"), ("ISO-8859-1", "iso_8859_1")],
        *[("KOI8-U", "koi8_u"), ("cp874", "cp874"), ("windows-1252", "windows_1252")],
        *[("base64", None), ("aliases", None), ("x" * 2_000, None), ("", None)],
    ],
)
def test_a_charset_has_one_name_however_it_is_written(written: str, name: str | None) -> None:
    """Limits: Python keeps each way of writing one."""
    assert known_charset(written) == name
    assert name is None or codecs.lookup(name)


@pytest.mark.parametrize("era", ERAS)
async def test_an_error_keeps_its_text_in_any_charset(era: Era) -> None:
    """R2: a whole body is read like a stream."""
    result = await answered(
        "größe".encode("latin-1"), era, 400, content_type="text/plain; charset=iso-8859-1"
    )
    assert result["content"] == [{"type": "text", "text": "400 Bad Request\ngröße"}]


RAW_DEFLATE = zlib.compress(PNG, wbits=-15)
PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("encoding", "pack"), PACKED)
async def test_an_answer_that_is_compressed_against_our_wish_is_unpacked(
    encoding: str, pack: Callable[[bytes], bytes], era: Era
) -> None:
    """R2: the inner request asks for no encoding; some middleware answers with one all the same."""
    for body, content_type, status in (
        (b'{"a": 1}', "application/json", 200),
        ("größe".encode(), "text/plain", 200),
        (b'{"detail": "no"}', "application/json", 404),
    ):
        plain = await answered(body, era, status, content_type=content_type)
        packed = await answered(
            pack(body), era, status, content_type=content_type, content_encoding=encoding
        )
        assert packed == plain


@pytest.mark.parametrize("charset", ["utf-16", "utf_32", "U16"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_text_that_does_not_begin_with_its_byte_order_is_little_endian(
    charset: str, size: int
) -> None:
    """M4: as browsers read it; it breaks no call."""
    data = "Größe".encode(f"{codecs.lookup(charset).name}-le")
    decoder = TextDecoder(charset)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    pieces = [piece for chunk in chunks for piece in decoder.decode(chunk)]
    assert "".join([*pieces, *decoder.decode(b"", final=True)]) == "Größe"


async def test_raw_deflate_is_unpacked_as_browsers_do() -> None:
    """R2: what some servers send as `deflate` (RFC 9110 §8.4.1.2)."""
    result = await answered(RAW_DEFLATE, content_type="image/png", content_encoding="deflate")
    assert b64decode(result["content"][0]["data"]) == PNG


@pytest.mark.parametrize("media_type", ["text/plain", "application/json"])
async def test_what_is_unpacked_counts_for_the_limit(media_type: str) -> None:
    """C6, F2: a kilobyte that unpacks to a megabyte is ended at `max_bytes`."""
    app = FastAPI()

    @app.get("/answer", response_class=Response)
    async def answer() -> Response:
        headers = {"content-type": media_type, "content-encoding": "gzip"}
        return Response(gzip.compress(b"x" * 1_000_000), headers=headers)

    mount_mcp(app, limits=Limits(max_bytes=10_000))
    text = (await call(app, "answer")).text_content
    assert text.count("x") == 10_000 + text.partition("[")[2].count("x")
    assert "10000 bytes (max_bytes)" in text


@pytest.mark.parametrize("cut", [10, -4])
async def test_a_compressed_answer_that_is_cut_says_so(cut: int) -> None:
    """R2, C6: what could be unpacked is kept."""
    packed = gzip.compress(b"some text " * 10)[:cut]
    result = await answered(packed, content_type="text/plain", content_encoding="gzip")
    assert result["isError"]
    assert "broke off" in result["content"][-1]["text"]


async def test_what_is_no_compressed_data_says_so() -> None:
    """R2: rather than being shown as garbled text."""
    result = await answered(b"plain", content_type="text/plain", content_encoding="gzip")
    assert result["isError"]
    assert "broke off" in result["content"][-1]["text"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/json", "image/png"])
async def test_a_body_of_another_encoding_is_a_file_and_not_garbled_text(media_type: str) -> None:
    """R2: Python cannot unpack it, and the model is told its bytes."""
    result = await answered(b"\x0b\x00", content_type=media_type, content_encoding="br")
    (block,) = result["content"]
    assert block["resource"]["mimeType"] == "application/octet-stream"
    assert b64decode(block["resource"]["blob"]) == b"\x0b\x00"


async def test_an_error_of_another_encoding_shows_its_status_only() -> None:
    """R3."""
    result = await answered(
        b"\x0b\x00", status=400, content_type="text/plain", content_encoding="br"
    )
    assert result["content"] == [{"type": "text", "text": "400 Bad Request"}]


async def read(content_type: str, chunks: list[bytes]) -> ResponseReader:
    """Read a body that arrives in these parts."""
    reader = ResponseReader(Limits(), None, StreamForm(text=False))
    await reader.start(200, [(b"content-type", content_type.encode())])
    for chunk in chunks:
        assert await reader.write(chunk)
    await reader.end()
    return reader


def items_of(reader: ResponseReader) -> list[object]:
    assert reader.items is not None
    return reader.items.values()


def cut(body: bytes, places: list[int]) -> list[bytes]:
    """Cut a body at these places, wherever they fall."""
    ends = sorted(place % (len(body) + 1) for place in places)
    return [body[a:b] for a, b in zip([0, *ends], [*ends, len(body)], strict=True)]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
PLACES = st.lists(st.integers(0, 10_000), max_size=8)


@given(values=st.lists(VALUES, max_size=5), end=st.sampled_from(["\n", "\r\n"]), places=PLACES)
async def test_json_lines_are_the_same_in_any_parts(
    values: list[object], end: str, places: list[int]
) -> None:
    """S2."""
    body = end.join(json.dumps(value, ensure_ascii=False) for value in values).encode(
        "utf-8", "surrogatepass"
    )
    reader = await read("application/jsonl", cut(body, places))
    assert items_of(reader) == values


@given(
    events=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=4),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    places=PLACES,
)
async def test_events_are_the_same_in_any_parts(
    events: list[str], end: str, places: list[int]
) -> None:
    """S2: WHATWG HTML §9.2.6: lines end in LF, CR LF or CR."""
    datas = [json.dumps({"text": text}, ensure_ascii=False) for text in events]
    body = "".join(f"id: {n}{end}data: {data}{end}{end}" for n, data in enumerate(datas))
    reader = await read("text/event-stream", cut(body.encode(), places))
    assert items_of(reader) == [
        {"id": str(n), "data": {"text": text}} for n, text in enumerate(events)
    ]


@given(text=st.text(st.characters(exclude_categories=["Cs"])), places=PLACES)
async def test_text_is_the_same_in_any_parts(text: str, places: list[int]) -> None:
    """S2: a character cut in two is put together."""
    reader = await read("text/plain; charset=utf-8", cut(text.encode(), places))
    assert reader.text() == text


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (": ping\n\ndata: a\n\n", [{"data": "a"}]),
        ("data: a\ndata: b\n\n", [{"data": "a\nb"}]),
        ("data:a\ndata\n\n", [{"data": "a\n"}]),
        ("event: x\n\ndata: a\n\n", [{"data": "a"}]),
        ("event: x\nretry: 5\nid: 7\ndata: a\n\n", [{"event": "x", "retry": 5, "id": "7"}]),
        ("retry: soon\nid: \0\nother: x\ndata: a\n\n", [{"data": "a"}]),
        ("data: 1.10\n\n", [{"data": "1.10"}]),
        ("data: {broken\n\n", [{"data": "{broken"}]),
        ("\ufeffdata: a\n\n", [{"data": "a"}]),
        ("data: unfinished", [{"data": "unfinished"}]),
        ("", []),
    ],
)
async def test_events_follow_the_standard(body: str, items: list[dict[str, Any]]) -> None:
    """S2."""
    reader = await read("text/event-stream", [body.encode()])
    assert items_of(reader) == [{"data": "a", **item} for item in items]


@pytest.mark.in_process
def test_json_is_plain_where_any_reader_finds_the_same_value_in_it() -> None:
    """R1: only such a text is put into a message as it is."""
    plain = ['{"a": [1, -0, 0.10, 1.5e3, 1E-5]}', '{"NaN": "Infinity 1e999"}', "9" * 299]
    odd = ["NaN", "[1, -Infinity]", "1e999", '"\\ud83d"']
    assert [text for text in plain if not read_json(text)[1]] == []
    assert [text for text in odd if read_json(text)[1]] == []


@pytest.mark.in_process
@pytest.mark.parametrize("before", [0, 1, 16_382, 16_383, 16_384, 32_767])
def test_half_characters_are_mended_and_whole_ones_are_kept(before: int) -> None:
    """R1: wherever they stand in a long text, also of which one half was escaped."""
    half, whole = "\\ud83d", "\ud83d\\ude00"
    text = f'"{"x" * before}{whole}{half}{half}{whole}"'
    assert read_json(text) == ("x" * before + "😀\ufffd\ufffd😀", False)


@pytest.mark.in_process
async def test_half_characters_are_mended_while_others_run() -> None:
    """F1: in one step, 9 MB of them took 0.45 s."""
    text, heartbeat = (
        f'"{chr(92)}ud800{"a" * 1_500_000}{f"{chr(92)}ud800" * 1_500_000}"',
        Heartbeat(),
    )

    async def mend() -> None:
        await in_thread(partial(read_json, text))

    beating = asyncio.create_task(heartbeat.beat())
    held = await heartbeat.during(mend)
    beating.cancel()
    assert held < 0.1


@pytest.mark.faults
@pytest.mark.in_process
@pytest.mark.parametrize(
    "media_type", ["application/json", "text/event-stream", "application/jsonl"]
)
async def test_a_body_of_small_parts_takes_no_more_memory_than_others(media_type: str) -> None:
    """F1: one of 10 MB took 280 MB as JSON, and 360 as one event."""
    reader = ResponseReader(Limits(), None)
    await reader.start(200, [(b"content-type", media_type.encode())])
    tracemalloc.start()
    for number in range(300_000):
        # Each is an object of its own.
        await reader.write(b"%02d" % (number % 100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reader.size == 600_000
    assert peak < 10_000_000
