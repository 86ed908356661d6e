"""Requests to the platform's API: one token, one answer, and no token in any error."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from bridges.wechat.access_token import AccessToken
from bridges.wechat.errors import ApiError, NoAnswer, api_error, no_answer
from bridges.wechat.outbound import encoded
from clawd.network import client_session, tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from clawd.bridge import NetworkConfig
    from clawd.ids import Clock
    from clawd.response import JsonObject

_CONNECT_S: Final = 5.0
_MAX_ANSWER: Final = 256 * 1024
_PIECE: Final = 64 * 1024

Body = bytes | aiohttp.FormData

_FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError)


class WeChatApi:
    """The API of one Official Account.

    Every method raises ApiError for a number that the platform answers with, and NoAnswer where it
    answers with nothing that can be understood.
    """

    def __init__(
        self,
        base: str,
        app_id: str,
        app_secret: str | None,
        network: NetworkConfig,
        clock: Clock,
        *,
        timeout_s: float,
        user_agent: str,
    ) -> None:
        self._base = base
        self._app_id = app_id
        self._app_secret = app_secret
        self._network = network
        self._timeout_s = timeout_s
        self._user_agent = user_agent
        self._token = AccessToken(self._ask_for_token, clock)
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    @property
    def has_secret(self) -> bool:
        """Whether anything can be asked that needs a token."""
        return self._app_secret is not None

    async def connect(self) -> None:
        """Make sure of a token."""
        await self._token.get()

    async def send(self, payload: JsonObject) -> None:
        """Send a customer-service message."""
        await self._call("message/custom/send", lambda: encoded(payload))

    async def typing(self, openid: str) -> None:
        """Show "typing"; it goes away by itself."""
        wish: JsonObject = {"touser": openid, "command": "Typing"}
        await self._call("message/custom/typing", lambda: encoded(wish))

    async def create_menu(self, menu: JsonObject) -> None:
        """Put a menu under the chat, for everybody."""
        await self._call("menu/create", lambda: encoded(menu))

    async def delete_menu(self) -> None:
        """Take the menu away."""
        await self._call("menu/delete", lambda: b"{}")

    async def upload(self, kind: str, name: str, mime: str, content: bytes) -> str:
        """Return the media id of a temporary file; it is good for three days."""

        def form() -> aiohttp.FormData:
            data = aiohttp.FormData()
            data.add_field("media", content, filename=name, content_type=mime)
            return data

        try:
            media_id = (await self._call("media/upload", form, type=kind)).get("media_id")
        except NoAnswer as error:
            raise NoAnswer(f"an upload failed: {error}", sent=False) from None  # nobody was shown anything
        if not isinstance(media_id, str):
            raise NoAnswer("an upload without media_id", sent=False)
        return media_id

    async def download(self, media_id: str) -> AsyncIterator[bytes]:
        """Return the content of a file that somebody sent, in pieces."""
        token = await self._token.get()
        for last in (False, True):
            try:
                async for piece in self._pieces(token, media_id):
                    yield piece
            except ApiError as error:  # before the first piece
                if last or error.meaning != "token":
                    raise
                token = await self._token.renewed(token)
            else:
                return

    async def get(self, url: str) -> AsyncIterator[bytes]:
        """Return what is at a URL of the platform's that needs no token, in pieces."""
        try:
            async with (await self._opened()).get(
                url, ssl=self._tls or True, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise NoAnswer(f"HTTP {response.status}", sent=True)
                async for piece in response.content.iter_chunked(_PIECE):
                    yield piece
        except _FAILURES as error:
            raise no_answer(error) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    # --- one request -----------------------------------------------------------------------------------

    async def _call(self, path: str, body: Callable[[], Body], **query: str) -> JsonObject:
        """Return an answer; a token that is refused is renewed once, and the request made once more."""
        token = await self._token.get()
        try:
            return await self._post(path, body(), access_token=token, **query)
        except ApiError as error:
            if error.meaning != "token":
                raise
        token = await self._token.renewed(token)
        return await self._post(path, body(), access_token=token, **query)

    async def _ask_for_token(self, *, force: bool) -> tuple[str, float]:
        wish: JsonObject = {
            "grant_type": "client_credential",
            "appid": self._app_id,
            "secret": self._app_secret or "",
            "force_refresh": force,
        }
        try:
            answer = await self._post("stable_token", encoded(wish))
        except NoAnswer as error:
            # Whatever needed it has not begun.
            raise NoAnswer(f"no access token: {error}", sent=False) from None
        token, life_s = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token:
            raise NoAnswer("no access token in the answer", sent=False)
        return token, float(life_s) if isinstance(life_s, int | float) else 0.0

    async def _post(self, path: str, body: Body, **query: str) -> JsonObject:
        headers = {} if isinstance(body, aiohttp.FormData) else {"Content-Type": "application/json"}
        # `from None`: what aiohttp raises may quote the URL, and the token stands in that.
        try:
            async with (await self._opened()).post(
                f"{self._base}/cgi-bin/{path}",
                params=query,
                data=body,
                headers=headers,
                ssl=self._tls or True,
                allow_redirects=False,
            ) as response:
                return _understood(response.status, await response.content.read(_MAX_ANSWER))
        except _FAILURES as error:
            raise no_answer(error) from None

    async def _pieces(self, token: str, media_id: str) -> AsyncIterator[bytes]:
        video = ""
        try:
            async with (await self._opened()).get(
                f"{self._base}/cgi-bin/media/get",
                params={"access_token": token, "media_id": media_id},
                ssl=self._tls or True,
                allow_redirects=False,
            ) as response:
                if _is_text(response.content_type) or response.status != 200:
                    # Errors come with status 200, and a video as JSON that says where it is.
                    answer = _understood(response.status, await response.content.read(_MAX_ANSWER))
                    video = str(answer.get("video_url") or "")
                    if not video:
                        raise NoAnswer("JSON in place of a file", sent=True)
                else:
                    async for piece in response.content.iter_chunked(_PIECE):
                        yield piece
        except _FAILURES as error:
            raise no_answer(error) from None
        if video:
            async for piece in self.get(video):
                yield piece

    async def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            network = self._network
            if network.ca_file:
                self._tls = await asyncio.to_thread(tls_context, network.ca_file)  # reads a file
            if self._session is None:
                self._session = client_session(
                    network.model_copy(update={"ca_file": None}),
                    timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=_CONNECT_S),
                    headers={"User-Agent": self._user_agent},
                )
        return self._session


def _is_text(content_type: str) -> bool:
    return content_type in ("application/json", "text/plain", "text/html", "text/json")


def _understood(status: int, raw: bytes) -> JsonObject:
    """Return the JSON object of an answer; raises ApiError for a number that means failure, else NoAnswer."""
    try:
        answer: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise NoAnswer(f"HTTP {status} and no JSON", sent=True) from None
    if not isinstance(answer, dict):
        raise NoAnswer(f"HTTP {status} and no JSON object", sent=True)
    code = answer.get("errcode", 0)
    if isinstance(code, int) and code != 0:
        raise api_error(code, answer.get("errmsg"))
    if status != 200:
        raise NoAnswer(f"HTTP {status}", sent=True)
    return answer
