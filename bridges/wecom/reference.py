"""What names a file that people sent: its URL and the key that it is encrypted with. Pure.

The URL is valid for five minutes, each file has a key of its own, and nothing else is known of it, so the
part's `ref` carries both.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_PREFIX: Final = "wecom:"
_MAX_URL: Final = 4096
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Place:
    """Where a file is, and what opens it; never printed, as who has both can read it."""

    url: str
    key: bytes  # of AES-256


def media_ref(url: str, aeskey: str) -> str | None:
    """Return the ref of a file, None when no file can be had by these."""
    if _key(aeskey) is None or not _is_url(url):
        return None
    return _PREFIX + base64.urlsafe_b64encode(json.dumps([url, aeskey]).encode()).decode()


def read_ref(ref: str) -> Place | None:
    """Return what `media_ref` put into a ref, None for any other."""
    if not ref.startswith(_PREFIX):
        return None
    try:
        url, aeskey = json.loads(base64.urlsafe_b64decode(ref.removeprefix(_PREFIX)))
    except (ValueError, TypeError):
        return None
    if not isinstance(url, str) or not isinstance(aeskey, str) or not _is_url(url):
        return None
    key = _key(aeskey)
    return Place(url=url, key=key) if key is not None else None


def _key(aeskey: str) -> bytes | None:
    """Return the 32 bytes; base64 with or without its padding, as the platform gives both."""
    try:
        key = base64.b64decode(aeskey + "=" * (-len(aeskey) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def _is_url(url: str) -> bool:
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
