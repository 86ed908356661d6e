"""The HTTP session under aiogram's methods: one request, one answer, and the token in no error."""

from __future__ import annotations

import json
from http import HTTPStatus
from types import new_class
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import aiohttp

from bridges.telegram.lean import (
    AnswerCallbackQuery,
    BaseSession,
    ClientDecodeError,
    DeleteWebhook,
    EditMessageReplyMarkup,
    EditMessageText,
    GetMe,
    GetUpdates,
    InputFile,
    Response,
    SendChatAction,
    SendMessage,
    SendMessageDraft,
    SetMessageReaction,
    TelegramAPIError,
    TelegramAPIServer,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from clawd.network import client_session

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from bridges.telegram.lean import Bot, TelegramMethod
    from clawd.bridge import NetworkConfig

_T = TypeVar("_T")
_M = TypeVar("_M", bound="TelegramMethod[Any]")
_CONNECT_S = 10.0
_UPLOAD_BYTES_PER_S = 256 * 1024  # a slower line must not cut off a file again and again


class NotSent(TelegramNetworkError):
    """The connection failed before the request could have left: no name, no host, no TLS, no proxy."""


# A reply's shape may change without harm to us: what was sent is sent. So results stay plain JSON, and
# each update is read on its own.
class FetchUpdates(GetUpdates):
    """getUpdates, with each update as it came."""

    __returning__: ClassVar[Any] = list[Any]


class PostText(SendMessage):
    """sendMessage, with the sent message as it came."""

    __returning__: ClassVar[Any] = Any


class ReplaceText(EditMessageText):
    """editMessageText, with the edited message as it came."""

    __returning__: ClassVar[Any] = Any


class ReplaceButtons(EditMessageReplyMarkup):
    """editMessageReplyMarkup, with the edited message as it came."""

    __returning__: ClassVar[Any] = Any


# pydantic makes the model of an answer anew as soon as nobody holds it: a twentieth of a turn's CPU.
_SHAPES: dict[Any, object] = {}


def _keep_shape(returned: Any) -> None:
    """Keep the model of answers with this result alive; aiogram's session asks pydantic for it each time."""
    if returned not in _SHAPES:
        generic: Any = Response
        _SHAPES[returned] = generic[returned]


_PLAIN: dict[type[TelegramMethod[Any]], type[TelegramMethod[Any]]] = {}


def plain(method: type[_M]) -> type[_M]:
    """Return a method with the sent message as it came; made at its first use, as few bots send files."""
    if method not in _PLAIN:
        body = {
            "__module__": __name__,
            "__annotations__": {"__returning__": ClassVar[Any]},
            "__returning__": Any,
        }
        _PLAIN[method] = new_class(
            f"Plain{method.__name__}", (method,), exec_body=lambda names: names.update(body)
        )
    return cast("type[_M]", _PLAIN[method])


__all__ = [
    "AnswerCallbackQuery",
    "DeleteWebhook",
    "FetchUpdates",
    "GetMe",
    "NotSent",
    "PostText",
    "ReplaceButtons",
    "ReplaceText",
    "SendChatAction",
    "SendMessageDraft",
    "Session",
    "SetMessageReaction",
    "Upload",
    "plain",
]


class Upload(InputFile):
    """A file that goes out as it is read; `read` begins anew for each request."""

    def __init__(self, name: str, content: Callable[[], AsyncIterator[bytes]], size: int) -> None:
        super().__init__(filename=name)
        self.content = content
        self.size = size  # bytes

    async def read(self, bot: Bot) -> AsyncGenerator[bytes, None]:
        """Yield the content, as aiogram's own session would ask for it."""
        async for piece in self.content():
            yield piece


class Session(BaseSession):
    """aiogram's session over the project's own outbound connections (proxy, certificate authority).

    Raises aiogram's errors, and `NotSent` where the request surely did not arrive. Errors are made outside
    of the `except` block and carry no cause, because aiohttp's errors print the URL with the token in it.
    """

    def __init__(self, api_base: str, network: NetworkConfig, *, timeout_s: float, user_agent: str) -> None:
        super().__init__(api=TelegramAPIServer.from_base(api_base), timeout=timeout_s)
        self._network = network
        self._user_agent = user_agent
        self._client: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections; a later request would open new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def make_request(self, bot: Bot, method: TelegramMethod[_T], timeout: int | None = None) -> _T:  # noqa: ASYNC109 - aiogram's signature
        """Send one method and return its result."""
        problem: TelegramAPIError
        try:
            status, content = await self._post(bot, method, timeout or self.timeout)
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            problem = NotSent(method=method, message=_reason(error))
        except aiohttp.ConnectionTimeoutError:
            problem = NotSent(method=method, message="no connection in time")
        except TimeoutError:
            problem = TelegramNetworkError(method=method, message="no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            problem = TelegramNetworkError(method=method, message=_reason(error))
        else:
            response: Response[_T] = self.check_response(bot, method, status, content)
            return cast("_T", response.result)
        raise problem

    def check_response(
        self, bot: Bot, method: TelegramMethod[_T], status_code: int, content: str
    ) -> Response[_T]:
        """Return the answer, or raise the error that it states.

        Stricter than aiogram's own where a proxy may have answered in Telegram's place, and for a 429
        that names no time.
        """
        body = _json_object(content)
        if status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TelegramServerError(method=method, message=f"HTTP {status_code}")
        if "ok" not in body:
            raise ClientDecodeError(
                f"HTTP {status_code} without an answer of the Bot API", ValueError(), None
            )
        if status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise TelegramRetryAfter(method, str(body.get("description", "")), _retry_after(body))
        _keep_shape(method.__returning__)
        if not body["ok"] and not body.get("description"):
            content = json.dumps(body | {"description": f"HTTP {status_code}"})
        return super().check_response(bot, method, status_code, content)

    async def stream_content(
        self,
        url: str,
        headers: dict[str, Any] | None = None,
        timeout: int = 30,  # noqa: ASYNC109 - aiogram's signature
        chunk_size: int = 65536,
        raise_for_status: bool = True,
    ) -> AsyncGenerator[bytes, None]:
        """Yield a file's bytes."""
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=_CONNECT_S)
        async with self._open().get(url, headers=headers, timeout=limit) as response:
            if raise_for_status:
                response.raise_for_status()
            async for chunk in response.content.iter_chunked(chunk_size):
                yield chunk

    def _open(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = client_session(self._network, headers={"User-Agent": self._user_agent})
        return self._client

    async def _post(self, bot: Bot, method: TelegramMethod[Any], timeout_s: float) -> tuple[int, str]:
        url = self.api.api_url(token=bot.token, method=method.__api_method__)
        values = method.model_dump(warnings=False, exclude_none=True)
        uploads = [value for value in values.values() if isinstance(value, Upload)]
        timeout_s += sum(upload.size for upload in uploads) / _UPLOAD_BYTES_PER_S
        body = self._form(values, bot) if uploads else self._json(values, bot)
        limit = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(_CONNECT_S, timeout_s))
        # A redirect would carry the token elsewhere; the Bot API sends none.
        async with self._open().post(url, timeout=limit, allow_redirects=False, **body) as response:
            return response.status, await response.text(errors="replace")

    def _json(self, values: dict[str, Any], bot: Bot) -> dict[str, Any]:
        fields = {
            name: self.prepare_value(value, bot, {}, _dumps_json=False) for name, value in values.items()
        }
        return {"json": {name: value for name, value in fields.items() if value is not None}}

    def _form(self, values: dict[str, Any], bot: Bot) -> dict[str, Any]:
        """Return a multipart body whose files are read while it is sent."""
        form = aiohttp.FormData(quote_fields=False)
        for name, value in values.items():
            if isinstance(value, Upload):
                form.add_field(name, value.content(), filename=_header_safe(value.filename or name))
            elif (text := self.prepare_value(value, bot, {})) is not None:
                form.add_field(name, text)
        return {"data": form}


def _header_safe(name: str) -> str:
    """Return a file's name as it can stand in a header, in quotes."""
    return "".join("_" if char in '"\\/' or ord(char) < 32 else char for char in name)[:200] or "file"


def _json_object(content: str) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after(body: dict[str, Any]) -> int:
    parameters = body.get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    return seconds if isinstance(seconds, int) and seconds > 0 else 1


def _reason(error: BaseException) -> str:
    """Return what went wrong in words that can't hold a URL."""
    words = getattr(getattr(error, "os_error", error), "strerror", None)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
