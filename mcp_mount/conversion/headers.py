"""What headers say of a body: its media type, its charset, its file. Pure."""

import codecs
from email.message import Message
from email.utils import collapse_rfc2231_value
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache
from typing import Final

# Characters of a header with parameters; the longest are file names, percent-encoded and plain.
_LONGEST_HEADER: Final = 2_000
# Python keeps each name that it is asked for, also where there is no such charset.
_CHARSETS: Final = frozenset({*aliases, *aliases.values()}) | {
    *("cp720", "cp737", "cp856", "cp874", "cp875", "cp1006", "koi8_t", "koi8_u", "palmos"),
    *("mac_arabic", "mac_croatian", "mac_farsi", "mac_romanian", "utf_8_sig"),
}
# Text encodings of Python's own, which fail on bytes where a charset replaces them.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)


def read_content_type(value: str) -> tuple[str, str]:
    """Return media type and charset."""
    return _read_content_type(value[:_LONGEST_HEADER])


@lru_cache(maxsize=256)
def _read_content_type(value: str) -> tuple[str, str]:
    """Do so; an app has few of them, and reading one takes a while."""
    message = _parse("content-type", value)
    charset = known_charset(str(_parameter(message, "charset", "content-type") or "utf-8"))
    return message.get_content_type(), charset or "utf-8"


def read_filename(disposition: str) -> str | None:
    """Return the file name that ``Content-Disposition`` gives (RFC 6266), without folders."""
    message = _parse("content-disposition", disposition)
    given = _parameter(message, "filename", "content-disposition")
    if isinstance(given, tuple):
        charset, language, text = given
        if (known := known_charset(charset or "us-ascii")) is None:
            return None
        given = (known, language, text)
    try:
        name = collapse_rfc2231_value(given).strip().replace("\\", "/").rpartition("/")[2]
        name.encode()
    except ValueError:
        # It is written in a charset that writes no text.
        return None
    return None if name in {"", ".", ".."} else name


def known_charset(charset: str) -> str | None:
    """Return Python's name of a charset that can be read; None for any other."""
    name = normalize_encoding(charset.lower())
    if name not in _CHARSETS:
        return None
    try:
        # `base64` and its like have a decoder, but are no text encodings; this tells them apart.
        b" ".decode(name, "replace")
        return None if codecs.lookup(name).name in _NO_CHARSETS else name
    except (LookupError, ValueError):
        return None


def _parse(name: str, value: str) -> Message:
    """Return a message with one header, which reads its parameters.

    What is too long to be a header of its kind is cut: the time that is taken by the parameters
    grows with the square of their length.
    """
    message = Message()
    message[name] = value[:_LONGEST_HEADER]
    return message


def _parameter(
    message: Message, name: str, header: str
) -> str | tuple[str | None, str | None, str]:
    try:
        return message.get_param(name, "", header)
    except TypeError:
        # Python's reader sorts the parts (RFC 2231 §3), and not each of these has a number.
        return ""
