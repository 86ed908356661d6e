"""How a file of the platform is named in a message: by its media id, and for pictures also by a URL. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

PREFIX: Final = "wechat-media:"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaReference:
    """Where a file can be fetched. A picture's URL also works where an account may not use the API."""

    media_id: str
    url: str = ""


def reference_of(media_id: str, url: str = "") -> str:
    """Return the `ref` of a part."""
    return f"{PREFIX}{quote(media_id, safe='')}" + (f"?{quote(url, safe='')}" if url else "")


def parse_reference(ref: str) -> MediaReference | None:
    """Return what `reference_of` was given; None for what is not by it."""
    if not ref.startswith(PREFIX):
        return None
    media_id, _, url = ref.removeprefix(PREFIX).partition("?")
    return MediaReference(media_id=unquote(media_id), url=unquote(url))


def may_fetch(url: str, hosts: tuple[str, ...]) -> bool:
    """Whether a picture's URL leads to one of these hosts, or below one: it comes from a request."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and any(host == h or host.endswith(f".{h}") for h in hosts)
