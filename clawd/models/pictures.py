"""Pictures that a model can be shown, and the words for what it can't. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.media import is_stored
from clawd.messages import Audio, Image, Text

if TYPE_CHECKING:
    from clawd.messages import Media, Part

SHOWN_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""What all providers take; source: the vision guides of OpenAI and Anthropic."""

_DATA_URL: Final = re.compile(r"data:([^;,\s]{1,100});base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture as providers take it: an address that they fetch, or the bytes themselves."""

    url: str  # http, https or data
    mime: str = ""  # of a data URL, lower case
    base64: str = ""  # of a data URL


def picture_of(image: Image) -> Picture | None:
    """Return what a provider can be sent of an image; None for a reference that only its platform knows."""
    ref = image.ref.strip()
    if ref[:8].lower().startswith(("http://", "https://")):
        return Picture(url=ref)
    if head := _DATA_URL.match(ref):
        return Picture(url=ref, mime=head.group(1).lower(), base64=ref[head.end() :])
    return None


def is_shown(part: Part) -> bool:
    """Whether a model may be sent a picture for this part; copies nothing, as one may hold megabytes."""
    if not isinstance(part, Image):
        return False
    ref = part.ref.lstrip()
    return (
        ref[:8].lower().startswith(("http://", "https://"))
        or _DATA_URL.match(ref) is not None
        or is_stored(part.ref)
    )


def words_for(part: Part) -> str:
    """Return a part as text: its own, or the words for what was there."""
    return part.text if isinstance(part, Text) else note_of(part)


def note_of(part: Media, why: str = "") -> str:
    """Return what a model is told in place of a file: `[image: cat.png, 120 kB; WHY]`, and a transcript."""
    kind = type(part).__name__.lower()
    size = _size(part.size) if part.size is not None else ""
    about = ", ".join(filter(None, (_plain(part.name or ""), size)))
    note = f"[{kind}{f': {about}' if about else ''}{f'; {why}' if why else ''}]"
    if isinstance(part, Audio) and part.transcript:
        note += f"\n[what is said in it, as its platform heard it: {part.transcript}]"
    return note


def _plain(name: str) -> str:
    """Return a name that can't end the note that it stands in."""
    return "".join(c for c in name if c.isprintable() and c not in "[]")[:200]


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"
