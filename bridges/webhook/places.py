"""Where replies to DingTalk may go. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from clawd.webhooks.allowing import Destinations

if TYPE_CHECKING:
    from collections.abc import Callable

_DINGTALK: Final = ("https://oapi.dingtalk.com/", "https://api.dingtalk.com/")


def dingtalk_place(api_base: str | None) -> Callable[[str], bool]:
    """Return what tells whether a URL is DingTalk's; `api_base` stands for DingTalk where it is set."""
    if api_base is None:
        destinations = Destinations(_DINGTALK, allow_http=False, allow_private=())
    else:
        parts = urlsplit(api_base)
        origin = f"{parts.scheme}://{parts.netloc}/"
        destinations = Destinations((origin,), allow_http=True, allow_private=(parts.hostname or "",))

    def is_there(url: str) -> bool:
        try:
            destinations.check(url)
        except ValueError:
            return False
        return True

    return is_there
