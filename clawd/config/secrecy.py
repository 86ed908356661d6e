"""What of a configuration is secret: by its type, by the name of its key, or by its place in a URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from clawd.config.base import Secret
from clawd.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MASK: Final = "**********"

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
# Words that name a secret wherever they stand in a key, and those that do at its end: `key_id` is none.
_ANYWHERE: Final = frozenset(
    {"secret", "secrets", "pass", "password", "passwords", "passwd", "passphrase", "pwd", "credential"}
    | {"credentials", "authorization", "authentication", "bearer", "cookie", "cookies", "signature"}
)
_AT_THE_END: Final = frozenset({"key", "token", "auth"})
_KINDS: Final = frozenset({"api", "access", "auth", "bot", "secret", "private"})  # before `keys` and `tokens`
_RUN_TOGETHER = re.compile(r"(?:api|access|auth|bot|private|refresh)(?:key|token)s?")
_MISSPELT: Final = ("token", "secret", "password", "credential", "authorization")

_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]+)(?=@)")
_URL_VALUE = re.compile(r"([?&]([^=&\s#]+)=)([^&\s#]+)")
# A part of a URL that nobody would write by hand: long, with digits or capitals among the letters.
_RANDOM = re.compile(r"(?=.*[0-9A-Z])[\w.~%=:+-]{16,}")
# Keys of addresses that others gave out, perhaps with a key in their path: chat services do.
_CALLED: Final = frozenset({"url", "callback_url"})
_URL_NAMES: Final = frozenset({"code", "sig", "sign"})  # name a secret in a URL's query, and nowhere else


def names_secret(key: str) -> bool:
    """Whether the value behind a key of this name is a secret: `api_key` and `botToken`, not `max_tokens`.

    A word that is nearly one of those counts too, since mistakes are quoted with their line.
    """
    words = [word.lower() for word in _WORD.findall(key)]
    if not words:
        return False
    *before, last = words
    if last in _AT_THE_END or any(word in _ANYWHERE or _RUN_TOGETHER.fullmatch(word) for word in words):
        return True
    if last in ("keys", "tokens"):
        return not before or before[-1] in _KINDS
    if before and before[-1] in _KINDS and nearest(last, ("key",)):
        return True
    return bool(nearest(last, _MISSPELT, cutoff=0.8))


def names_secret_in_url(name: str) -> bool:
    """Whether a name in a URL's query stands before a secret."""
    return name.lower() in _URL_NAMES or names_secret(name)


def mask_urls(text: str) -> str:
    """Return the text with the passwords and all query values of its URLs masked."""
    if "://" not in text:
        return text
    return _URL_VALUE.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1:{MASK}", text))


def mask_paths(key: str, url: str) -> str:
    """Return the address behind this key with what looks like a key in its path masked."""
    if key not in _CALLED or "://" not in url:
        return url
    path, mark, rest = url.partition("?")
    return "/".join(MASK if _RANDOM.fullmatch(part) else part for part in path.split("/")) + mark + rest


def secrets_in_urls(text: str) -> Iterator[str]:
    """Yield the passwords and keys that URLs in the text carry: of proxies, endpoints, callbacks."""
    for match in _URL_PASSWORD.finditer(text):
        yield match[2]
    for match in _URL_VALUE.finditer(text):
        if names_secret_in_url(match[2]):
            yield match[3]


def secrets_in_path(url: str) -> Iterator[str]:
    """Yield what is secret of a URL that may hold a key anywhere: servers quote the path alone, or a part of it."""
    address, _, query = url.partition("#")[0].partition("?")
    host, _, path = address.partition("://")[2].partition("/")
    if not host:
        return
    if any(_RANDOM.fullmatch(part) for part in path.split("/")):
        yield f"/{path}"
        yield from (part for part in path.split("/") if _RANDOM.fullmatch(part))
    yield from (value for pair in query.split("&") if _RANDOM.fullmatch(value := pair.partition("=")[2]))


def is_plain_url(text: str) -> bool:
    """Whether a text is a URL that carries no secret as far as one can see: no password, no key, nothing random."""
    address, _, query = text.partition("?")
    scheme, separator, rest = address.partition("://")
    host, _, path = rest.partition("/")
    if not separator or scheme.lower() not in ("http", "https") or "@" in host:
        return False
    pairs = [pair.partition("=") for pair in query.partition("#")[0].split("&")]
    values = [value for _, _, value in pairs]
    return not any(names_secret_in_url(name) for name, _, _ in pairs) and not any(
        _RANDOM.fullmatch(part) for part in (*path.split("/"), *values)
    )


def secret_values(value: object) -> Iterator[Secret]:
    """Yield every `Secret` below a section."""
    for _, leaf in _leaves(value, ""):
        if isinstance(leaf, Secret):
            yield leaf


def secrets_in(value: object) -> Iterator[str]:
    """Yield what must never be printed of a section: secrets, what a key names so, and what URLs carry."""
    for key, leaf in _leaves(value, ""):
        if isinstance(leaf, Secret):
            yield leaf.reveal()
            yield from secrets_in_path(leaf.reveal())
        elif isinstance(leaf, str):
            if names_secret(key):
                yield leaf
            yield from secrets_in_urls(leaf)
            if key in _CALLED:
                yield from secrets_in_path(leaf)


def hide_values(line: str, hide: Callable[[str], str]) -> str:
    """Return a line of YAML with each value behind a key that names a secret replaced; references stay."""
    done, rest = "", line
    while match := _KEY.search(rest):
        done, rest = done + rest[: match.end()], rest[match.end() :]
        if names_secret(match[1]) and (value := _VALUE.match(rest)):
            done, rest = done + hide(value[0]), rest[value.end() :]
    return done + rest


_KEY = re.compile(r"""([A-Za-z][\w-]*)["']?\s*:(?!//)\s*""")
_VALUE = re.compile(r"""\[[^\]{]*(?:\]|$)|"[^"]*"?|'[^']*'?|[^\s{,}\[\]][^,}\n]*""")


def _leaves(value: object, key: str) -> Iterator[tuple[str, object]]:
    parts: Iterable[tuple[str, object]]
    if isinstance(value, BaseModel):
        parts = ((name, getattr(value, name)) for name in type(value).model_fields)
    elif isinstance(value, Mapping):
        parts = ((str(name), part) for name, part in value.items())
    elif isinstance(value, tuple | list | frozenset):
        parts = ((key, part) for part in value)
    else:
        yield key, value
        return
    for name, part in parts:
        yield from _leaves(part, name)
