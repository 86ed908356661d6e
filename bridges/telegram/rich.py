"""Rich messages: Markdown that Telegram's servers lay out, with headings, lists and tables. Pure.

Old apps show a notice that they are too old instead, so this is asked for by `format: rich`. Telegram fetches
pictures and reads HTML in such a text. What a model wrote must not make Telegram's servers call an address
that the model chose, so a text with either goes out as entities.

Source: Bot API 10.1, sendRichMessage: at most 32,768 characters.
"""

from __future__ import annotations

import re
from typing import Final

_LIMIT: Final = 32_768
_ACTIVE: Final = re.compile(r"!\s*\[|<\s*[A-Za-z/!?]")


def is_safe_as_rich(source: str) -> bool:
    """Whether a text can go out as a rich message: something to read, within the limit, nothing active."""
    return bool(source.strip()) and len(source) <= _LIMIT and not _ACTIVE.search(source)
