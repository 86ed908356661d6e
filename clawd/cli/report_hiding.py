"""What a bug report must not tell: secrets, who people are, and what they wrote.

Secrets become `***`. People and chats become short hashes, the same for the same one in every report of an
installation, so that two lines about one chat are seen to be so; nobody can count back from them, as the key
of the hash stays on the host. What people wrote becomes its length.
"""

from __future__ import annotations

import hmac
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from clawd.config.secrecy import MASK, mask_urls, names_secret
from clawd.observability.redact import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clawd.observability.redact import Redactor
    from clawd.response import JsonObject, JsonValue

_LONGEST: Final = 400
"""Characters of a text that are kept: errors may quote whatever they choke on."""

_URL: Final = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,12}://(?:[^\s/'\"<>]*\[[0-9a-f:.]+\])?[^\s'\"<>)\]]*", re.IGNORECASE
)
_PLAIN_STEP: Final = re.compile(r"[a-z][a-z_-]{0,19}|v\d{1,2}[a-z]*|")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w.-]+")  # also one that was cut
_HANDLE: Final = re.compile(r"(?<![\w.])@\w{3,}")
_NUMBER: Final = re.compile(
    r"(?<![\w.:-])-?\d{6,}(?![\w:])(?! ?(?:[kMG]?B|bytes|tokens|rows|characters|m?s)\b)"
)
"""What may be the id of a person or chat, wherever a text has it; times, sizes with units and versions are none."""
_OPEN_ID: Final = re.compile(r"\bo[A-Za-z0-9_-]{27}\b")  # of WeChat
_WORD: Final = re.compile(r"\w{4,}")

_IDS: Final = frozenset({"allow", "owners", "groups", "without_mention", "chat", "user", "conversation"})
_NAMES: Final = frozenset({"app_id", "bot_id", "bot_name"})
_PATHS: Final = frozenset(
    {"state_dir", "ca_file", "cert", "local_dir", "path", "workdir", "readable", "writable", "include"}
)
_TOLD: Final = frozenset(
    {"type", "mode", "model", "models", "preset", "strategy", "busy", "on_unknown", "sandbox", "approval"}
    | {"default", "grant", "rate", "host", "level", "format", "profile", "language", "zone", "on_ambiguous"}
    | {"severity", "scopes", "bridge", "omit", "beta", "client_version", "prefix", "stderr", "file", "as_of"}
)
"""Keys whose texts are words of ours or names of models and bridges. All others are told by their length."""


class Hider:
    """Hides, with what is known of one installation.

    Args:
        redactor: Knows the secrets.
        key: Of the hashes; stays here.
        home: The home directory, which names its owner.
    """

    def __init__(self, redactor: Redactor, key: bytes, home: str = "") -> None:
        self._redactor = redactor
        self._key = key
        self._home = home.rstrip("/")
        self._known: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def id(self, text: str, kind: str = "id") -> str:
        """Return what stands for a person, chat or name: `KIND-` and 8 hexadecimal digits."""
        return f"{kind}-{hmac.new(self._key, text.encode(errors='replace'), 'sha256').hexdigest()[:8]}"

    def know(self, texts: Iterable[str]) -> None:
        """Hide these ids and names, and the longer words of names, wherever a text has them."""
        for text in texts:
            for part in (text, *_WORD.findall(text)):
                if len(part) > 2 and part != "*":
                    self._known.setdefault(part, self.id(part))
        ordered = sorted(self._known, key=len, reverse=True)
        joined = "|".join(map(re.escape, ordered))
        self._pattern = re.compile(rf"(?<!\w)(?:{joined})(?!\w)") if ordered else None

    def text(self, text: str) -> str:
        """Return a text of clawd or of a program that it speaks to, with nothing of people in it."""
        text = self._redactor.clean(text)
        text = _URL.sub(lambda url: self.url(url[0]), mask_urls(text))
        if self._home:
            text = text.replace(self._home, "~")
        if self._pattern is not None:
            text = self._pattern.sub(lambda found: self._known[found[0]], text)
        text = _EMAIL.sub(lambda found: self.id(found[0]), text)
        for pattern in (_OPEN_ID, _HANDLE, _NUMBER):
            text = pattern.sub(lambda found: self.id(found[0].lstrip("@")), text)
        return (
            text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text) - _LONGEST} more characters)"
        )

    def path(self, text: str) -> str:
        """Return a path with the home directory as `~`."""
        clean = self._redactor.clean(text)
        return clean.replace(self._home, "~", 1) if self._home and clean.startswith(self._home) else clean

    def url(self, text: str) -> str:
        """Return a URL without user, query and fragment, and without steps of its path that are no plain words.

        Some services have their secret in the path.
        """
        text = self._redactor.clean(text)
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return f"{text.partition(':')[0]}://…"
        steps = [step if _PLAIN_STEP.fullmatch(step) else "…" for step in parts.path.split("/")]
        place = f"[{host}]" if ":" in host else host
        return f"{parts.scheme}://{place}{f':{port}' if port else ''}{'/'.join(steps)}" + (
            "?…" if parts.query else ""
        )

    def address(self, text: str) -> str:
        """Return the address of a conversation: its bridge, and who and where as hashes."""
        bridge, *rest = text.split(":")
        return ":".join([bridge, *(self.id(part) for part in rest)]) if rest else self.id(text)

    def config(self, config: Mapping[str, Any]) -> JsonObject:
        """Return a configuration as `clawd.config.view.view` shows it, with nobody in it."""
        return {str(key): self._setting(str(key), value, (str(key),)) for key, value in config.items()}

    def _setting(self, key: str, value: Any, path: tuple[str, ...]) -> JsonValue:
        if isinstance(value, dict):
            return {
                str(name): self._setting(str(name), part, (*path, str(name))) for name, part in value.items()
            }
        if isinstance(value, list):
            return [self._setting(key, part, path) for part in value]
        if value is None or isinstance(value, bool):
            return value
        if value == "*":
            return "*"
        if key in _IDS and path[0] != "tools":
            return self.address(str(value))
        if isinstance(value, int | float):
            return value
        return self._word(key, str(value), path)

    def _word(self, key: str, text: str, path: tuple[str, ...]) -> str:
        if text in (MASK, HIDDEN) or names_secret(key):
            return HIDDEN
        if "://" in text:
            return _URL.sub(lambda url: self.url(url[0]), text)
        if key in _NAMES or (key == "name" and path[0] == "gateway"):
            return self.id(text, "name")
        if key in _PATHS:
            return self.path(text)
        if key in _TOLD or (key == "name" and path[0] == "models"):
            return self._redactor.clean(text)
        return written(text)


def written(text: str) -> str:
    """Return what stands for something that a person wrote."""
    return f"<{len(text)} characters>"


def key_of(state_dir: Path) -> bytes:
    """Return a key that this installation keeps to itself: that of the gateway's token, else the machine's."""
    for path in (state_dir / "gateway.token", Path("/etc/machine-id")):
        try:
            if found := path.read_bytes():
                return b"clawd report\0" + found
        except OSError:
            continue
    return b"clawd report\0" + str(state_dir).encode()
