"""Contents, tools and output forms as OpenAI's formats write them, read into ours. Pure.

Both formats differ in names alone: `text`/`input_text`, `image_url` as an object or a string, functions nested
or flat.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from clawd.gateway.openai_errors import bad_field
from clawd.gateway.openai_fields import list_of, object_of, text_of
from clawd.media import is_stored
from clawd.messages import Audio, File, Image, Text
from clawd.models.base import OutputSchema
from clawd.tools.base import ToolSpec

if TYPE_CHECKING:
    from clawd.messages import Part
    from clawd.response import JsonObject, JsonValue

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PICTURE: Final = re.compile(r"(?:https?://|data:image/[a-z0-9.+-]{1,40};base64,)\S+", re.IGNORECASE)
_TEXTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_PICTURES: Final = frozenset({"image_url", "input_image"})
_FILES: Final = frozenset({"file", "input_file"})
_SOUNDS: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_MOST_PARTS: Final = 256
_MOST_TOOLS: Final = 128


def parts_of(content: JsonValue, param: str, *, pictures: bool) -> tuple[Part, ...]:
    """Return the parts of a message's `content`: a string, or a list of typed parts.

    Raises:
        RequestRefused: 400 for another shape.
    """
    if isinstance(content, str):
        return (Text(content),)
    found: list[Part] = []
    for index, item in enumerate(list_of(content, param, most=_MOST_PARTS)):
        where = f"{param}[{index}]"
        part = object_of(item, where)
        kind = part.get("type")
        if not isinstance(kind, str):
            raise bad_field(f"{where}.type", "has to be a string", code="invalid_type")
        if kind in _TEXTS:
            name = "refusal" if kind == "refusal" else "text"
            found.append(Text(text_of(part.get(name), f"{where}.{name}")))
        elif kind in _PICTURES and pictures:
            found.append(_picture(part, where))
        elif kind == "input_audio" and pictures:
            found.append(_sound(part.get("input_audio"), f"{where}.input_audio"))
        elif kind in _FILES and pictures:
            found.append(_file(part.get("file", part), where if kind == "input_file" else f"{where}.file"))
        else:
            taken = "text, image_url, input_audio and file" if pictures else "text"
            raise bad_field(f"{where}.type", f"is {str(kind)[:40]!r}, and only {taken} is taken here")
    return tuple(found)


def place_of(part: Part, index: int, param: str) -> str:
    """Return the field that a part of a content was read from; `param` is the content's."""
    where = f"{param}[{index}]"
    match part:
        case Image():
            return f"{where}.file_id" if is_stored(part.ref) else f"{where}.image_url"
        case Audio():
            return f"{where}.input_audio"
        case File() if not param.startswith("input"):  # what the other format has in the part itself
            return f"{where}.file"
        case _:
            return where


def plain_text(content: JsonValue, param: str) -> str:
    """Return a content that may hold nothing but text."""
    if isinstance(content, str):
        return content
    parts = parts_of(content, param, pictures=False)
    return "".join(part.text for part in parts if isinstance(part, Text))


def tools_of(value: JsonValue) -> tuple[ToolSpec, ...]:
    """Return the functions that a client offers; raises RequestRefused (400) for tools of another kind."""
    if value is None:
        return ()
    tools = [_tool(item, f"tools[{i}]") for i, item in enumerate(list_of(value, "tools", most=_MOST_TOOLS))]
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise bad_field("tools", f"the name {twice} comes twice")
    return tuple(tools)


def schema_of(form: JsonValue, param: str) -> OutputSchema | None:
    """Return what `response_format` or `text.format` asks for; None for plain text.

    `json_object` is an object of any form.
    """
    if form is None:
        return None
    value = object_of(form, param)
    match value.get("type"):
        case "text":
            return None
        case "json_object":
            return OutputSchema(name="answer", schema={"type": "object"}, strict=False)
        case "json_schema":
            inner = (
                object_of(value["json_schema"], f"{param}.json_schema") if "json_schema" in value else value
            )
            return OutputSchema(
                name=name_of(inner.get("name"), f"{param}.name"),
                schema=object_of(inner.get("schema"), f"{param}.schema"),
                strict=inner.get("strict") is True,
            )
        case kind:
            raise bad_field(f"{param}.type", f"is {str(kind)[:40]!r}, not text, json_object or json_schema")


def name_of(value: JsonValue, param: str) -> str:
    """Return the name of a function or a schema."""
    name = text_of(value, param)
    if not _NAME.fullmatch(name):
        raise bad_field(param, "has to be 1 to 64 characters of A-Z a-z 0-9 _ -")
    return name


def _tool(item: JsonValue, param: str) -> ToolSpec:
    tool = object_of(item, param)
    if tool.get("type") != "function":
        raise bad_field(f"{param}.type", "only functions are taken", code="unsupported_tool")
    function: JsonObject = object_of(tool["function"], f"{param}.function") if "function" in tool else tool
    parameters = function.get("parameters")
    described = function.get("description")
    return ToolSpec(
        name=name_of(function.get("name"), f"{param}.name"),
        description="" if described is None else text_of(described, f"{param}.description"),
        parameters={"type": "object", "properties": {}}
        if parameters is None
        else object_of(parameters, f"{param}.parameters"),
        effect="once",  # the client runs it; nothing here does
    )


def _picture(part: JsonObject, where: str) -> Image:
    if part.get("image_url") is None and isinstance(part.get("file_id"), str):
        return Image(ref=_id_of(part, where))
    value = part.get("image_url")
    url = value.get("url") if isinstance(value, dict) else value
    if not isinstance(url, str) or not _PICTURE.fullmatch(url):
        raise bad_field(f"{where}.image_url", "has to be an http, https or data:image/…;base64 URL")
    return Image(ref=url)


def _sound(value: JsonValue, param: str) -> Audio:
    sound = object_of(value, param)
    kind = sound.get("format")
    if kind not in ("wav", "mp3"):
        raise bad_field(f"{param}.format", "has to be wav or mp3")
    data = text_of(sound.get("data"), f"{param}.data")
    return Audio(ref=f"data:{_SOUNDS[str(kind)]};base64,{data}", mime=_SOUNDS[str(kind)])


def _file(value: JsonValue, param: str) -> File:
    """Return a file by its id, or by its content: a data URL, or base64 alone."""
    file = object_of(value, param)
    if file.get("file_id") is not None:
        return File(ref=_id_of(file, param))
    data = text_of(file.get("file_data"), f"{param}.file_data")
    name = file.get("filename")
    return File(
        ref=data if data[:5].lower() == "data:" else f"data:;base64,{data}",
        name=None if name is None else text_of(name, f"{param}.filename"),
    )


def _id_of(file: JsonObject, param: str) -> str:
    ref = text_of(file.get("file_id"), f"{param}.file_id")
    if not is_stored(ref):
        raise bad_field(f"{param}.file_id", "has to be the id of a file from POST /v1/files")
    return ref
