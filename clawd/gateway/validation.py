"""What is wrong with what a client sent, in one sentence that names the field. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from clawd.config.problems import did_you_mean
from clawd.gateway.problems import RequestRefused
from clawd.gateway.requests import Says

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from clawd.response import JsonObject

_NAME_CHARS: Final = 40
_SENTENCES: Final = {
    "missing": "is missing",
    "string_type": "has to be a string",
    "bool_type": "has to be true or false",
    "int_type": "has to be a whole number",
    "float_type": "has to be a number",
    "finite_number": "has to be a number",
    "list_type": "has to be a list",
    "tuple_type": "has to be a list",
    "dict_type": "has to be an object",
    "model_type": "has to be an object",
    "model_attributes_type": "has to be an object",
    "union_tag_not_found": "type is missing",
    "literal_error": "has to be {expected}",
    "union_tag_invalid": "there is no type {tag}; the types are {expected_tags}",
    "string_too_long": "has to be at most {max_length} characters long",
    "string_too_short": "has to be at least {min_length} characters long",
    "too_long": "has to have at most {max_length} items",
    "too_short": "has to have at least {min_length} items",
    "greater_than_equal": "has to be at least {ge}",
    "less_than_equal": "has to be at most {le}",
}

M = TypeVar("M", bound=BaseModel)
N = TypeVar("N")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is wrong with a body.

    Args:
        kind: Pydantic's name for it, such as `missing`.
        path: Of the field, as `parts[1].url`; empty for the body as a whole.
        what: The sentence, with the path.
        remedy: What to do about it; may be empty.
    """

    kind: str
    path: str
    what: str
    remedy: str = ""


def validate(model: type[M], body: JsonObject) -> M:
    """Return the body as a model.

    Raises:
        RequestRefused: 400, with the field that is wrong.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        mistake = mistake_in(model, error)
        raise RequestRefused(400, mistake.what, remedy=mistake.remedy) from None


def mistake_in(model: type[BaseModel], error: ValidationError) -> Mistake:
    """Return the mistake to tell first: a wrong kind of object, then an unknown field, then the first one."""
    first = min(error.errors(include_url=False, include_input=False), key=_weight)
    kind, place = first["type"], _place(model, first["loc"])
    if kind == "extra_forbidden":
        near = did_you_mean(place.path.rpartition(".")[2], place.known)
        return Mistake(
            kind=kind,
            path=place.path,
            what=f"unknown field {place.path}{near}",
            remedy=f"the fields are {', '.join(place.known)}",
        )
    what = _sentence(first, place.says)
    return Mistake(kind=kind, path=place.path, what=f"{place.path}: {what}" if place.path else what)


def _weight(error: ErrorDetails) -> int:
    """Return the rank among several mistakes: of an object of another kind all fields look wrong."""
    kind, of_type = error["type"], error["loc"][-1:] == ("type",)
    if kind.startswith("union_tag") or (of_type and kind in ("literal_error", "missing")):
        return 0
    return 1 if kind == "extra_forbidden" else 2


def _sentence(error: ErrorDetails, says: str) -> str:
    if error["type"] == "sentence":
        return error["msg"]
    if says:
        return f"is missing; it {says}" if error["type"] == "missing" else says
    template = _SENTENCES.get(error["type"], "has the wrong form")
    return template.format(**{key: str(value)[:200] for key, value in error.get("ctx", {}).items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a mistake is, how the field wants its values told, and the fields that stand beside it."""

    path: str
    says: str
    known: Sequence[str]


def _place(model: type[BaseModel], location: Sequence[int | str]) -> _Place:
    """Follow pydantic's location, in which the kind of one object of several stands like a field."""
    path, says = "", ""
    here, inner = [model], [model]  # the models that hold the step's field, those that its value may be
    for step in location:
        if isinstance(step, int):
            path, says = f"{path}[{step}]", ""
            continue
        if len(inner) > 1:
            inner = [one for one in inner if step in _kinds(one)]
            continue
        here = inner
        path = f"{path}.{step[:_NAME_CHARS]}" if path else step[:_NAME_CHARS]
        fields = [one.model_fields[step] for one in here if step in one.model_fields]
        says = next((note.sentence for field in fields for note in _notes(field)), "")
        inner = [found for field in fields for found in _models(field.annotation)]
    return _Place(path=path, says=says, known=sorted({name for one in here for name in one.model_fields}))


def _notes(field: FieldInfo) -> Iterator[Says]:
    yield from (note for note in field.metadata if isinstance(note, Says))
    yield from _within(field.annotation, Says)


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models(argument)]


def _within(annotation: object, kind: type[N]) -> Iterator[N]:
    """Yield what stands in the annotations of an annotation's parts."""
    yield from (note for note in getattr(annotation, "__metadata__", ()) if isinstance(note, kind))
    for argument in get_args(annotation):
        yield from _within(argument, kind)


def _kinds(model: type[BaseModel]) -> tuple[object, ...]:
    return get_args(model.model_fields["type"].annotation)
