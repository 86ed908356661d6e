"""What a program may ask, and the request that it becomes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict

from clawd.embedded.parsing import SchemaLike, output_schema
from clawd.messages import Image, Text
from clawd.models.base import (
    AssistantMessage,
    ChatMessage,
    ModelRequest,
    RequestTags,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from clawd.models.windows import DEFAULT_ROUTE
from clawd.response import ToolCall

if TYPE_CHECKING:
    from clawd.messages import Part
    from clawd.tools.base import ToolSpec

Picture = str | Path | bytes
"""A URL (https, http or data), the path of a file, or the picture itself."""

_TEXTS: Final = frozenset(
    {"prompt", "model_name", "route", "system", "user_id", "conversation_id"}
)  # of the arguments of `Ask`
_LISTS: Final = frozenset({"messages", "images", "tools"})
_URL: Final = ("https://", "http://", "data:")
_MAGIC: Final = ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"GIF8", "image/gif"))


class Ask(TypedDict, total=False):
    """What to ask, and of whom. All of it may be left out but `prompt` or `messages`."""

    prompt: str  # what the user says, after `messages`
    model_name: str | None  # which model to try first; without it and `route`, the default route decides
    route: str | None
    strict: bool  # that model only (or the route's first): no other takes over when it fails
    system: str | None  # instructions
    messages: Sequence[
        ChatMessage | Mapping[str, Any]
    ]  # what was said before; dicts as OpenAI's API has them
    images: Sequence[Picture]  # shown with `prompt`
    tools: Sequence[ToolSpec]  # that the model may ask for; calling them is the program's own affair
    schema: SchemaLike | None  # the form of the answer: a pydantic model, or a JSON Schema
    max_tokens: int | None
    temperature: float | None
    user_id: str | None  # on whose behalf, for budgets and fair queues
    conversation_id: str | None


def request_of(ask: Ask) -> ModelRequest:
    """Return the request.

    Raises:
        TypeError: an argument that there is not, or one of another type.
        ValueError: nothing is asked, a message or a picture is none, or a number is out of its range.
        OSError: a picture's file can't be read.
    """
    if unknown := sorted(set(ask) - set(Ask.__annotations__)):
        raise TypeError(f"unknown argument {unknown[0]!r}; known are {', '.join(Ask.__annotations__)}")
    _check_types(ask)
    schema = ask.get("schema")
    return ModelRequest(
        messages=tuple(_messages(ask)),
        tools=tuple(ask.get("tools") or ()),
        route=ask.get("route") or DEFAULT_ROUTE,
        pin=ask.get("model_name"),
        strict=ask.get("strict", False),
        max_tokens=ask.get("max_tokens"),
        temperature=ask.get("temperature"),
        schema=output_schema(schema) if schema is not None else None,
        tags=RequestTags(conversation=ask.get("conversation_id") or "", user=ask.get("user_id") or ""),
    )


def _check_types(ask: Ask) -> None:
    given = {name: value for name, value in ask.items() if value is not None}
    for name in _TEXTS & given.keys():
        if not isinstance(given[name], str):
            raise TypeError(f"{name} is text, not {type(given[name]).__name__}")
    for name in _LISTS & given.keys():
        if isinstance(given[name], str | bytes | Path | Mapping) or not isinstance(given[name], Iterable):
            raise TypeError(f"{name} is a list, not {type(given[name]).__name__}; write {name}=[…]")
    strict, max_tokens, temperature = (given.get(name) for name in ("strict", "max_tokens", "temperature"))
    if not isinstance(strict, bool | None):
        raise TypeError(f"strict is True or False, not {type(strict).__name__}")
    if max_tokens is not None:
        if not isinstance(max_tokens, int) or isinstance(max_tokens, bool):
            raise TypeError(f"max_tokens is a whole number, not {type(max_tokens).__name__}")
        if max_tokens < 1:
            raise ValueError(f"max_tokens is at least 1, not {max_tokens}")
    if temperature is not None:
        if not isinstance(temperature, int | float) or isinstance(temperature, bool):
            raise TypeError(f"temperature is a number, not {type(temperature).__name__}")
        if not 0 <= temperature <= 2:
            raise ValueError(f"temperature is from 0 to 2, not {temperature:g}")


def _messages(ask: Ask) -> Iterator[ChatMessage]:
    if system := ask.get("system"):
        yield SystemMessage(system)
    names: dict[str, str] = {}  # of calls, by their id: an answer to one does not repeat it
    before = [_message(message, names) for message in ask.get("messages") or ()]
    yield from before
    prompt, images = ask.get("prompt") or "", ask.get("images") or ()
    parts: list[Part] = [Text(prompt)] if prompt else []
    parts += [Image(ref=_picture(image)) for image in images]
    if parts:
        yield UserMessage(tuple(parts))
    elif not before:
        raise ValueError("nothing is asked: give prompt or messages")


def _message(message: ChatMessage | Mapping[str, Any], names: dict[str, str]) -> ChatMessage:
    if not isinstance(message, Mapping):
        if isinstance(message, SystemMessage | UserMessage | AssistantMessage | ToolMessage):
            return message
        raise TypeError(f"a message is a dict with role and content, not {type(message).__name__}")
    match message.get("role"):
        case "system" | "developer":
            return SystemMessage(_text(message))
        case "user":
            return UserMessage(tuple(_parts(message.get("content"))))
        case "assistant":
            calls = tuple(_call(call) for call in message.get("tool_calls") or ())
            names.update({call.id: call.name for call in calls})
            return AssistantMessage(text=_text(message), tool_calls=calls)
        case "tool":
            call_id = str(message.get("tool_call_id", ""))
            name = str(message.get("name") or names.get(call_id, ""))
            return ToolMessage(call_id=call_id, name=name, text=_text(message))
        case role:
            raise ValueError(f"a message's role is system, user, assistant or tool, not {role!r}")


def _text(message: Mapping[str, Any]) -> str:
    parts = _parts(message.get("content"))
    return "".join(part.text for part in parts if isinstance(part, Text))


def _parts(content: object) -> Iterator[Part]:
    match content:
        case None:
            return
        case str():
            yield Text(content)
        case list():
            for part in content:
                match part:
                    case {"type": "text", "text": str(text)}:
                        yield Text(text)
                    case {"type": "image_url", "image_url": {"url": str(url)}}:
                        yield Image(ref=_picture(url))
                    case _:
                        raise ValueError(f"a part of a message is text or image_url, not {part!r:.80}")
        case _:
            raise ValueError(f"a message's content is text or a list of parts, not {type(content).__name__}")


def _call(call: object) -> ToolCall:
    match call:
        case ToolCall():
            return call
        case {"id": str(id_), "function": {"name": str(name), "arguments": str(arguments)}}:
            return ToolCall(id=id_, name=name, arguments=arguments)
        case _:
            raise ValueError(
                f"a tool call has an id and a function with name and arguments, not {call!r:.80}"
            )


def _picture(picture: Picture) -> str:
    """Return a URL that models take."""
    if isinstance(picture, str) and picture.startswith(_URL):
        return picture
    raw = picture if isinstance(picture, bytes) else Path(picture).expanduser().read_bytes()
    return f"data:{_mime(raw)};base64,{base64.b64encode(raw).decode('ascii')}"


def _mime(raw: bytes) -> str:
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "image/webp"
    for magic, mime in _MAGIC:
        if raw.startswith(magic):
            return mime
    raise ValueError("a picture is PNG, JPEG, GIF or WebP; this is something else")
