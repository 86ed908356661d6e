"""What an operation of the gateway is, for its description. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel

    from clawd.response import JsonObject, JsonValue

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

Scope = Literal["chat", "read", "metrics"]

NEAR: Final = (403, 431, 503)
"""Statuses that every path may answer with, whoever asks."""

KNOWN: Final = (401, 429)
"""Those of every path that needs a token."""

BODY: Final = (400, 408, 413, 415)
"""Those of every path that reads a JSON body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A value in the path, the query or a header."""

    name: str
    place: Literal["path", "query", "header"]
    text: str
    schema: JsonObject
    example: JsonValue = None
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One answer."""

    status: str  # "200", "4XX"
    text: str
    model: type[BaseModel] | None = None
    content: str = JSON
    or_stream: bool = False  # or, by the client's wish, server-sent events
    headers: tuple[str, ...] = ()  # names of `openapi_document.HEADERS`
    example: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: Literal["get", "post", "delete"]
    path: str
    id: str
    tag: str
    summary: str
    text: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    raw_body: bool = False  # bytes of any kind
    upload: type[BaseModel] | None = None  # a form with a file, or the file itself
    example: JsonValue = None  # of the body
    answers: tuple[Given, ...] = ()
    errors: tuple[int, ...] = ()  # beside those of every such path
    scopes: tuple[Scope, ...] = ()  # any of them is enough; none: no token is needed
    app: bool = False  # an app's headers do too
    open_here: bool = False  # no token is needed on loopback
    openai: bool = False  # errors have OpenAI's shape
    extra: JsonObject = field(default_factory=dict)  # what only this operation has


def named(name: str, text: str, example: str) -> Parameter:
    """Return the id in a path."""
    schema: JsonObject = {"type": "string", "minLength": 1}
    return Parameter(name=name, place="path", text=text, schema=schema, example=example, required=True)
