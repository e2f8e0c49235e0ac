"""What a media type says about a body: JSON, text, form or bytes."""

from functools import lru_cache
from typing import Final

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"

_TEXTS: Final = frozenset(
    {
        *("application/yaml", "application/x-yaml", "application/toml", "application/sql"),
        *("application/graphql", "application/javascript", "application/x-ndjson"),
        *("application/jsonl", "application/json-seq", "application/rtf", "application/x-sh"),
        # OpenAPI documents in YAML (RFC 9512 §1 names the suffix that this type lacks).
        "application/vnd.oai.openapi",
    }
)


@lru_cache(maxsize=256)
def essence_of(media_type: str) -> str:
    """Return a media type without parameters, in lower case (WHATWG MIME Sniffing §4.2)."""
    return media_type.partition(";")[0].strip().lower()


@lru_cache(maxsize=256)
def is_json(media_type: str) -> bool:
    """Whether the body is one JSON document, e.g. ``application/problem+json``."""
    essence = essence_of(media_type)
    return essence in {"application/json", "text/json"} or essence.endswith("+json")


@lru_cache(maxsize=256)
def is_text(media_type: str) -> bool:
    """Whether a model can write the body as text, e.g. ``application/xml``."""
    essence = essence_of(media_type)
    return (
        essence.startswith("text/")
        or essence in _TEXTS
        or essence.endswith(("/xml", "+xml", "+yaml", "+json-seq"))
    )


@lru_cache(maxsize=256)
def is_any(media_type: str) -> bool:
    """Whether a media type range leaves the type open, e.g. ``*/*``."""
    return essence_of(media_type) in {"*/*", "application/*", "*"}


def rank_media_type(media_type: str) -> int:
    """Rank media types by how well a model can write them; 0 is the best."""
    if is_json(media_type):
        return 0
    order = (MULTIPART, FORM, "text/plain")
    essence = essence_of(media_type)
    if essence in order:
        return order.index(essence) + 1
    return len(order) + (1 if is_text(media_type) else 3 if is_any(media_type) else 2)
