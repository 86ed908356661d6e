"""The token that is generated when none is configured, in a file of its own."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
from typing import TYPE_CHECKING, Final

from clawd.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

TOKEN_FILE: Final = "gateway.token"  # noqa: S105 - a file's name


def new_token() -> str:
    """Return a token of 256 random bits."""
    return f"clawd_{secrets.token_urlsafe(32)}"


def unusable(path: Path, error: OSError | UnicodeDecodeError) -> ConfigError:
    """Return what to tell about a file that can't be used."""
    why = error.strerror or str(error) if isinstance(error, OSError) else "it holds no token"
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    problem = ConfigProblem(
        path=str(path),
        key="gateway.tokens",
        message=f"none is configured, and the generated one can't be used: {why}",
        remedy="free some space" if full else f"move {path} away, or set gateway.tokens",
    )
    return ConfigError([problem])


def read_or_make(path: Path) -> str:
    """Return the token in this file, made if there is none; blocks. Raises OSError, UnicodeDecodeError."""
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
    value = new_token()
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
