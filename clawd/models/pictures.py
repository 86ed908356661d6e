"""Pictures that a model can be shown. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.messages import Image, Text

if TYPE_CHECKING:
    from clawd.messages import Part

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
    """Whether `picture_of` gives a picture; copies nothing, as one may hold megabytes."""
    if not isinstance(part, Image):
        return False
    ref = part.ref.lstrip()
    return ref[:8].lower().startswith(("http://", "https://")) or _DATA_URL.match(ref) is not None


def words_for(part: Part) -> str:
    """Return a part as text: its own, or the word for what was there."""
    return part.text if isinstance(part, Text) else f"[{type(part).__name__.lower()}]"
