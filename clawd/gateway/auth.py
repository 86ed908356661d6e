"""Bearer tokens: who is asking, and what the token allows."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from clawd.errors import ConfigError, ConfigProblem
from clawd.gateway.problems import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multidict import MultiMapping

    from clawd.config.schema import TokenConfig

log = logging.getLogger(__name__)

Scope = Literal["chat", "metrics", "admin"]

TOKEN_FILE: Final = "gateway.token"  # noqa: S105 - a file's name
GENERATED_NAME: Final = "default"
_CHALLENGE: Final = 'Bearer realm="clawd"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as requests are checked against it; the value itself is not kept."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes  # SHA-256 of the token


class TokenStore:
    """The tokens in force: the configured ones, else one that was generated into the state directory."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / TOKEN_FILE
        self._tokens: tuple[Token, ...] = ()

    async def configure(self, configured: Sequence[TokenConfig]) -> None:
        """Use these tokens from now on; without any, the generated one, which is made if it is missing.

        Raises:
            ConfigError: no token is configured and the file of the generated one can't be used.
        """
        if configured:
            self._tokens = tuple(
                Token(name=t.name, scopes=frozenset(t.scopes), digest=_digest(t.token.reveal()))
                for t in configured
            )
            return
        try:
            value = await asyncio.to_thread(_read_or_make, self.path)
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(self.path, error) from error
        self._tokens = (
            Token(name=GENERATED_NAME, scopes=frozenset({"chat", "admin"}), digest=_digest(value)),
        )

    def find(self, value: str) -> Token | None:
        """Return the token of this value; takes the same time whichever it is, and when it is none."""
        given = _digest(value)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, given):
                found = token
        return found

    def require(self, headers: MultiMapping[str], scope: Scope) -> Token:
        """Return the token that a request's headers carry; `admin` includes the others.

        Raises:
            RequestRefused: 401 without a valid token, 403 when it lacks the scope.
        """
        given = headers.getall("Authorization", [])
        scheme, _, value = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        token = self.find(value.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise RequestRefused(
                401,
                "a valid token is needed",
                remedy="send the header Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": _CHALLENGE},
            )
        if scope not in token.scopes and "admin" not in token.scopes:
            raise RequestRefused(403, f"the token {token.name} lacks the scope {scope}")
        return token


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()


def _unusable(path: Path, error: OSError | UnicodeDecodeError) -> ConfigError:
    why = error.strerror or str(error) if isinstance(error, OSError) else "it holds no token"
    problem = ConfigProblem(
        path=str(path),
        key="gateway.tokens",
        message=f"none is configured, and the generated one can't be used: {why}",
        remedy=f"move {path} away, or set gateway.tokens",
    )
    return ConfigError([problem])


def _read_or_make(path: Path) -> str:
    try:
        value = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return _make(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        log.warning("gateway_token_was_readable", extra={"path": str(path), "mode": f"{mode:o}"})
        path.chmod(0o600)
    return value or _make(path)


def _make(path: Path) -> str:
    value = f"clawd_{secrets.token_urlsafe(32)}"
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{value}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)  # a token is never seen half written
    log.info("gateway_token_made", extra={"path": str(path)})
    return value
