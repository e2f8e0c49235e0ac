"""The words of a text, however they are written. Pure.

What looks alike is the same word: in capitals, with accents, in letters of another script (those of
Unicode's list of confusables that stand for one Latin letter, UTS #39 §4, and those used for fun),
with digits for letters, in single letters, or with something invisible within.
"""

# ruff: noqa: RUF001 - the table is of letters that look like others.
import re
import unicodedata
from typing import Final

_LIKE: Final = {
    "a": "ɑΑαАаᎪᴀꓮ",
    "b": "ƄʙΒВвЬьᏏᏴꓐꞴ",
    "c": "СсᏟᴄꓚꮯ",
    "d": "ðđԁᎠᏧᴅꓒꓓ",
    "e": "ΕεЕеҽᎬᴇꓰꬲ",
    "f": "ϜքẝꓝꜰꞘꞙꬵ",
    "g": "ƍɡɢԌցᏀᏳᶃꓖ",
    "h": "ħʜΗНнһհᎻᏂꓧ",
    "i": "ıɩɪΙιІіӀӏᎥꙇꭵ",
    "j": "ͿϳЈјᎫᴊꓙꞲ",
    "k": "ΚκКкᏦᴋꓗ",
    "l": "łƖǀʟᏞꓡꓲ",
    "m": "ΜϺМмᎷᴍꓟ",
    "n": "ɴΝηПпИиոռꓠ",
    "o": "øØΟοОоՕօᴏᴑꓳꬽ",
    "p": "ΡρРрᏢᴘꓑ",
    "r": "ƦʀГгЯяᎡᏒᴦꓣꭇꭈꮁ",
    "s": "ƽЅѕՏᏕᏚꓢꜱꮪ",
    "t": "ŧΤτТтᎢᴛꓔ",
    "u": "ʋυՍսᴜꓴꞟꭎꭒ",
    "v": "νѴѵᏙᴠꓦꮩ",
    "w": "ɯωѡԜԝШшաᎳᏔᴡꓪꮃ",
    "x": "ΧχХхꓫ",
    "y": "ɣʏΥγУуҮүᎩᎽᶌỿꓬꭚ",
    "z": "ΖᏃᴢꓜꮓ",
}
_BOXED: Final = (0x1F150, 0x1F170, 0x1F1E6)
"""Where the alphabets in black circles, in black squares and for flags begin; NFKD leaves them."""

_LATIN: Final = str.maketrans(
    {other: letter for letter, others in _LIKE.items() for other in others}
    | {chr(first + n): chr(ord("a") + n) for first in _BOXED for n in range(26)}
)
_DIGITS: Final = str.maketrans("013457@$!|", "oieastasii")
_LIGATURES: Final = str.maketrans("\ufdfa\ufdfb", "  ")
"""Whole sentences in one letter, of 18 and 8 others; no other stands for more than six."""

_FILLERS: Final = "\u115f\u1160"
"""Letters that nobody sees, which all the others of their kind come to."""

_NEW_WORD: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_BETWEEN: Final = re.compile(r"[\W\d_]+")
_ONE_BY_ONE: Final = re.compile(r"\b\w(?:[ .]\w\b)+")


def fold(text: str) -> str:
    """Return a text without marks, in Latin letters where it looks like them; capitals stay."""
    # Without marks first: to put many of them in order takes longer than there are.
    plain = unicodedata.normalize("NFKD", _without_marks(text).translate(_LIGATURES))
    return _without_marks(plain).translate(_LATIN)


def read_words(text: str) -> tuple[str, ...]:
    """Return the ways to read a text: small letters, its words apart.

    Between two words is a blank, or a dot where more than `-`, `_` or digits is between them:
    ``"userPIN (4)"`` is ``"user pin."`` and ``"userpin.a"``.
    """
    plain = fold(text)
    ways = (_NEW_WORD.sub(" ", plain), plain.translate(_DIGITS))
    return tuple(dict.fromkeys(_split(each.casefold()) for each in ways))


def _split(text: str) -> str:
    apart = _BETWEEN.sub(lambda found: "." if found[0].strip(" _-0123456789") else " ", text)
    return _ONE_BY_ONE.sub(lambda found: re.sub("[ .]", "", found[0]), apart.strip())


def _without_marks(text: str) -> str:
    if text.isascii():
        return text
    return "".join(
        each for each in text if unicodedata.category(each)[0] not in "MC" and each not in _FILLERS
    )
