"""What the section of a model behind HTTP has, whatever format it speaks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, PlainValidator, model_validator

from clawd.config.base import Secret, Text
from clawd.config.schema import ModelConfig, NetworkConfig, OneOrMore, PositiveSeconds
from clawd.config.secrecy import secrets_in_urls
from clawd.models.limits import StreamLimits

if TYPE_CHECKING:
    from clawd.config.schema import BreakerConfig

# Source: RFC 9110, section 5.6.2, `token`.
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SECRET_NAME: Final = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_REFERENCE: Final = ("environment ", "file ", "credential ")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def _header_value(value: object) -> Secret | str:
    if isinstance(value, Secret):
        return _one_line(value)
    if not isinstance(value, str):
        raise ValueError("expected a text, {env: NAME}, {file: PATH} or {credential: NAME}")  # noqa: TRY004
    if _CONTROL.search(value):
        raise ValueError("a header's value is one line without control characters")
    return value


def _headers(headers: dict[str, Secret | str]) -> dict[str, Secret | str]:
    """Return the headers, with a secret for each value that is one by its origin or its name.

    Others are plain text, which `config show` prints and logs may hold: a title is no secret.
    """
    named: dict[str, Secret | str] = {}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header's name")
        if isinstance(value, Secret):
            named[name] = value
            continue
        origin = value.origin if isinstance(value, Text) else f"header {name}"
        text = str.__str__(value)
        secret = text and (origin.startswith(_REFERENCE) or _SECRET_NAME.search(name))
        named[name] = Secret(text, origin) if secret else text
    return named


def _one_line(secret: Secret) -> Secret:
    if _CONTROL.search(secret.reveal()):
        raise ValueError("it holds a line end or another control character")
    return secret


def _body_value(value: object) -> object:
    """Return a value of a request's body, with a secret for each text in it that is one by its origin."""
    match value:
        case Text(origin=origin) if origin.startswith(_REFERENCE):
            return Secret(str.__str__(value), origin)
        case str():
            return str.__str__(value)
        case dict():
            return {str(key): _body_value(part) for key, part in value.items()}
        case list():
            return [_body_value(part) for part in value]
        case float() if not math.isfinite(value):
            raise ValueError("JSON has no such number")
        case Secret() | int() | float() | None:
            return value
        case _:
            raise ValueError("expected what JSON can say")


def _revealed(value: object) -> JsonValue:
    match value:
        case Secret():
            return value.reveal()
        case dict():
            return {key: _revealed(part) for key, part in value.items()}
        case list():
            return [_revealed(part) for part in value]
        case _:
            plain: JsonValue = value  # type: ignore[assignment] # as `_body_value` left it
            return plain


def _secrets_in(value: object) -> Iterator[str]:
    match value:
        case Secret():
            yield value.reveal()
        case dict() | list():
            for part in value.values() if isinstance(value, dict) else value:
                yield from _secrets_in(part)
        case _:
            pass


BodyValue = Annotated[Any, PlainValidator(_body_value, json_schema_input_type=JsonValue)]
HeaderValue = Annotated[Secret | str, PlainValidator(_header_value, json_schema_input_type=Secret)]
Key = Annotated[Secret, AfterValidator(_one_line)]


class WireConfig(ModelConfig):
    """One model behind an HTTP endpoint; exactly one of `base_url` and `endpoint` is set."""

    path: ClassVar[str]  # what the format appends to `base_url`

    preset: str | None = (
        None  # the provider or model server whose address, key and ways this entry takes over
    )
    base_url: str | None = None
    endpoint: str | None = None  # posted to as it is
    api_key: Key | None = None
    # Sent with every request, in place of ours of the same name.
    headers: Annotated[dict[str, HeaderValue], AfterValidator(_headers)] = {}
    extra_body: dict[str, BodyValue] = {}  # put into every request, in place of our keys of the same name
    omit: Annotated[tuple[str, ...], OneOrMore] = ()  # keys of a request that this provider refuses
    model: str | None = None  # the provider's own name for it; `name` when not set
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    tools: bool = True  # false: this model is never offered tools
    vision: bool = True  # false: pictures are never sent to this model
    network: NetworkConfig | None = None  # instead of the global section
    # Time-outs that are not set here are those of the section `breaker`.
    connect_s: PositiveSeconds | None = None
    first_token_timeout_s: PositiveSeconds | None = None
    idle_s: PositiveSeconds | None = None
    total_s: PositiveSeconds | None = None
    min_bytes_per_s: Annotated[float, Field(ge=0)] = 20
    rate_window_s: PositiveSeconds = 30  # slower than that for so long is a broken stream
    max_response_bytes: Annotated[int, Field(ge=1000)] = 32_000_000  # on the wire: some 250 for each token

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.base_url is None) == (self.endpoint is None):
            raise ValueError("set exactly one of base_url and endpoint")
        address = urlsplit(self.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("base_url and endpoint begin with https://HOST or http://HOST")
        authorized = self.api_key is not None or any(name.lower() == "authorization" for name in self.headers)
        if address.username is not None and authorized:
            raise ValueError("credentials stand in the URL or in api_key and headers, not in both")
        return self

    def size(self) -> tuple[int | None, int | None, Literal["large", "small"]]:
        return self.context_tokens, self.max_tokens, "large"

    @property
    def url(self) -> str:
        """Where requests are posted to."""
        return self.endpoint or f"{(self.base_url or '').rstrip('/')}{self.path}"

    @property
    def model_id(self) -> str:
        """The provider's own name for the model."""
        return self.model or self.name

    @property
    def key(self) -> Secret | None:
        """What requests are allowed by: `api_key`, or else the first secret among the headers."""
        secrets = (value for value in self.headers.values() if isinstance(value, Secret))
        return self.api_key or next(secrets, None)

    def body_keys(self) -> dict[str, JsonValue]:
        """Return `extra_body` as it goes on the wire."""
        return {key: _revealed(value) for key, value in self.extra_body.items()}

    def secrets(self) -> Iterator[str]:
        """Yield what must not be quoted of a provider's words: the key first, then those of headers, body, URL."""
        if self.api_key is not None:
            yield self.api_key.reveal()
        for value in self.headers.values():
            if isinstance(value, Secret):
                yield value.reveal()
                yield from value.reveal().split()[1:]  # behind `Basic` and `Bearer`
        yield from _secrets_in(self.extra_body)
        yield from secrets_in_urls(self.url)

    def limits(self, defaults: BreakerConfig) -> StreamLimits:
        """Return the limits of one request: the model's own, and the general ones where it sets none."""
        return StreamLimits(
            connect_s=self.connect_s or defaults.connect_s,
            first_token_s=self.first_token_timeout_s or defaults.first_token_timeout_s,
            idle_s=self.idle_s or defaults.idle_s,
            total_s=self.total_s or defaults.total_s,
            min_bytes_per_s=self.min_bytes_per_s,
            rate_window_s=self.rate_window_s,
            max_bytes=self.max_response_bytes,
        )
