"""Forms of other servers: no secret is asked for, however it is written, and honest ones pass."""

# ruff: noqa: RUF001 - letters that look like others are what some of this is about.
from typing import Any

import pytest

from mcp_mount.remotes.forms import asks_for_secret
from mcp_mount.remotes.text import clean_json

Fields = dict[str, Any]

TEXT: Fields = {"type": "string"}
NUMBER: Fields = {"type": "integer"}
TICK: Fields = {"type": "boolean"}


def form(*, root: Fields | None = None, **fields: Any) -> Fields:
    return {"type": "object", "properties": fields, **(root or {})}


def is_refused(message: str, asked: Fields) -> bool:
    return asks_for_secret(message, clean_json(asked))


WRITTEN = {
    "capitals": ("РАSSWORD", "ΡΙΝ", "PIИ", "PaSsWoRd", "USER PIN"),
    "small capitals": ("ᴘᴀꜱꜱᴡᴏʀᴅ",),
    "other scripts": ("ꓑꓮꓢꓢꓪꓳꓣꓓ", "ᏢᎪᏚᏚᏔoᎡᎠ", "se\u0441ret", "🅿🅸🅽", "🇵🇮🇳", "ⓅⒾⓃ"),
    "accents": ("pássword", "p\u0323in"),
    "invisible": (
        "pass\u034fword",
        "pa\ufe0fss\U000e0101word",
        "p\u3164i\u115fn",
        "tok\U000e0041en",
    ),
    "digits": ("passw0rd", "p4$$w0rd", "t0ken", "P1N", "CVV2", "password1"),
    "written together": ("accesstoken", "clientsecret", "bearerToken", "PINcode", "userpin"),
    "apart": ("pa ss wo rd", "P.I.N.", "s e c r e t", "API-Key", "密 码"),
    "Latin": ("Passwort", "mot de passe", "Contraseña", "hasło", "mật khẩu"),
    "not Latin": ("ПАРОЛЬ", "пароль", "密码", "パスワード", "비밀번호"),
    "more in brackets": ("Password (length 8)", "Token (usage: paste it here)"),
    "more": (
        "Seed phrase",
        "verification code",
        "Credit card number",
        "cardNumber",
        "access code",
        "credentiaIs",
        "pwd",
    ),
}


@pytest.mark.parametrize("title", [each for several in WRITTEN.values() for each in several])
def test_a_word_is_the_same_however_it_is_written(title: str) -> None:
    """Gateway, MCP "Elicitation": as the name and as the title of a field."""
    assert is_refused("", form(**{title: TEXT}))
    assert is_refused("", form(a={**TEXT, "title": title}))


@pytest.mark.parametrize(
    "asked",
    [
        form(pin=NUMBER),
        form(otp={"type": "number"}),
        form(password={"type": ["integer", "null"]}),
        form(a={**NUMBER, "title": "CVV"}),
        form(a={**NUMBER, "description": "Your 4-digit PIN"}),
        form(password={"type": "String"}),
        form(password={"type": ["boolean", "string"]}),
        form(password={"type": "array"}),
        form(a={"type": "array", "title": "API keys", "items": TEXT}),
        form(password={**TEXT, "enum": "x"}),
        form(password={**TEXT, "enum": []}),
        form(pin={**NUMBER, "enum": [1]}),
        form(password={**TEXT, "oneOf": [{"const": "a"}, TEXT]}),
        form(password={**TEXT, "enum": ["a"], "anyOf": [TEXT]}),
        form(a={**TICK, "title": "Password", "anyOf": [TEXT]}),
        form(a={**TEXT, "format": "Password"}),
        form(a={**TEXT, "default": "Enter your password"}),
        form(a={**TEXT, "placeholder": "Your password"}),
        form(a={**TEXT, "title": "User name and password"}),
        form(a={**TEXT, "description": "The name of the token, and the token"}),
        form(a={**TEXT, "description": "Name of the account and its password"}),
        form(properties={**TEXT, "title": "Password"}),
        form(a=TEXT, root={"title": "Password"}),
        form(root={"anyOf": [form(password=TEXT)]}),
        form(password=TEXT, root={"type": "boolean"}),
        {"type": "string", "title": "Password"},
    ],
)
def test_what_can_be_typed_is_looked_at_whatever_its_schema_says(asked: Fields) -> None:
    assert is_refused("", asked)


@pytest.mark.parametrize(
    "message",
    [
        "Please enter your password",
        "Type your GitHub token:",
        "Password:",
        "Hello!\nYour PIN?",
        "What is your API key?",
        "Send us the secret.",
        "We need your PIN",
    ],
)
def test_a_message_that_asks_for_a_secret_has_no_form(message: str) -> None:
    assert is_refused(message, form(a=TEXT))
    assert not is_refused(message, form(a=TICK))


@pytest.mark.parametrize(
    "message",
    [
        "Which repository?",
        "Your password was reset. Which user was it?",
        "Please enter the name for your new access token",
        "Give the new token a name",
        "Enter the e-mail to which we send the password link",
        "Input tokens: 500. Why go on?",
        "Provide a reason why the token expires",
        "Confirm token deletion: why?",
    ],
)
def test_a_message_may_speak_of_secrets(message: str) -> None:
    assert not is_refused(message, form(a=TEXT))


CHOICES = [{"const": "p", "title": "Password"}, {"const": "t", "title": "Token"}]


@pytest.mark.parametrize(
    "asked",
    [
        form(spinning=TEXT, opinion=TEXT, pinned=TEXT, passport=TEXT, monkey=TEXT, zip_code=TEXT),
        form(a={**TEXT, "title": "The compass word"}),
        form(a={**TEXT, "title": "Reply to Ken"}),
        form(a={**TEXT, "title": "Amount in PLN"}, price_pln=NUMBER),
        form(a={**TEXT, "title": "암호화폐"}, b={**TEXT, "title": "Palabra clave"}),
        form(tokens=NUMBER, max_tokens=NUMBER, token_count=NUMBER, tokensPerMinute=NUMBER),
        form(n={**NUMBER, "title": "Tokens", "description": "Tokens to buy"}),
        form(maxTokens=TEXT, tokenName=TEXT, secret_name=TEXT),
        form(a={**TEXT, "description": "The name of the secret to read"}),
        form(a={**TEXT, "description": "Path of the file that holds the password"}),
        form(a={**TEXT, "title": "Name for the new API key"}),
        form(a={**TEXT, "title": "User whose password is to be reset"}),
        form(a={**TEXT, "description": "What happened? Do not include passwords."}),
        form(password_length=NUMBER, secret_number=NUMBER, gpio_pin=NUMBER),
        form(pin={**TICK, "title": "Pin this article"}),
        form(a={**TEXT, "title": "Pin this article"}),
        form(a={**TEXT, "title": "Postal PIN code"}),
        form(auth={**TEXT, "oneOf": CHOICES}, token={**TEXT, "title": "Token", "oneOf": CHOICES}),
        form(tokens={"type": "array", "items": {"anyOf": CHOICES}}),
        form(tokens={"type": "array", "items": {**TEXT, "enum": ["a"]}}),
    ],
)
def test_honest_forms_are_passed_on(asked: Fields) -> None:
    assert not is_refused("", asked)
