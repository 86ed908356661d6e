from __future__ import annotations

import errno
import json
import socket
import ssl
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from clawd.config.base import Secret
from clawd.errors import ContextTooLong, ModelAuthError, ModelError, ModelRateLimited, ModelUnavailable
from clawd.models.wire import ProviderFault
from clawd.models.wire_errors import (
    NO_PICTURES,
    TOO_LONG,
    BadStatus,
    Origin,
    model_error,
    retry_after_s,
    without_secrets,
)

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
KEY = "sk-test-0123456789abcdef"
ORIGIN = Origin(
    model="main",
    model_id="big",
    url="https://api.example.com/v1/chat/completions?tenant=x",
    key=Secret(KEY, "environment EXAMPLE_KEY"),
)


def _status(status: int, error: Any = None, *, body: str | None = None, **headers: str) -> ModelError:
    text = body if body is not None else json.dumps({"error": error or {"message": "words"}})
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return model_error(ORIGIN, BadStatus(status=status, headers=names, body=text, now=NOW))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named_by_its_origin_and_never_shown(status: int) -> None:
    error = _status(status, {"message": f"Incorrect API key provided: {KEY}"})
    assert isinstance(error, ModelAuthError)
    assert error.exit_code == 4
    assert "environment EXAMPLE_KEY, ends in …cdef" in error.what
    assert "Incorrect API key provided: [key]" in error.why
    assert KEY not in f"{error} {error!r} {error.args}"
    assert error.where == "model main, https://api.example.com:443/v1/chat/completions"


def test_a_missing_key_is_told_apart_from_a_wrong_one() -> None:
    origin = Origin(model="main", model_id="big", url="http://h/v1", key=None)
    error = model_error(origin, BadStatus(status=401, headers={}, body="", now=NOW))
    assert "wants an API key" in error.what
    assert error.remedy == "set api_key of model main"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


def test_a_rate_limit_carries_the_wait() -> None:
    error = _status(429, retry_after="12")
    assert isinstance(error, ModelRateLimited)
    assert error.retry_after_s == 12


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after_ms": "1500", "retry_after": "2"}, 1.5),
        ({"retry_after_ms": "soon", "retry_after": "2"}, 2.0),
        ({"retry_after": "7"}, 7.0),
        ({}, 34.5),
    ],
)
def test_the_wait_is_found_in_either_header_or_in_geminis_details(
    headers: dict[str, str], seconds: float
) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]
    body = json.dumps([{"error": {"code": 429, "message": "m", "details": details}}])
    error = _status(429, body=body, **headers)
    assert isinstance(error, ModelRateLimited)
    assert error.retry_after_s == seconds


@pytest.mark.parametrize(
    "error",
    [
        {"message": "too long", "code": "1261"},
        {"message": "too long", "code": "context_length_exceeded"},
        {"message": "request (3027 tokens) exceeds", "type": "exceed_context_size_error", "code": 400},
        *({"message": f"… {phrase.upper()} …"} for phrase in TOO_LONG),
    ],
)
def test_a_request_that_is_too_long_is_recognized(error: dict[str, Any]) -> None:
    assert isinstance(_status(400, error), ContextTooLong)


@pytest.mark.parametrize(
    ("status", "transient", "words"),
    [
        (400, False, "refuses the request"),
        (402, False, "wants to be paid"),
        (404, False, "neither this path nor this model"),
        (408, True, "server failed"),
        (500, True, "server failed"),
        (503, True, "server failed"),
        (529, True, "server failed"),
    ],
)
def test_other_statuses_say_whether_another_try_makes_sense(status: int, transient: bool, words: str) -> None:
    error = _status(status)
    assert isinstance(error, ModelUnavailable)
    assert error.transient is transient
    assert words in error.what
    assert error.why == f"HTTP {status}: words"


@pytest.mark.parametrize("code", ["insufficient_quota", "exceeded_current_quota_error", "1113", "Arrearage"])
def test_an_empty_account_is_not_waited_for(code: str) -> None:
    error = _status(429, {"message": "You exceeded your current quota", "code": code})
    assert isinstance(error, ModelUnavailable)
    assert error.transient is False


@pytest.mark.parametrize("phrase", NO_PICTURES)
@pytest.mark.parametrize("status", [400, 500])
def test_a_model_without_eyes_is_not_asked_again(status: int, phrase: str) -> None:
    error = _status(status, {"message": f"This {phrase.upper()} input"})
    assert isinstance(error, ModelUnavailable)
    assert error.transient is False
    assert error.remedy == "set vision: false for model main"


def test_a_redirect_says_where_to() -> None:
    error = _status(301, location="https://api.example.com/v2")
    assert error.why == "HTTP 301 to https://api.example.com/v2"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": "plain text"}', "plain text"),
        ('[{"error": {"message": "in a list", "status": "INTERNAL"}}]', "in a list"),
        ('{"detail": "fastapi"}', "fastapi"),
        ('{"message": "flat"}', "flat"),
        ("<html><body><h1>Bad   Gateway</h1></body></html>", "Bad Gateway"),
        ("", "no explanation"),
        ("[" * 100_000, "[" * 299 + "…"),
        ("x" * 1000, "x" * 299 + "…"),
    ],
)
def test_the_providers_own_words_are_found_and_shortened(body: str, words: str) -> None:
    assert _status(500, body=body).why == f"HTTP 500: {words}"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "m", "code": 429}, ModelRateLimited),
        ({"message": "m", "type": "rate_limit_error"}, ModelRateLimited),
        ({"message": "m", "code": "invalid_api_key"}, ModelAuthError),
        ({"message": "m", "code": "context_length_exceeded"}, ContextTooLong),
        ({"message": "m", "type": "overloaded_error"}, ModelUnavailable),
        ({"message": "m", "code": 502}, ModelUnavailable),
        ("just words", ModelUnavailable),
        ({"weird": 1}, ModelUnavailable),
    ],
)
def test_an_error_object_in_a_good_stream_is_mapped_by_its_code(error: Any, kind: type[ModelError]) -> None:
    assert type(model_error(ORIGIN, ProviderFault(error))) is kind


def _connector_error(cls: type[aiohttp.ClientConnectorError], cause: OSError) -> aiohttp.ClientConnectorError:
    key = ConnectionKey("api.example.com", 443, True, True, None, None, None)
    return cls(key, cause)


def test_a_refused_connection_names_host_port_and_errno() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed")
    error = model_error(ORIGIN, _connector_error(aiohttp.ClientConnectorError, refused))
    assert error.what == "no connection to api.example.com:443"
    assert error.why == "ECONNREFUSED: Connection refused"


def test_a_refused_connection_on_loopback_hints_at_the_server() -> None:
    origin = Origin(model="m", model_id="m", url="http://127.0.0.1:11434/v1/chat/completions", key=None)
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed")
    error = model_error(origin, _connector_error(aiohttp.ClientConnectorError, refused))
    assert error.remedy == "is the model server running? (ollama serve)"


def test_an_unknown_name_is_called_so() -> None:
    cause = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    error = model_error(ORIGIN, _connector_error(aiohttp.ClientConnectorDNSError, cause))
    assert error.why == "the name is unknown: Name or service not known"


def test_a_certificate_that_nobody_vouches_for_points_at_ca_file() -> None:
    error = model_error(ORIGIN, ssl.SSLCertVerificationError(1, "self-signed certificate"))
    assert isinstance(error, ModelUnavailable)
    assert "network.ca_file" in error.remedy
    assert error.transient is False


def test_a_reset_says_that_the_answer_broke_off() -> None:
    error = model_error(ORIGIN, ConnectionResetError(errno.ECONNRESET, "reset"))
    assert error.what == "the connection broke off in the middle of the answer"
    assert error.why == "ECONNRESET: Connection reset by peer"


def test_an_endpoint_is_shown_without_what_may_be_secret_in_its_url() -> None:
    assert without_secrets("https://me:pw@h:8/v1?key=abc#x") == "https://h:8/v1"


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (aiohttp.ClientPayloadError("<TransferEncodingError: 400>"), "the server ended the answer before"),
        (aiohttp.ServerDisconnectedError(), "the server closed the connection without a word"),
        (aiohttp.SocketTimeoutError(), "nothing came for too long"),
        (aiohttp.ClientConnectionError("odd"), "ClientConnectionError: odd"),
    ],
)
def test_a_broken_connection_is_told_in_words(failure: aiohttp.ClientError, why: str) -> None:
    assert model_error(ORIGIN, failure).why.startswith(why)


def test_a_server_without_tls_is_told_in_words() -> None:
    failure = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    failure.reason = "WRONG_VERSION_NUMBER"
    error = model_error(ORIGIN, failure)
    assert error.why == "the server does not speak TLS there; does the address begin with http://?"
