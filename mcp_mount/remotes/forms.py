"""Whether a form asks for a secret, which only a page of the server itself may (MCP "Elicitation").

What a user would type is looked at, by what stands beside it: the name of the field, its title, its
description, and what is said of the whole form. What a user can only choose or tick is no secret.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from mcp_mount.remotes.words import fold, read_words


def _spread(*words: str) -> str:
    """Return an expression for words whose letters may stand apart, as in ``pa ss.word``."""
    return "|".join("[ .]?".join(word) for word in words)


_ABOUT: Final = (
    r"(?:age|attempts|budgets?|colou?rs?|counts?|descriptions?|expiry|labels?|lengths?|lifetime"
    r"|limits?|managers?|names?|policy|policies|positions?|scopes?|strength|types?|usage)\b"
)
"""What is no secret, but something about one. After a blank: "password (length 8)" asks for one."""

_PASSWORDS: Final = ("password", "passwort", "passwd", "passphrase", "passcode")
_FOREIGN: Final = (
    # Norwegian, German, Dutch, Swedish, Danish, Spanish, Portuguese, French, Polish, Czech,
    r"passord|kennwort|geheimzahl|wachtwoord|lösenord|adgangskode|contraseñas?|senhas?"
    r"|mots? de passe|hasł[oa]|hesl[oa]"
    # Hungarian, Finnish, Turkish, Croatian, Slovenian, Vietnamese, Indonesian.
    r"|jelszó|salasana|şifre(?:niz)?|lozink[ae]|geslo|mật khẩu|kata sandi"
)
_FOREIGN_PARTS: Final = (
    "парол|пин ?код|κωδικο[σς] προσβασ|密码|密碼|口令|パスワード|暗証番号|비밀번호"
    "|كلمة المرور|كلمة السر|סיסמ[הא]|รหัสผ่าน|पासवर्ड"
)
"""Words that have endings, or nothing between them and the next one."""

_PASSWORD: Final = (
    rf"(?:{'|'.join(_PASSWORDS)}|\b(?:{_spread(*_PASSWORDS)}))(?!s? ?{_ABOUT})"
    rf"|\b(?:{fold(_FOREIGN)})\b|{fold(_FOREIGN_PARTS).casefold()}"
    rf"|\b(?:(?:bank|credit|debit|payment) ?card|card ?numbers?)\b(?! {_ABOUT})"
)
_KEY: Final = (
    rf"(?:secret|\b{_spread('secret')})(?:code|key|phrase|token|value|word)?s?\b(?! {_ABOUT})"
    rf"|credentia[li]s?\b(?! {_ABOUT})"
    rf"|(?:\b(?:api|access|encryption|signing) ?|private ?|api)keys?\b(?! {_ABOUT})"
    r"|\b(?:mnemonic|recovery|seed) ?(?:phrase|words?)\b"
    rf"|(?<!max )(?<!max)(?<!\bof )(?<!berof)tokens?\b(?! {_ABOUT})"
)
_CODE: Final = (
    r"(?<!\bboard )(?<!\bgpio )(?<!\bmap )(?<!\bpostal )"
    r"\b(?:atm|bank|card|login|my|sim|user|your)?(?:pins?|pin ?codes?)\b"
    rf"(?! (?:it|this|to)\b| {_ABOUT})"
    r"|\b(?:totp|otps?|otp ?codes?|cvv|cvc|bearer|jwts?|pwd|pswd)\b"
    r"|\b(?:access|authentication|backup|fa|login|mfa|one ?time|recovery|security|sms|verification)"
    r" ?(?:pass)?codes?\b"
    r"|^pass$"
)
"""What is asked for so by a name or a sentence alone: a description may speak of other pins."""

_ASKED: Final = (
    r"\b(?:enter|input(?! tokens)|insert|paste|provide|submit|supply|type|what(?: ?i?s)?"
    r"|(?:give|send|show|tell) (?:me|us)|need(?= your\b))"
    r"(?: (?!(?:after|and|before|for|how|label|link|mail|name|of|or|that|title|to|url|where|which"
    r"|whose|why|with)\b)\w{1,20}){0,5}? "
)
_OWN: Final = (
    r"(?:^|\.)(?:(?:a|account|admin|an|bank|card|confirm|current|digit|login|master|my|new|old"
    r"|please|the|user|your) ){0,6}"
)
_END: Final = r"(?:$|\.| please\b| (?:for|from|of) (?:my|the|your)\b)"

_NAME: Final = re.compile(f"{_PASSWORD}|{_CODE}|{_KEY}")
_NUMBER: Final = re.compile(f"{_PASSWORD}|{_CODE}")
"""The name of a number: keys and tokens are none, but APIs count tokens."""

_DESCRIPTION: Final = re.compile(f"{_PASSWORD}|{_KEY}")


def _asking_for(name: re.Pattern[str]) -> re.Pattern[str]:
    """Return what finds where a text asks for what has such a name, and not only tells of it."""
    return re.compile(f"{_ASKED}(?:{name.pattern})|{_OWN}(?:{name.pattern}){_END}")


_TOLD: Final = re.compile(
    r"\b(?:(?:id|names?|path|title) (?:for|of)|(?:never|not) (?:enter|include|put)|whose)"
    rf"(?: (?!(?:and|but|then)\b)\w{{1,20}}){{0,5}}? (?:{_PASSWORD}|{_KEY})"
)
"""What tells of a secret by its name, its owner, or to leave it out."""

_SENTENCE: Final = _asking_for(_NAME)
_SENTENCE_OF_NUMBER: Final = _asking_for(_NUMBER)

_WITHIN: Final = frozenset({"anyOf", "oneOf", "allOf", "items"})
"""Where a schema holds others that are of the same field."""

_BY_NAME: Final = frozenset({"properties", "$defs", "definitions"})
"""Where it holds others by their names."""

_MORE: Final = _WITHIN | {"$ref", "properties"}
"""What a schema has that says more than its own ``type``."""

_NUMBERS: Final = frozenset({"integer", "number", "null"})


def asks_for_secret(message: str, form: Mapping[str, Any]) -> bool:
    """Whether a form, or the message before it, asks for what no form may.

    A form has no fields in fields (MCP "Elicitation"), but a client may show them.
    """

    @cache
    def read(text: str) -> list[str]:
        return [_TOLD.sub("", each) for each in read_words(text)]

    # A field may have thousands of schemas: what is said of it is read once.
    @cache
    def find(pattern: re.Pattern[str], text: str) -> bool:
        return any(pattern.search(each) for each in read(text))

    fields = form.get("properties")
    if not isinstance(fields, Mapping):
        fields = {"": form}
    typed = [each for each in fields.values() if not _is_chosen(each)]
    sentence = _SENTENCE_OF_NUMBER if all(map(_is_number, typed)) else _SENTENCE
    around = [message, form.get("title"), form.get("description")]
    if (typed or not _MORE.isdisjoint({*form} - {"properties"})) and any(
        find(sentence, each) for each in around if isinstance(each, str)
    ):
        return True
    return any(
        _is_secret(key, field, find)
        for key, field in _schemas_in(form)
        if field is not form or fields.get("") is form
    )


def _schemas_in(value: object, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each schema in one that a user could type into, with the name of its field."""
    if isinstance(value, list):
        for each in value:
            yield from _schemas_in(each, key)
    elif isinstance(value, Mapping) and not _is_chosen(value):
        yield key, value
        for name, each in value.items():
            if name in _BY_NAME and isinstance(each, Mapping):
                for own, schema in each.items():
                    yield from _schemas_in(schema, own)
            else:
                yield from _schemas_in(each, key if name in _WITHIN else name)
    elif value is True:  # As a schema it accepts anything, a secret too.
        yield key, {}


def _is_secret(
    key: str, field: Mapping[str, Any], find: Callable[[re.Pattern[str], str], bool]
) -> bool:
    said = [field.get(each) for each in ("format", "title", "description")]
    if any(isinstance(each, list) for each in said):
        return True  # No title, but what a client may show as one.
    kind, title, description = (each if isinstance(each, str) else "" for each in said)
    is_number = _is_number(field)
    name, sentence = (_NUMBER, _SENTENCE_OF_NUMBER) if is_number else (_NAME, _SENTENCE)
    # A client may show a default, or a word that it knows and we do not.
    more = [each for each in field.values() if isinstance(each, str) and each is not title]
    return (
        find(_NAME, kind)
        or any(find(name, each) for each in (key, title))
        or any(find(sentence, each) for each in more)
        or (not is_number and find(_DESCRIPTION, description))
    )


def _is_number(field: object) -> bool:
    return isinstance(field, Mapping) and _kinds_of(field) <= _NUMBERS and _MORE.isdisjoint(field)


def _is_chosen(field: object) -> bool:
    """Whether a user ticks or chooses what a field gets, in every client.

    A choice is as MCP says that it looks ("Elicitation", "Enum Schema"): some clients show another
    one as a text to type.
    """
    if not isinstance(field, Mapping):
        return False
    kinds, more = _kinds_of(field), field.keys() & _MORE
    if "boolean" in kinds:
        return kinds <= {"boolean", "null"} and not more
    if kinds == {"array"} and more == {"items"}:
        items = field["items"]
        return isinstance(items, Mapping) and _is_choice(items, "anyOf")
    return kinds <= {"string", "null"} and _is_choice(field, "oneOf")


def _is_choice(field: Mapping[str, Any], titled: str) -> bool:
    choices = [field[each] for each in ("enum", titled) if each in field]
    return (
        bool(choices)
        and field.keys() & _MORE <= {titled}
        and all(isinstance(each, list) and each and all(map(_is_value, each)) for each in choices)
    )


def _is_value(option: object) -> bool:
    return isinstance(option.get("const") if isinstance(option, Mapping) else option, str)


def _kinds_of(field: Mapping[str, Any]) -> set[str]:
    kind = field.get("type", "string")
    return {str(each) for each in kind} if isinstance(kind, list) and kind else {str(kind)}
