"""The iLink bot API over HTTP: one method for each call, typed answers, secrets in no error.

Source: protocol document and code of the npm package @tencent-weixin/openclaw-weixin 2.4.9.
"""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp

from bridges.weixin.errors import STALE, HttpFailure, NoAnswer, NotSent, Refused, TooSlow
from clawd.network import client_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridges.weixin.config import WeixinConfig
    from bridges.weixin.credentials import Credentials
    from clawd.bridge import NetworkConfig
    from clawd.response import JsonObject

_ASIDE_S: Final = 10.0  # getconfig, sendtyping, notify…
_QR_S: Final = 35.0
_CONNECT_S: Final = 10.0
_MARGIN_S: Final = 10.0
_MAX_WISH_S: Final = 120.0
_MAX_ANSWER: Final = 16 * 1024 * 1024
_PLATFORM: Final = ".weixin.qq.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """One answer of getupdates."""

    messages: Sequence[object]  # each as JSON gave it
    cursor: str  # empty: the old one holds
    poll_s: float | None  # how long the server wants to hold the next request


@dataclass(frozen=True, slots=True, kw_only=True)
class QrCode:
    """A code to scan: `key` asks for its state, `link` is what it shows."""

    key: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QrStatus:
    """The state of a shown code; the fields are empty where the state has none."""

    status: str
    bot_id: str = ""
    token: str = ""
    base_url: str = ""
    user_id: str = ""
    redirect_host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """One answer of getconfig."""

    typing_ticket: str
    context_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTarget:
    """Where a file's ciphertext goes."""

    url: str
    param: str


class IlinkApi:
    """All calls of one bridge. `draw` gives 32 random bits for each request."""

    def __init__(
        self,
        config: WeixinConfig,
        network: NetworkConfig,
        *,
        version: str,
        draw: Callable[[], int] = lambda: random.getrandbits(32),
    ) -> None:
        self._config = config
        self._network = network
        self._draw = draw
        self._base_info = {
            "channel_version": config.client_version,
            "bot_agent": f"clawd/{version[:32]} (python)",
        }
        self._app = {
            "iLink-App-Id": "bot",
            "iLink-App-ClientVersion": str(version_number(config.client_version)),
        }
        self._client: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections; a later request would open new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def client(self) -> aiohttp.ClientSession:
        """Return the session that all requests leave through."""
        if self._client is None:
            self._client = client_session(self._network)
        return self._client

    # --- login ------------------------------------------------------------------------------------------

    async def qr_code(self, known_tokens: Sequence[str]) -> QrCode:
        """Return a new code; `known_tokens` are logins that it may turn out to belong to."""
        url = f"{self._config.api_base}/ilink/bot/get_bot_qrcode?bot_type=3"
        answer = await self._ask(url, {"local_token_list": list(known_tokens)}, None, _QR_S)
        key, link = _text(answer, "qrcode"), _text(answer, "qrcode_img_content")
        if not key or not link:
            raise NoAnswer("an answer without a code")
        return QrCode(key=key, link=link)

    async def qr_status(self, base: str, key: str, verify_code: str | None) -> QrStatus:
        """Return the state of a code once it changes, or after some 35 s."""
        query = {"qrcode": key} | ({"verify_code": verify_code} if verify_code else {})
        answer = await self._request(
            "GET", f"{base}/ilink/bot/get_qrcode_status", params=query, limit_s=_QR_S
        )
        _check(answer, None)
        return QrStatus(
            status=_text(answer, "status"),
            bot_id=_text(answer, "ilink_bot_id"),
            token=_text(answer, "bot_token"),
            base_url=_text(answer, "baseurl"),
            user_id=_text(answer, "ilink_user_id"),
            redirect_host=_text(answer, "redirect_host"),
        )

    def trusted_base(self, address: str) -> str | None:
        """Return the base URL of a host or URL that a token may be sent to, None for any other."""
        parts = urlsplit(address if "://" in address else f"https://{address}")
        own = urlsplit(self._config.api_base)
        try:
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return None
        if parts.username is not None or parts.query or parts.fragment:
            return None
        if parts.netloc.lower() in {own.netloc.lower(), *map(str.lower, self._config.hosts)}:
            return f"{own.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        if host.endswith(_PLATFORM) and parts.scheme == "https" and port in (None, 443):
            return f"https://{host}{parts.path.rstrip('/')}"
        return None

    # --- the account ------------------------------------------------------------------------------------

    async def updates(self, login: Credentials, cursor: str, wish_s: float | None) -> Updates:
        """Return what came behind the cursor, as soon as something has; raises TooSlow when nothing did."""
        wished_s = wish_s + _MARGIN_S if wish_s else 0.0
        limit_s = max(self._config.poll_timeout_s, wished_s)
        answer = await self._bot(login, "getupdates", {"get_updates_buf": cursor}, limit_s)
        return updates_of(answer)

    async def send(self, login: Credentials, message: JsonObject) -> str | None:
        """Send one message of one item; return its id there, None when the answer does not say anything."""
        answer = await self._bot(login, "sendmessage", {"msg": message}, self._config.request_timeout_s)
        number = answer.get("message_id")
        if isinstance(number, int | str) and not isinstance(number, bool) and number:
            return str(number)
        return "" if answer.get("ret") == 0 else None

    async def chat_config(self, login: Credentials, user: str, context_token: str) -> ChatConfig:
        """Return what getconfig knows of a chat."""
        body: JsonObject = {"ilink_user_id": user, "context_token": context_token}
        answer = await self._bot(login, "getconfig", body, _ASIDE_S)
        return ChatConfig(
            typing_ticket=_text(answer, "typing_ticket"), context_token=_text(answer, "context_token")
        )

    async def typing(self, login: Credentials, user: str, ticket: str) -> None:
        """Show "typing" for some seconds."""
        body: JsonObject = {"ilink_user_id": user, "typing_ticket": ticket, "status": 1}
        await self._bot(login, "sendtyping", body, _ASIDE_S)

    async def notify(self, login: Credentials, what: str, limit_s: float = _ASIDE_S) -> None:
        """Tell the server that we begin (`start`) or end (`stop`) to receive."""
        await self._bot(login, f"msg/notify{what}", {}, limit_s)

    async def upload_target(self, login: Credentials, fields: JsonObject) -> UploadTarget:
        """Return where a file may be uploaded to."""
        answer = await self._bot(login, "getuploadurl", fields, self._config.request_timeout_s)
        target = UploadTarget(url=_text(answer, "upload_full_url"), param=_text(answer, "upload_param"))
        if not target.url and not target.param:
            raise NoAnswer("an answer without an address to upload to")
        return target

    # --- one request ------------------------------------------------------------------------------------

    async def _bot(self, login: Credentials, call: str, body: JsonObject, limit_s: float) -> dict[str, Any]:
        url = f"{login.base_url}/ilink/bot/{call}"
        return await self._ask(
            url, {**body, "base_info": dict(self._base_info)}, login.token.reveal(), limit_s
        )

    async def _ask(self, url: str, body: JsonObject, token: str | None, limit_s: float) -> dict[str, Any]:
        headers = {
            "AuthorizationType": "ilink_bot_token",
            "X-WECHAT-UIN": uin_header(self._draw()),
        }
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        answer = await self._request("POST", url, json_body=body, headers=headers, limit_s=limit_s)
        _check(answer, token)
        return answer

    async def _request(
        self,
        method: str,
        url: str,
        *,
        limit_s: float,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json_body: JsonObject | None = None,
    ) -> dict[str, Any]:
        """Return the answer as JSON gave it, empty for an empty one.

        Errors are made outside of the `except` block and carry no cause, because those of aiohttp print
        URL and headers.
        """
        limit = aiohttp.ClientTimeout(total=limit_s, sock_connect=_CONNECT_S)
        problem: NotSent | NoAnswer
        try:
            # A redirect would carry the token elsewhere.
            async with self.client().request(
                method,
                url,
                json=json_body,
                params=params,
                headers={**self._app, **(headers or {})},
                timeout=limit,
                allow_redirects=False,
            ) as response:
                raw = bytearray()
                async for piece in response.content.iter_chunked(65536):
                    raw += piece
                    if len(raw) > _MAX_ANSWER:
                        break
                return _read(response, bytes(raw))
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            problem = NotSent(words_of(error))
        except aiohttp.ConnectionTimeoutError:
            problem = NotSent("no connection in time")
        except TimeoutError:
            problem = TooSlow("no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            problem = NoAnswer(words_of(error))
        raise problem


def updates_of(answer: Mapping[str, Any]) -> Updates:
    """Return what an answer of getupdates holds; what is not as it should be counts as left out."""
    messages, wish_ms = answer.get("msgs"), answer.get("longpolling_timeout_ms")
    poll_s = wish_ms / 1000 if isinstance(wish_ms, int) and 0 < wish_ms <= _MAX_WISH_S * 1000 else None
    return Updates(
        messages=messages if isinstance(messages, list) else (),
        cursor=_text(answer, "get_updates_buf"),
        poll_s=poll_s,
    )


def version_number(version: str) -> int:
    """Return `iLink-App-ClientVersion` of a version: 0x00MMmmpp."""
    major, minor, patch = (int(part) & 0xFF for part in version.split("."))
    return major << 16 | minor << 8 | patch


def uin_header(number: int) -> str:
    """Return `X-WECHAT-UIN`: the decimal digits of 32 random bits, in base64."""
    return base64.b64encode(str(number & 0xFFFF_FFFF).encode()).decode()


def words_of(error: BaseException) -> str:
    """Return what went wrong in words that can't hold a URL."""
    words = getattr(getattr(error, "os_error", error), "strerror", None)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _read(response: aiohttp.ClientResponse, raw: bytes) -> dict[str, Any]:
    if response.status != HTTPStatus.OK:
        after = response.headers.get("Retry-After", "")
        wait_s = float(after) if response.status == 429 and after.isdigit() else None
        raise HttpFailure(response.status, retry_after_s=wait_s)
    if len(raw) > _MAX_ANSWER:
        raise NoAnswer(f"an answer of more than {_MAX_ANSWER} bytes")
    if not raw.strip():
        return {}
    # Not stricter than it must be: one odd message may not hold up all that come with it.
    try:
        answer = json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise NoAnswer("an answer that is no JSON object")
    return answer


def _check(answer: Mapping[str, Any], token: str | None) -> None:
    """Raise Refused where the answer states an error; none stated is none."""
    codes = [code for code in map(answer.get, ("ret", "errcode")) if _is_code(code)]
    if any(codes):
        code = STALE if STALE in codes else next(filter(None, codes))
        words = _text(answer, "errmsg")
        raise Refused(code, words.replace(token, "***") if token else words)


def _is_code(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""
