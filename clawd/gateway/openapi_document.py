"""The description of the gateway, OpenAPI 3.1: made of the operations and of the models that check bodies. Pure.

Source: OpenAPI Specification 3.1.1; its schemas are JSON Schema 2020-12.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from clawd.gateway import answers, requests
from clawd.gateway.api_operations import ALL as API
from clawd.gateway.file_operations import ALL as FILES
from clawd.gateway.openai_operations import ALL as OPENAI
from clawd.gateway.operations import BODY, EVENT_STREAM, JSON, KNOWN, NEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from clawd.gateway.operations import Given, Operation, Parameter
    from clawd.response import JsonObject, JsonValue

OPERATIONS: Final = (*API, *FILES, *OPENAI)

_REF: Final = "#/components/schemas/{model}"
_ABOUT: Final = """One HTTP server per daemon: messages, conversations, streams, and OpenAI's API.

Requests under /v1 carry a token: `Authorization: Bearer TOKEN`. Errors are one JSON object with a code, a sentence and,
where there is one, advice; those of the OpenAI-compatible paths have OpenAI's shape. An answer of 503 or 429 says in
`Retry-After` when to come again, and nothing of such a request was kept."""

_TAGS: Final = {
    "Messages": "Sending messages, and what became of them.",
    "Conversations": "What was said.",
    "Streams": "What happens, while it happens.",
    "Files": "Files that messages name by their ids, and that come back.",
    "OpenAI": "For clients of OpenAI's API.",
    "Health": "For supervisors and programs.",
    "Bridges": "The doors of chat platforms that call.",
}

ERRORS: Final = {
    400: "The request makes no sense: not JSON, a wrong field, a wrong parameter.",
    401: "No token, or one that does not count.",
    403: "The token may not do this; or a foreign Host or Origin; or the sender is not let in.",
    404: "There is nothing of this name, or it is nobody else's business.",
    408: "The body took longer than 30 s; a file, longer than that and a second for each 16 kB of it.",
    409: "It does not fit what was done before: a key with another body, a turn that is over, a question that "
    "is no longer open.",
    413: "The body is larger than `gateway.max_body_bytes`, or a file than `journal.max_file_bytes`.",
    415: "The body is not declared as what is read here (JSON, or a form with a file), or is compressed.",
    416: "The file has no such range.",
    426: "The path speaks WebSocket only.",
    429: "Over a limit of the token, or of its senders.",
    431: "The headers are larger than 32 kB.",
    501: "Not in this version.",
    502: "The model, or the agent's turn, failed.",
    503: "Not now: clawd is stopping, nothing can be stored, or too much is open already.",
}

_EXAMPLES: Final[dict[int, tuple[str, str]]] = {
    400: ("bad_request", "text: has to be a string"),
    401: ("unauthorized", "a valid token is needed"),
    403: ("forbidden", "the token phone lacks the scope chat"),
    404: ("not_found", "no message of this id"),
    408: ("timeout", "the body did not arrive within 30 s"),
    409: ("conflict", "this Idempotency-Key was used with another body"),
    413: ("too_large", "the body is larger than 1,048,576 bytes"),
    415: ("unsupported_media_type", "the body has to be JSON"),
    416: ("range_not_satisfiable", "the file has no such range"),
    426: ("upgrade_required", "this path speaks WebSocket"),
    429: ("rate_limited", "the token shop may make 60 requests in 60 s"),
    431: ("headers_too_large", "the headers are larger than 32,768 bytes"),
    501: ("not_implemented", "/v1/audio/speech is not implemented in this version"),
    502: ("model_failed", "the model did not take the request"),
    503: ("unavailable", "nothing can be stored just now"),
}

_HEADERS: Final[dict[str, tuple[str, JsonObject, JsonValue]]] = {
    "Location": ("Where the turn, or the file, is shown.", {"type": "string"}, "/v1/messages/turn:k3x9-7-1"),
    "Content-Disposition": (
        "Always a download, never shown by a browser.",
        {"type": "string"},
        "attachment; filename*=UTF-8''cat.png",
    ),
    "Content-Range": ("The bytes, and how many there are in all.", {"type": "string"}, "bytes 0-99/2048"),
    "ETag": ("The SHA-256 of the whole file.", {"type": "string"}, '"9f86d081884c7d65"'),
    "Retry-After": ("Seconds after which to come again.", {"type": "integer", "minimum": 1}, 5),
    "WWW-Authenticate": ("How to say who asks.", {"type": "string"}, "Bearer"),
    "RateLimit-Policy": (
        "The limits of the token, if it has any.",
        {"type": "string"},
        '"requests";q=60;w=60, "messages";q=1000;w=86400',
    ),
    "RateLimit": (
        "What is left of them, and the seconds until they begin anew.",
        {"type": "string"},
        '"requests";r=59;t=60, "messages";r=999;t=43200',
    ),
    "RateLimit-Limit": ("The limit that is nearest.", {"type": "integer"}, 60),
    "RateLimit-Remaining": ("What is left of it.", {"type": "integer"}, 59),
    "RateLimit-Reset": ("Seconds until it begins anew.", {"type": "integer"}, 60),
    "X-Request-Id": (
        "The request's own, where it sent one of at most 128 letters, digits and `._:~+/=@-`; else one of ours.",
        {"type": "string"},
        "req_3f9a0c1b2d4e5f60718293a4",
    ),
    "x-should-retry": ("Whether OpenAI's clients are to repeat the request.", {"type": "string"}, "false"),
}
_LIMITS: Final = (
    "RateLimit-Policy",
    "RateLimit",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
)


class _Plain(GenerateJsonSchema):
    """Without the titles that pydantic makes of field names."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def document(version: str) -> JsonObject:
    """Return the description; `version` is that of clawd."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "clawd",
            "version": version,
            "summary": "The gateway of an always-on AI agent.",
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/", "description": "This gateway."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": {
                **{_name(status): _error(status, openai=False) for status in ERRORS},
                **{f"OpenAI{_name(status)}": _error(status, openai=True) for status in ERRORS},
            },
            "headers": {
                name: {"description": text, "schema": schema, "example": example}
                for name, (text, schema, example) in _HEADERS.items()
            },
            "securitySchemes": _SECURITY,
        },
    }


_SECURITY: Final[JsonObject] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token with one of the scopes chat, read, metrics and admin, which has them all. One is "
        "made at the first start, in STATE_DIR/gateway.token; `clawd tokens create` makes others.",
    },
    "app": {
        "type": "apiKey",
        "in": "header",
        "name": "X-App-Id",
        "description": "The id of an app of `gateway.apps`, together with the app's token as bearer.",
    },
}


def _operation(operation: Operation) -> JsonObject:
    told: JsonObject = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        **({"description": operation.text} if operation.text else {}),
        "security": _security(operation),
        "responses": _responses(operation),
        **operation.extra,
    }
    if operation.parameters:
        told["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body is not None:
        content: JsonObject = {"schema": _ref(operation.body)}
        if operation.example is not None:
            content["example"] = operation.example
        told["requestBody"] = {"required": True, "content": {JSON: content}}
    elif operation.upload is not None:
        form: JsonObject = {"schema": _ref(operation.upload)}
        told["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": form, "application/octet-stream": {}},
        }
    elif operation.raw_body:
        told["requestBody"] = {"content": {"*/*": {}}}
    return told


def _security(operation: Operation) -> list[JsonValue]:
    if not operation.scopes:
        return []
    found: list[JsonValue] = [{"token": list(operation.scopes)}]
    if operation.app:
        found.append({"token": [], "app": []})
    if operation.open_here:
        found.append({})
    return found


def _responses(operation: Operation) -> JsonObject:
    found: dict[str, JsonValue] = {
        given.status: _given(given, limits=bool(operation.scopes)) for given in operation.answers
    }
    errors = {*operation.errors, *NEAR}
    if operation.scopes:
        errors.update(KNOWN)
    if operation.body is not None or operation.upload is not None:
        errors.update(BODY)
    if any(status.endswith("XX") for status in found):
        errors = set()  # told by class
    shape = "OpenAI" if operation.openai else ""
    for status in errors:
        found.setdefault(str(status), {"$ref": f"#/components/responses/{shape}{_name(status)}"})
    return dict(sorted(found.items()))


def _given(given: Given, *, limits: bool) -> JsonObject:
    told: dict[str, Any] = {"description": given.text}
    names = (*given.headers, "X-Request-Id", *(_LIMITS if limits else ()))
    told["headers"] = _header_refs(names)
    if given.content:
        content: JsonObject = {}
        if given.model is not None:
            content["schema"] = _ref(given.model)
        elif given.content == JSON:
            content["schema"] = {"type": "object"}
        elif given.content not in ("*/*", EVENT_STREAM):
            content["schema"] = {"type": "string"}
        if given.example is not None:
            content["example"] = given.example
        told["content"] = {given.content: content}
        if given.or_stream:
            told["content"][EVENT_STREAM] = {}
    return told


def _error(status: int, *, openai: bool) -> JsonObject:
    more = {401: ("WWW-Authenticate",), 429: ("Retry-After", *_LIMITS), 503: ("Retry-After",)}
    names = ("X-Request-Id", *more.get(status, ()))
    code, message = _EXAMPLES[status]
    example: JsonObject = {"code": code, "message": message}
    if openai:
        names = (*names, "x-should-retry")
        example = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    model = answers.OpenAIErrorBody if openai else answers.ErrorBody
    return {
        "description": ERRORS[status],
        "headers": _header_refs(names),
        "content": {JSON: {"schema": _ref(model), "example": {"error": example}}},
    }


def _header_refs(names: Sequence[str]) -> JsonObject:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _parameter(parameter: Parameter) -> JsonObject:
    told: JsonObject = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.text,
        "required": parameter.required,
        "schema": parameter.schema,
    }
    if parameter.example is not None:
        told["example"] = parameter.example
    if parameter.name == "verbose":
        told["allowEmptyValue"] = True
    return told


def _name(status: int) -> str:
    return "".join(word.capitalize() for word in HTTPStatus(status).phrase.replace("-", " ").split())


def _ref(model: type[BaseModel]) -> JsonObject:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas() -> JsonObject:
    """Return the schemas of all bodies and frames, by the names of their models."""
    models = {model for operation in OPERATIONS for model in (operation.body, operation.upload)}
    models |= {given.model for operation in OPERATIONS for given in operation.answers}
    models |= {answers.ErrorBody, answers.OpenAIErrorBody}
    unions = {"ClientFrame": requests.AnyFrame, "ServerFrame": answers.ServerFrame}
    inputs: list[tuple[str, Any, TypeAdapter[Any]]] = [
        *((model.__name__, "validation", TypeAdapter(model)) for model in models if model is not None),
        *((name, "validation", TypeAdapter(union)) for name, union in unions.items()),
    ]
    found, definitions = TypeAdapter.json_schemas(
        sorted(inputs, key=lambda each: each[0]), ref_template=_REF, schema_generator=_Plain
    )
    schemas: dict[str, Any] = dict(definitions["$defs"])
    for name in unions:
        schemas[name] = found[(name, "validation")]
    return dict(sorted(schemas.items()))
