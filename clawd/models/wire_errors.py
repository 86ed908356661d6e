"""What goes wrong at a model's endpoint, as our errors: by status and type, text only last."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import re
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp

from clawd.errors import ContextTooLong, ModelAuthError, ModelError, ModelRateLimited, ModelUnavailable
from clawd.models.limits import LimitExceeded
from clawd.models.sse import EventTooLarge
from clawd.models.wire import MalformedAnswer, ProviderFault
from clawd.observability.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from clawd.config.base import Secret
    from clawd.response import JsonValue

_WORDS = 300  # characters of the provider's own words that are quoted
_LOCAL_PORTS: Final = {
    11434: "ollama serve",
    8080: "llama-server",
    1234: "lms server start",
    8000: "vllm serve",
}

_CODES: Final[Mapping[str, int]] = {
    "context_length_exceeded": 413,
    "exceed_context_size_error": 413,  # llama.cpp
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 402,
    "exceeded_current_quota_error": 402,  # Moonshot
    "arrearage": 402,  # DashScope
    "1113": 402,  # GLM
    "1261": 413,  # GLM
    "resource_exhausted": 429,
    "overloaded_error": 529,
    "billing_error": 402,
    "not_found_error": 404,
    "request_too_large": 413,
    "invalid_request_error": 400,
    "invalid_prompt": 400,  # Responses, in the stream
}

_RETRY_DELAY: Final = re.compile(r'"retryDelay"\s*:\s*"(\d{1,6}(?:\.\d+)?)s"')
# Of errno(3) and getaddrinfo(3): the connection was not even tried.
_NO_ROOM: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, socket.EAI_SYSTEM, socket.EAI_MEMORY}
)
_REQUEST_ID: Final = ("request-id", "x-request-id")  # headers: Anthropic, OpenAI

# Providers that answer 400 and say only in words that the request is too long.
TOO_LONG: Final = (
    "maximum context length",  # vLLM, DeepSeek, OpenRouter
    "maximum model length",  # vLLM, while it reads the prompt
    "maximum prompt length",  # xAI
    "context window",  # Moonshot, Groq
    "model token limit",  # Moonshot
    "reduce the length of the messages",  # Groq
    "greater than the context length",  # LM Studio
    "input is too long",  # Bedrock
    "context size",  # llama.cpp before it had a type
    "prompt is too long",  # Anthropic
    "exceed context limit",  # Anthropic: with max_tokens added
    "input token count",  # Gemini: exceeds the maximum number of tokens allowed
    "range of input length",  # DashScope
)

# What llama.cpp and others say of a picture to a model without eyes, some with status 500.
NO_PICTURES: Final = ("image input is not supported", "does not support image", "not a multimodal model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which model an error is about, and what must not be quoted."""

    model: str  # configured name
    model_id: str
    url: str
    key: Secret | None
    hidden: tuple[str, ...] = ()  # all secrets of its section
    answer: str = "chat completion"  # what was due
    redact: Callable[[str], str] = Redactor().clean  # takes out the secrets of all others

    @property
    def host(self) -> str:
        """`HOST:PORT` of the endpoint."""
        address = urlsplit(self.url)
        return f"{address.hostname}:{address.port or (443 if address.scheme == 'https' else 80)}"

    @property
    def where(self) -> str:
        """The configured name and the endpoint, without credentials or query."""
        address = urlsplit(self.url)
        return f"model {self.model}, {address.scheme}://{self.host}{address.path}"

    def clean(self, text: str) -> str:
        """Return the text on one line, shortened, without this model's secrets and those of everybody else."""
        for secret in (*([self.key.reveal()] if self.key else ()), *self.hidden):
            text = text.replace(secret, "[key]")
        text = " ".join(self.redact(text).split())
        return text if len(text) <= _WORDS else f"{text[: _WORDS - 1]}…"


def without_secrets(url: str) -> str:
    """Return the URL up to its path, without credentials."""
    address = urlsplit(url)
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"


def key_id(origin: Origin) -> str:
    """Return what tells the endpoint's keys apart without giving them away: HOST:PORT and eight hex digits.

    Empty without a key: what one server of one's own can't take is no limit of all that runs on that host.
    """
    if not origin.hidden:
        return ""
    digest = hashlib.sha256("\n".join((origin.host, *origin.hidden)).encode("utf-8", "surrogatepass"))
    return f"{origin.host}#{digest.hexdigest()[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadStatus:
    """An answer that is not 200: all that the mapping needs of it."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: str
    now: datetime


class Unreachable(Exception):
    """A request got no answer, and its server can't be reached any more; the cause says why."""


Failure = (
    BadStatus
    | Unreachable
    | ProviderFault
    | MalformedAnswer
    | LimitExceeded
    | EventTooLarge
    | aiohttp.ClientError
    | asyncio.TimeoutError
    | OSError
)


def model_error(origin: Origin, failure: Failure) -> ModelError:
    """Return what went wrong as one of our errors; the caller raises it `from` the failure."""
    match failure:
        case BadStatus():
            words, code = _words(origin, _json(failure.body), failure.body)
            # These two statuses are used for everything: the code is more exact.
            status = _CODES.get(code, failure.status) if failure.status in (400, 429) else failure.status
            return _status_error(origin, status, words, failure)
        case ProviderFault(error=error):
            words, code = _words(origin, {"error": error}, "")
            status = int(code) if code.isdecimal() else _CODES.get(code, 502)
            return _status_error(origin, status, words, None)
        case Unreachable(__cause__=cause):
            passed = "the connect time-out passed (connect_s)"
            why = passed if isinstance(cause, TimeoutError) or cause is None else _os_words(cause)
            what = f"no connection to {origin.host} any more"
            return _down(origin, what, why, _hint(origin), transient=False, offline=True)
        case LimitExceeded(kind=kind):
            what = "the answer is too long" if kind == "size" else "the model is too slow"
            return _down(origin, what, str(failure), transient=False)
        case MalformedAnswer() | EventTooLarge():
            what = f"the model answered with something else than a {origin.answer}"
            return _down(origin, what, origin.clean(str(failure)))
        case _:
            return _transport_error(origin, failure)


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header, given as seconds or as an HTTP date; None for neither.

    Source: RFC 9110, section 10.2.3.
    """
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _wait_s(bad: BadStatus) -> float | None:
    """Return how long the provider wants to be left alone; None when it does not say.

    OpenAI says it in milliseconds too; Gemini says it in the error's details alone (google.rpc.RetryInfo).
    """
    if (milliseconds := retry_after_s(bad.headers.get("retry-after-ms"), bad.now)) is not None:
        return milliseconds / 1000
    if (seconds := retry_after_s(bad.headers.get("retry-after"), bad.now)) is not None:
        return seconds
    delay = _RETRY_DELAY.search(bad.body)
    return float(delay[1]) if delay else None


def _status_error(origin: Origin, status: int, words: str, bad: BadStatus | None) -> ModelError:
    why = f"HTTP {bad.status}: {words}{_request_id(origin, bad)}" if bad else words
    lower = words.lower()
    if status in (401, 403):
        return _auth_error(origin, why)
    if status == 429:
        return ModelRateLimited(origin.model, why=why, retry_after_s=_wait_s(bad) if bad else None)
    if status == 413 or (status in (400, 422) and any(phrase in lower for phrase in TOO_LONG)):
        what = "the conversation is longer than the model's context"
        remedy = "begin anew with /new, or use a model with a longer context"
        return ContextTooLong(origin.model, what, where=origin.where, why=why, remedy=remedy)
    if any(phrase in lower for phrase in NO_PICTURES):
        remedy = f"set vision: false for model {origin.model}"
        return _down(origin, "the model can't look at pictures", why, remedy, transient=False)
    if bad and 300 <= status < 400:
        why = f"HTTP {status} to {origin.clean(bad.headers.get('location', 'nowhere'))}"
        return _down(origin, "the endpoint redirects", why, "set base_url to where it leads", transient=False)
    if status == 402:
        remedy = "top up the account, or use another model"
        return _down(origin, "the provider wants to be paid", why, remedy, transient=False)
    if status == 404:
        remedy = f"check base_url and model ({origin.model_id}) of {origin.model}"
        what = "the endpoint knows neither this path nor this model"
        return _down(origin, what, why, remedy, transient=False)
    if 400 <= status < 500 and status not in (408, 409, 425):
        remedy = f"check what model {origin.model} sends: model, max_tokens, extra_body, omit"
        return _down(origin, "the provider refuses the request", why, remedy, transient=False)
    return _down(origin, "the model's server failed", why, "try again in a minute")


def _request_id(origin: Origin, bad: BadStatus) -> str:
    """Return the id that the provider's support asks for, where it gave one."""
    found = next((bad.headers[name] for name in _REQUEST_ID if bad.headers.get(name)), "")
    return f" (request {origin.clean(found)})" if found else ""


def _auth_error(origin: Origin, why: str) -> ModelAuthError:
    if origin.key is None:
        what, remedy = "the provider wants an API key", f"set api_key of model {origin.model}"
    else:
        what = f"the provider refuses the API key ({origin.key.hint})"
        remedy = "put a valid key there"
    return ModelAuthError(origin.model, what, where=origin.where, why=why, remedy=remedy)


def _transport_error(
    origin: Origin, failure: aiohttp.ClientError | asyncio.TimeoutError | OSError
) -> ModelError:
    nowhere = f"no connection to {origin.host}"
    if _number(failure) in _NO_ROOM:
        remedy = "raise the limit of open files (LimitNOFILE), or look for what holds them: clawd doctor"
        what = f"this machine has no room for a connection to {origin.host}"
        return _down(origin, what, _os_words(failure), remedy, local=True)
    match failure:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            remedy = "check base_url, or name the authority in network.ca_file"
            return _down(
                origin, f"no trusted {nowhere[3:]}", _tls_words(origin, failure), remedy, transient=False
            )
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            remedy = "check base_url and the network"
            why = f"the name is unknown: {_os_words(failure)}"
            return _down(origin, nowhere, why, remedy, offline=True)
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            what, away = "the proxy did not let us through", isinstance(failure, aiohttp.ClientConnectorError)
            return _down(origin, what, origin.clean(str(failure)), "check network.proxy", offline=away)
        case aiohttp.ConnectionTimeoutError():
            why = "the connect time-out passed (connect_s)"
            return _down(origin, nowhere, why, _hint(origin), transient=False, offline=True)
        case aiohttp.ClientConnectorError():
            return _down(origin, nowhere, _os_words(failure), _hint(origin), offline=True)
        case _:
            return _down(
                origin, "the connection broke off in the middle of the answer", _broken_words(origin, failure)
            )


def _down(
    origin: Origin,
    what: str,
    why: str,
    remedy: str = "",
    *,
    transient: bool = True,
    local: bool = False,
    offline: bool = False,
) -> ModelUnavailable:
    return ModelUnavailable(
        origin.model,
        what,
        where=origin.where,
        why=why,
        remedy=remedy,
        transient=transient,
        local=local,
        offline=offline,
    )


def _hint(origin: Origin) -> str:
    address = urlsplit(origin.url)
    if address.hostname in ("127.0.0.1", "localhost", "::1"):
        command = _LOCAL_PORTS.get(address.port or 0)
        return f"is the model server running? ({command})" if command else "is the model server running?"
    return "check base_url and the network"


def _tls_words(origin: Origin, failure: Exception) -> str:
    """Return what is wrong with the other side's TLS, without the names of OpenSSL's C code."""
    cause = getattr(failure, "certificate_error", None) or getattr(failure, "os_error", failure)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return origin.clean(getattr(cause, "verify_message", "") or str(cause))
    reason = getattr(cause, "reason", None)
    if reason in ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"):
        return "the server does not speak TLS there; does the address begin with http://?"
    return str(reason).replace("_", " ").lower() if reason else origin.clean(str(cause))


def _broken_words(origin: Origin, failure: Exception) -> str:
    """Return how a connection ended, in words of ours where they are known."""
    match failure:
        case aiohttp.ClientPayloadError():
            return "the server ended the answer before it was complete"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without a word"
        case TimeoutError():
            return "nothing came for too long"
        case OSError():
            return _os_words(failure)
        case _:
            # The class says what happened; its text may be empty.
            words = origin.clean(str(failure))
            return f"{type(failure).__name__}: {words}" if words else type(failure).__name__


def _number(failure: BaseException) -> int | None:
    """Return the system's number of what went wrong; negative ones are those of getaddrinfo(3)."""
    cause = getattr(failure, "os_error", failure)
    return cause.errno if isinstance(cause, OSError) else None


def _os_words(failure: BaseException) -> str:
    cause, number = getattr(failure, "os_error", failure), _number(failure)
    if isinstance(cause, socket.gaierror):
        return cause.strerror or "name resolution failed"
    if number is None:
        return str(cause)
    return f"{errno.errorcode.get(number, f'errno {number}')}: {os.strerror(number)}"


def _json(body: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def _words(origin: Origin, value: JsonValue, body: str) -> tuple[str, str]:
    """Return the provider's own sentence, and its code in lower case ("" when there is none)."""
    if isinstance(value, list) and value:  # Gemini wraps the error into a list
        value = value[0]
    error = value.get("error", value) if isinstance(value, dict) else None
    if isinstance(error, str):
        return origin.clean(error), ""
    if not isinstance(error, dict):
        return origin.clean(re.sub(r"<[^>]{0,500}>", " ", body[:5000])) or "no explanation", ""
    message = error.get("message") or error.get("detail") or error.get("msg")
    words = message if isinstance(message, str) else json.dumps(error, ensure_ascii=False)
    codes = [str(error.get(name)).lower() for name in ("code", "type", "status") if error.get(name)]
    known = [code for code in codes if code in _CODES] + [code for code in codes if code.isdecimal()]
    code = next(iter(known + codes), "")
    return origin.clean(words), code
