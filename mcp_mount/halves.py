"""Halves of characters (lone surrogates), which JSON can hold and no encoder writes.

Clients refuse a whole list for one of them, so each becomes U+FFFD where it comes in. Pure.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

ESCAPED: Final = r"\\u[dD][89a-fA-F]"
"""Half a character in JSON, of which the other half may be missing."""

# Parts of a text in which the two halves of a character stay together.
_PARTS: Final = re.compile(r"(?s).{1,16384}(?:(?<=[\ud800-\udbff])[\udc00-\udfff])?")


def mend(value: object) -> Any:
    """Replace half characters in what JSON can be made of."""
    if isinstance(value, str):
        return mend_text(value)
    if isinstance(value, list | tuple):
        return [mend(item) for item in value]
    if isinstance(value, Mapping):
        return {str(mend(key)): mend(item) for key, item in value.items()}
    return value


def mend_text(text: str) -> str:
    """Replace half characters; two that are one character become that."""
    if text.isascii():
        return text
    # Part by part: a step of a megabyte would hold up the process.
    return "".join(map(_mend_part, _PARTS.findall(text)))


def _mend_part(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def mend_document(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a document without half characters: the same where it has none, which is soon seen.

    Raises:
        ValueError: it holds itself.
        RecursionError: it is nested too deeply.
    """
    try:
        json.dumps(dict(document), ensure_ascii=False, skipkeys=True, default=str).encode()
    except UnicodeEncodeError:
        return dict(mend(document))
    return document
