"""Files on their way: those that people sent are fetched, stored ones are uploaded once and then named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bridges.wechat.errors import ApiError, NoAnswer
from bridges.wechat.references import may_fetch, parse_reference
from clawd.errors import BridgeNotReady, DeliveryRejected, FileGone, NotFound
from clawd.messages import Audio, Image

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridges.wechat.api import WeChatApi
    from clawd.ids import Clock
    from clawd.media import Artifacts
    from clawd.messages import Media

IMAGE_BYTES: Final = 10_000_000
VOICE_BYTES: Final = 2_000_000
_KEEP_S: Final = 3 * 86400 - 3600.0  # WeChat forgets uploads after three days
_MAX_KNOWN: Final = 1000
# What an upload may be, told by how it begins, and the type and name that tell WeChat so.
_FORMS: Final = (
    (b"\xff\xd8\xff", "image/jpeg", "image.jpg"),
    (b"\x89PNG\r\n\x1a\n", "image/png", "image.png"),
    (b"GIF8", "image/gif", "image.gif"),
    (b"#!AMR", "audio/amr", "voice.amr"),
    (b"ID3", "audio/mpeg", "voice.mp3"),
    (b"\xff\xfb", "audio/mpeg", "voice.mp3"),
    (b"\xff\xf3", "audio/mpeg", "voice.mp3"),
    (b"\xff\xf2", "audio/mpeg", "voice.mp3"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Uploaded:
    media_id: str
    until: float


class MediaDesk:
    """Fetches and uploads.

    Args:
        bridge: Its name, for errors.
        api: Of the account; by URL it fetches without a secret too.
        artifacts: Where stored files are.
        clock: For the age of uploads.
        hosts: Where pictures may be fetched by the URL that their message carries.
    """

    def __init__(
        self, bridge: str, api: WeChatApi, artifacts: Artifacts, clock: Clock, hosts: tuple[str, ...]
    ) -> None:
        self._bridge = bridge
        self._api = api
        self._artifacts = artifacts
        self._clock = clock
        self._hosts = hosts
        self._uploaded: dict[str, _Uploaded] = {}  # by digest and kind

    async def fetch(self, part: Media) -> AsyncIterator[bytes]:
        """Return the content of a file that somebody sent; see `clawd.bridge.MediaBridge`."""
        where = parse_reference(part.ref)
        if where is None:
            raise FileGone(self._bridge, "not a file of WeChat's")
        # By id it is part of the API; of pictures WeChat also tells a URL, which anybody may read.
        by_url = bool(where.url) and may_fetch(where.url, self._hosts)
        if not by_url and not self._api.has_secret:
            raise FileGone(self._bridge, "this account may not fetch files", why="it has no app_secret")
        try:
            pieces = self._api.get(where.url) if by_url else self._api.download(where.media_id)
            async for piece in pieces:
                yield piece
        except ApiError as error:
            if error.meaning in ("media_gone", "no_right"):
                raise FileGone(self._bridge, "WeChat does not give this file out", why=str(error)) from error
            raise BridgeNotReady(self._bridge, "a file can't be fetched now", why=str(error)) from error
        except NoAnswer as error:
            raise BridgeNotReady(self._bridge, "a file can't be fetched now", why=str(error)) from error

    async def upload(self, part: Media, *, anew: bool = False) -> tuple[str, str]:
        """Return kind (`image` or `voice`) and media id of a stored file.

        Args:
            part: An image or audio with the `ref` of a stored file.
            anew: WeChat knows an earlier upload no more.

        Raises:
            DeliveryRejected: gone, too large, or of a kind that WeChat does not take.
            ApiError, NoAnswer: as `WeChatApi.upload`.
        """
        try:
            file = await self._artifacts.stat(part.ref)
            kind = "image" if isinstance(part, Image) else "voice"
            key = f"{kind}:{file.digest}"
            known = self._uploaded.get(key)
            if known is not None and not anew and known.until > self._clock.monotonic():
                return kind, known.media_id
            limit = IMAGE_BYTES if kind == "image" else VOICE_BYTES
            if file.size > limit or not isinstance(part, Image | Audio):
                raise self._not_taken(f"{file.size} bytes")
            content = b"".join([piece async for piece in self._artifacts.read(part.ref)])
        except NotFound as error:
            raise DeliveryRejected(self._bridge, "the file is not there any more") from error
        mime, name = self._form(kind, content)
        media_id = await self._api.upload(kind, name, mime, content)
        self._uploaded.pop(key, None)
        if len(self._uploaded) >= _MAX_KNOWN:
            del self._uploaded[next(iter(self._uploaded))]
        self._uploaded[key] = _Uploaded(media_id=media_id, until=self._clock.monotonic() + _KEEP_S)
        return kind, media_id

    def _form(self, kind: str, content: bytes) -> tuple[str, str]:
        """Return type and name of a file; raises DeliveryRejected for one of another kind."""
        for begin, mime, name in _FORMS:
            if content.startswith(begin) and name.startswith(kind):
                return mime, name
        raise self._not_taken("of another format")

    def _not_taken(self, why: str) -> DeliveryRejected:
        takes = "it takes JPEG, PNG and GIF up to 10 MB, AMR and MP3 up to 2 MB"
        return DeliveryRejected(self._bridge, "WeChat does not take this file", why=f"{why}; {takes}")
