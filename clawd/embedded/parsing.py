"""Answers of a given form: a pydantic model or a JSON Schema, and what the model made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from clawd.errors import ModelError
from clawd.models.base import OutputSchema
from clawd.response import ModelResponse

SchemaLike = type[BaseModel] | Mapping[str, Any]

_FENCED: Final = re.compile(
    r"```\w*\n(.*?)\n?```", re.S
)  # models that are only asked for JSON like to wrap it
_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")


class AnswerMismatch(ModelError):
    """A model answered, but not in the form that was asked for; `response` is what it said."""

    code = "E-MODEL-ANSWER"

    def __init__(self, response: ModelResponse, why: str) -> None:
        super().__init__(
            response.model,
            "the answer is not of the form that schema asks for",
            why=why,
            remedy="ask again, or a model that keeps to schemas",
        )
        self.response = response


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(ModelResponse):
    """The complete answer; `str()` is its text. `parsed`: an object of the schema that was asked for."""

    parsed: Any = None


def output_schema(schema: SchemaLike) -> OutputSchema:
    """Return the schema as requests carry it; raises TypeError for what is none.

    It is strict where the rules for that allow it: objects are closed and all that they have is required. The
    objects of a pydantic model are closed here, a JSON Schema is taken as it is.

    Source: OpenAI, Structured Outputs, "Supported schemas"; others follow it.
    """
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        name, form = schema.__name__, _closed(schema.model_json_schema())
    elif isinstance(schema, Mapping):
        name, form = str(schema.get("title") or "answer"), schema
    else:
        raise TypeError(f"schema is a pydantic model or a JSON Schema, not {schema!r:.80}")
    return OutputSchema(name=_NAME.sub("_", name)[:64], schema=form, strict=_may_be_strict(form))


def _closed(form: Any) -> Any:
    if isinstance(form, list):
        return [_closed(part) for part in form]
    if not isinstance(form, Mapping):
        return form
    closed = {key: _closed(part) for key, part in form.items()}
    if form.get("type") == "object" and "properties" in form:
        closed.setdefault("additionalProperties", False)
    return closed


def _may_be_strict(form: Any) -> bool:
    if isinstance(form, list):
        return all(_may_be_strict(part) for part in form)
    if not isinstance(form, Mapping):
        return True
    if form.get("type") == "object":
        everything = set(form.get("properties", ())) == set(form.get("required", ()))
        if not everything or form.get("additionalProperties") is not False:
            return False
    return all(_may_be_strict(part) for part in form.values())


def answer_of(response: ModelResponse, schema: SchemaLike | None) -> Answer:
    """Return the response with what its text says in the form of the schema.

    With a pydantic model that is an object of it; with a JSON Schema it is plain JSON, not checked any
    further. None without a schema, and where the model asks for tools first.

    Raises:
        AnswerMismatch: the text is not of that form.
    """
    parsed = None if schema is None or response.tool_calls else _parse(response, schema)
    return Answer(**{field.name: getattr(response, field.name) for field in fields(response)}, parsed=parsed)


def _parse(response: ModelResponse, schema: SchemaLike) -> Any:
    text = response.text.strip()
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1]
    try:
        if isinstance(schema, type):
            return schema.model_validate_json(text)
        return json.loads(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise AnswerMismatch(response, f"{place}: {first['msg']}" if place else first["msg"]) from error
    except (ValueError, RecursionError) as error:
        cut = ", it was cut off at max_tokens" if response.finish == "length" else ""
        raise AnswerMismatch(response, f"not JSON{cut}: {error}") from error
